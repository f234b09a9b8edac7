"""The gateway's store: a pool of asynchronous connections, the claim, and short reads."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from panda_fsm.dispatch import (
    CacheFile,
    Claim,
    FileRow,
    Filters,
    Hop,
    JobDescription,
    JobRow,
    Seat,
    TaskProgress,
    Worker,
)
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.events import JobEvent
from panda_fsm.lifecycle import Trigger
from panda_fsm.states import State
from sql.queries import load

_Q = load("gateway")
_HOST = socket.gethostname()
_WAIT_FOR_CONNECTION_S = 10.0
_PLANNER = "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"
"""Every statement here goes by an index. Said outright, the plan is the same with one job waiting and with 100,000,
with fresh statistics and with none, and it is made once a connection."""
_JIT = "-c enable_bitmapscan=off -c enable_sort=off -c jit=off"


class GatewayStore:
    """The gateway's Store port. Raises TransientError while the database is away or too slow."""

    def __init__(
        self,
        database_url: str,
        pool_size: int,
        statement_timeout_s: float,
        deadline_s: Callable[[State], int | None],
    ) -> None:
        self._deadline_s = deadline_s
        options = f"-c statement_timeout={int(statement_timeout_s * 1000)} {_PLANNER} {_JIT}"
        self._pool = AsyncConnectionPool(
            database_url,
            min_size=min(2, pool_size),
            max_size=pool_size,
            timeout=_WAIT_FOR_CONNECTION_S,
            open=False,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                "connect_timeout": 5,
                "tcp_user_timeout": 30_000,
                "application_name": "gateway",
                "options": options,
            },
        )

    async def open(self) -> None:
        """Start connecting; what is asked before there is a connection waits for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    async def claim(self, filters: Filters, seats: Sequence[Seat]) -> Claim:
        """Hand out waiting jobs that all fit the same filters."""
        return await self.claim_each([(filters, seats)])

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return."""
        async with self._connection() as connection:
            async with connection.transaction():
                picked = await self._pick(connection, groups)
                seats = [seat for (_, s), job_ids in zip(groups, picked, strict=True) for seat in s[: len(job_ids)]]
                job_ids = [job_id for group in picked for job_id in group]
                claim = Claim([], [])
                if job_ids:
                    cursor = await connection.execute(_Q["claim"], self._claim_parameters(job_ids, seats))
                    _read_claimed(claim, await cursor.fetchall(), seats)
                    await connection.execute(_Q["add_to_outbox"], _rows_of(claim.events))
            given = iter(claim.jobs)
            claim.jobs = [
                next(given) if n < len(p) else None
                for (_, s), p in zip(groups, picked, strict=True)
                for n in range(len(s))
            ]
            short = [filters for (filters, s), p in zip(groups, picked, strict=True) if len(p) < len(s)]
            if short:  # the claim is committed: trouble with a courtesy must not hide it from its pilots
                with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                    claim.more_waiting = await self._still_waiting(connection, short)
        return claim

    async def _pick(
        self, connection: psycopg.AsyncConnection, groups: Sequence[tuple[Filters, Sequence[Seat]]]
    ) -> list[list[int]]:
        """The ids for each group. All searches go to the server at once; a later one does not see what is taken."""
        async with connection.pipeline():
            cursors = [
                await connection.execute(_Q["pick"], _filter_parameters(filters) | {"wanted": len(seats)})
                for filters, seats in groups
            ]
            return [[job_id for (job_id,) in await cursor.fetchall()] for cursor in cursors]

    async def _still_waiting(self, connection: psycopg.AsyncConnection, short: Sequence[Filters]) -> set[Filters]:
        """Those who find a job that fits although they could not get it."""
        async with connection.pipeline():
            cursors = [await connection.execute(_Q["is_any_waiting"], _filter_parameters(f)) for f in short]
            answers = [await cursor.fetchone() for cursor in cursors]
        return {filters for filters, answer in zip(short, answers, strict=True) if answer and answer[0]}

    def _claim_parameters(self, job_ids: Sequence[int], seats: Sequence[Seat]) -> dict[str, Any]:
        rows = [
            {"job_id": job_id, "cause": s.cause, "holder": s.holder, "node": s.node, "pilot": s.pilot, "number": n}
            for n, (job_id, s) in enumerate(zip(job_ids, seats, strict=True), 1)
        ]
        return {
            "rows": orjson.dumps(rows).decode(),
            "deadline_s": self._deadline_s(State.SENT),
            "host": _HOST,
        }

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""
        await self._execute("forget_published", {"message_ids": list(message_ids)})

    async def keep_requests(self, messages: Sequence[Outgoing]) -> None:
        """Keep a copy of requests until their service has handled them."""
        await self._execute("keep_requests", _rows_of(messages))

    async def hand_to_relay(self, messages: Sequence[Outgoing]) -> None:
        """Accept requests that the broker did not confirm: on disk in the outbox when this returns."""
        await self._execute("add_to_outbox", _rows_of(messages))

    async def forget_requests(self, message_ids: Sequence[str]) -> None:
        """Drop the copies of requests that the broker did not take."""
        await self._execute("forget_requests", {"message_ids": list(message_ids)})

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Jobs by id, live or archived."""
        found = {row[0]: _job_row(row) for row in await self._rows("jobs", job_ids=list(job_ids))}
        missing = [job_id for job_id in job_ids if job_id not in found]
        if missing:
            for row in await self._rows("archived_jobs", job_ids=missing):
                found[row[0]] = _job_row(row)
        return found

    async def describe(self, job_ids: Sequence[int], archive: bool) -> dict[int, JobDescription]:
        """Jobs with specification and files; archived ones only if asked for."""
        found = await self._described("describe", list(job_ids))
        missing = [job_id for job_id in job_ids if job_id not in found]
        if archive and missing:
            found |= await self._described("describe_archived", missing)
        return found

    async def _described(self, query: str, job_ids: list[int]) -> dict[int, JobDescription]:
        async with self._connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_Q[query], {"job_ids": job_ids})
            return {row["job_id"]: _description(row) for row in await cursor.fetchall()}

    async def job_id_block(self) -> int:
        """The first id of a block of PandaIDs that belongs to the caller alone."""
        return int((await self._row("job_id_block"))[0])

    async def last_job_id_block(self) -> int:
        """The first id of the block handed out last, to whomever."""
        return int((await self._row("last_job_id_block"))[0])

    async def job_set_id(self) -> int:
        """A new jobset id."""
        return int((await self._row("job_set_id"))[0])

    async def record_worker(self, worker: Worker) -> None:
        """Insert or renew what a worker said of itself."""
        await self._execute("record_worker", asdict(worker))

    async def record_worker_node(self, site: str, host_name: str, description: dict[str, Any]) -> None:
        """Insert or complete the description of a machine."""
        text = orjson.dumps(description).decode()
        await self._execute("record_worker_node", {"site": site, "host_name": host_name, "description": text})

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, site, jobs) from the rollup."""
        return [(row[0], row[1], row[2]) for row in await self._rows("job_counts")]

    async def task_progress(self, task_id: int) -> TaskProgress:
        """Jobs of a task per state, and the time of each hop."""
        states = {row[0]: row[1] for row in await self._rows("task_states", task_id=task_id)}
        hops = [
            Hop(row[0], row[1], *(round(float(ms), 3) for ms in row[2:]))
            for row in await self._rows("task_hops", task_id=task_id)
        ]
        return TaskProgress(states, hops)

    async def add_cache_file(self, file: CacheFile) -> CacheFile:
        """Record a file and return what the name now belongs to: the new file, or the one that was first."""
        return CacheFile(*(await self._row("add_cache_file", **asdict(file))))

    async def cache_file_with(self, size: int, checksum: int) -> CacheFile | None:
        """The newest file with this content."""
        rows = await self._rows("cache_file_with", size=size, checksum=checksum)
        return CacheFile(*rows[0]) if rows else None

    async def schema_version(self) -> str:
        """The newest migration that was applied."""
        return str((await self._row("schema_version"))[0])

    async def _row(self, query: str, **parameters: Any) -> tuple[Any, ...]:
        return (await self._rows(query, **parameters))[0]

    async def _rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            return await (await connection.execute(_Q[query], parameters)).fetchall()

    async def _execute(self, query: str, parameters: Mapping[str, Any]) -> None:
        async with self._connection() as connection:
            await connection.execute(_Q[query], parameters)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of the pool; when the database went away, the pool's dead ones are replaced at once."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, PoolClosed) as error:
            raise TransientError(f"no database connection: {error}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            await self._pool.check()
            raise TransientError(f"database: {error}") from error


async def _configure(connection: psycopg.AsyncConnection) -> None:
    set_json_loads(orjson.loads, connection)


def _filter_parameters(filters: Filters) -> dict[str, Any]:
    parameters = asdict(filters)
    return parameters | {"labels": list(filters.labels) if filters.labels is not None else None}


def _read_claimed(claim: Claim, rows: Sequence[tuple[Any, ...]], seats: Sequence[Seat]) -> None:
    for row in rows:
        columns = dict(zip(_CLAIMED, row[1:], strict=False))
        claim.jobs.append(JobDescription(row[1], columns, row[-2], [FileRow(*file) for file in row[-1]]))
        event = JobEvent(
            job_id=row[1], version=row[2], state=State.SENT, previous=State.ACTIVATED,
            trigger=Trigger.ACQUIRED.value, site=columns["site"], vo=columns["vo"], task_id=columns["task_id"],
            cause=seats[row[0] - 1].cause,
        )  # fmt: skip
        claim.events.append(Outgoing.of(event))


_CLAIMED = (
    "job_id", "version", "attempt_nr", "vo", "site", "label", "priority", "task_id", "job_definition_id",
    "jobset_id", "name", "user_name", "core_count", "min_ram", "max_disk", "max_walltime", "resource_type",
)  # fmt: skip


def _rows_of(messages: Sequence[Outgoing]) -> dict[str, str]:
    rows = [
        {"message_id": m.message_id, "exchange": m.exchange, "routing_key": m.routing_key, "body": m.body.decode()}
        for m in messages
    ]
    return {"rows": orjson.dumps(rows).decode()}


def _job_row(row: Sequence[Any]) -> JobRow:
    return JobRow(row[0], State(row[1]), *row[2:])


def _description(row: dict[str, Any]) -> JobDescription:
    spec, files = row.pop("spec"), row.pop("files")
    return JobDescription(row["job_id"], row, spec or {}, [FileRow(*file) for file in files])
