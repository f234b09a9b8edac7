"""The gateway's database: connections for what pilots wait for, for what people read, and one that looks after all."""

from panda_fsm.descriptions import DatabaseState
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import Limits
from panda_fsm.views.stuck import Thresholds
from sql.claims import ClaimStore
from sql.dashboard_store import DashboardStore
from sql.dead_letters import DeadLetterDesk
from sql.operators import OperatorStore
from sql.pool import Pool
from sql.readiness import Readiness
from sql.reads import ReadStore
from sql.registers import RegisterStore
from sql.repeats import RepeatStore
from sql.requests import RequestStore
from sql.shared_keys import SharedKeys

_PEOPLES_SHARE = 4
_PEOPLES_TIMEOUT_S = 5.0
_TO_LOCK_S = 1.0
"""Requests share statements and connections: whoever waits for what somebody holds keeps others waiting."""


class GatewayStore:
    """The gateway's Store port: at most `pool_size` connections (at least 3); a quarter is for people, one looks.

    The dashboards have theirs beside these.
    """

    def __init__(
        self,
        database_url: str,
        pool_size: int,
        statement_timeout_s: float,
        limits: Limits,
        thresholds: Thresholds | None = None,
    ) -> None:
        for_people = max(1, pool_size // _PEOPLES_SHARE)
        size = max(1, pool_size - for_people - 1)
        work = Pool(database_url, "gateway", size, statement_timeout_s, lock_timeout_s=_TO_LOCK_S)
        peoples_limit_s = min(statement_timeout_s, _PEOPLES_TIMEOUT_S)
        people = Pool(database_url, "gateway.people", for_people, peoples_limit_s, by_index=False)
        self._pools = {"requests": work, "people": people}
        self._readiness = Readiness(database_url)
        self.claims = ClaimStore(work, limits)
        self.requests = RequestStore(work)
        self.repeats = RepeatStore(work)
        self.registers = RegisterStore(work, people)
        self.reads = ReadStore(people)
        self.keys = SharedKeys(people)
        self.operators = OperatorStore(people)
        self.dashboard = DashboardStore(database_url, limits=limits, thresholds=thresholds)
        self.dead_letters = DeadLetterDesk(database_url, _PEOPLES_TIMEOUT_S)

    async def open(self) -> None:
        """Start connecting; what is asked before there is a connection waits for it."""
        for pool in self._pools.values():
            await pool.open()
        await self.dashboard.open()

    async def state(self) -> DatabaseState:
        """What can be done with the database now, whoever else waits for it. Raises TransientError: nothing."""
        found = await self._readiness.look()
        away = [name for name, pool in self._pools.items() if pool.is_away]
        if away:
            raise TransientError(f"no database connection for {' and '.join(away)}")
        return found

    async def close(self) -> None:
        """Give all connections back."""
        await self._readiness.close()
        await self.dashboard.close()
        for pool in self._pools.values():
            await pool.close()
