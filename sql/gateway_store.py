"""The gateway's database: one pool for what pilots wait for and for requests, a small one for what people read."""

from panda_fsm.jobs.facts import Limits
from sql.claims import ClaimStore
from sql.pool import Pool
from sql.queries import load
from sql.reads import ReadStore
from sql.registers import RegisterStore
from sql.requests import RequestStore

_SCHEMA_VERSION = load("reads")["schema_version"]
_READS_SHARE = 4
_READ_TIMEOUT_S = 10.0


class GatewayStore:
    """The gateway's Store port: at most `pool_size` connections, of which a quarter is for people."""

    def __init__(self, database_url: str, pool_size: int, statement_timeout_s: float, limits: Limits) -> None:
        for_reads = max(1, pool_size // _READS_SHARE)
        work = Pool(database_url, "gateway", max(1, pool_size - for_reads), statement_timeout_s)
        reads = work
        if pool_size > 1:
            reads = Pool(database_url, "gateway.reads", for_reads, min(statement_timeout_s, _READ_TIMEOUT_S))
        self._pools = (work, reads) if reads is not work else (work,)
        self.claims = ClaimStore(work, limits)
        self.requests = RequestStore(work)
        self.registers = RegisterStore(work)
        self.reads = ReadStore(reads)

    async def open(self) -> None:
        """Start connecting; what is asked before there is a connection waits for it."""
        for pool in self._pools:
            await pool.open()

    async def schema_version(self) -> str:
        """The newest migration that was applied; asked of each pool, so an answer means that all of them work."""
        found = [await pool.row(_SCHEMA_VERSION) for pool in self._pools]
        return str(found[0][0])

    async def close(self) -> None:
        """Give all connections back."""
        for pool in self._pools:
            await pool.close()
