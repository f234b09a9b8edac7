"""What people read: jobs with their files, counts, how far a task is. Apart from what pilots wait for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from psycopg.rows import dict_row

from panda_fsm.descriptions import (
    FileRow,
    HistoryStep,
    Hop,
    JobDescription,
    JobSample,
    ListedJob,
    Shown,
    TaskProgress,
    Wanted,
)
from panda_fsm.errors import TooMuchError
from panda_fsm.jobs.facts import FINAL
from sql.job_rows import JobRows
from sql.queries import load

_Q = load("reads")
_AT_A_TIME = 50
_MOST_BYTES = 64 * 1024 * 1024
"""Of parameters, metadata and files in one answer."""
_NAMES_OF_A_FILE = 256
"""What is said of a file takes so much more where each of its values has its name."""
_HOPS_OF = 300
_HOPS_AMONG = 10_000
"""Live jobs and archived ones, of which hops are taken: enough for percentiles, and looked up in milliseconds."""
_LAST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVER = datetime(9000, 1, 1, tzinfo=UTC)
_WHOSE: LiteralString = "true /* whose */"
_TASK: LiteralString = "task_id = %(task_id)s"
_USER: LiteralString = "user_name = %(user_name)s"


def _of(query: str) -> Mapping[tuple[bool, bool], LiteralString]:
    """The query for jobs of anybody, of a task, of a user, of both: each is led by an index of its own."""
    whose: Mapping[tuple[bool, bool], LiteralString] = {
        (True, False): _TASK, (False, True): _USER, (True, True): f"{_TASK} AND {_USER}"
    }  # fmt: skip
    anybodys = _Q[query].replace(" OFFSET 0", "")
    return {asked: _Q[query].replace(_WHOSE, leading) for asked, leading in whose.items()} | {(False, False): anybodys}


_LISTS = {query: _of(query) for query in ("list_live", "list_archived")}


class ReadStore(JobRows):
    """The gateway's reads. Raises TransientError while the database is away or too slow."""

    async def describe(self, job_ids: Sequence[int]) -> dict[int, JobDescription]:
        """Jobs with specification and files, live or archived. Raises TooMuchError when they are too large together.

        A few at a time, so that others who read have their turn. What is asked for several times weighs as often.
        """
        found: dict[int, JobDescription] = {}
        asked = Counter(job_ids)
        wanted = list(asked)
        left = _MOST_BYTES
        for start in range(0, len(wanted), _AT_A_TIME):
            missing = wanted[start : start + _AT_A_TIME]
            for query in ("describe", "describe_archived"):
                for row in await self._described(query, missing) if missing else ():
                    weight = row.pop("weight") + _NAMES_OF_A_FILE * len(row["files"])
                    left -= weight * asked[row["job_id"]]
                    found[row["job_id"]] = _description(row)
                if left < 0:
                    raise TooMuchError(f"these jobs have more than {_MOST_BYTES >> 20} MB: ask for fewer at once")
                missing = [job_id for job_id in missing if job_id not in found]
        return found

    async def _described(self, query: str, job_ids: list[int]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_Q[query], {"job_ids": job_ids})
            return await cursor.fetchall()

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, queue, jobs) from the rollup."""
        return [(row[0], row[1], row[2]) for row in await self._pool.rows(_Q["job_counts"])]

    async def task_progress(self, task_id: int) -> TaskProgress:
        """Jobs of a task per state, and the time of each hop of its newest jobs."""
        states = {row[0]: row[1] for row in await self._pool.rows(_Q["task_states"], task_id=task_id)}
        return TaskProgress(states, await self.hops(task_id))

    async def hops(self, task_id: int) -> list[Hop]:
        """The time of each hop of a task's newest jobs."""
        return [
            Hop(row[0], row[1], *(round(float(ms), 3) for ms in row[2:]))
            for row in await self._pool.rows(_Q["task_hops"], task_id=task_id, jobs=_HOPS_OF, most=_HOPS_AMONG)
        ]

    async def list_jobs(self, wanted: Wanted) -> list[ListedJob]:
        """At most as many as wanted, the newest first, live ones before those that are archived.

        The archive holds jobs in a final state alone: for another one it is not looked through in vain.
        """
        after_id, after_us = wanted.after or (_LAST, None)
        found: list[ListedJob] = []
        if after_us is None:
            found = await self._listed("list_live", wanted, after_id=after_id)
        left = wanted.limit - len(found)
        if left > 0 and (wanted.state is None or wanted.state in FINAL):
            at = _EVER if after_us is None else _EPOCH + timedelta(microseconds=after_us)
            found += await self._listed("list_archived", replace(wanted, limit=left), after_id=after_id, after_at=at)
        return found

    async def _listed(self, query: str, wanted: Wanted, **after: Any) -> list[ListedJob]:
        whose = wanted.task_id is not None, wanted.user_name is not None
        parameters = {name: getattr(wanted, name) for name in ("task_id", "user_name", "state", "limit")}
        since = _EPOCH if wanted.since is None else _EPOCH + timedelta(seconds=wanted.since)
        until = _EVER if wanted.until is None else _EPOCH + timedelta(seconds=wanted.until)
        found = await self._pool.rows(_LISTS[query][whose], **parameters, since=since, until=until, **after)
        return [ListedJob(*row) for row in found]

    async def history(self, job_id: int) -> list[HistoryStep]:
        """What a job went through; nothing of one that is not known."""
        return [HistoryStep(*row) for row in await self._pool.rows(_Q["history"], job_id=job_id)]

    async def samples(self, job_id: int) -> list[JobSample]:
        """How its payload did."""
        return [JobSample(*row) for row in await self._pool.rows(_Q["samples"], job_id=job_id)]

    async def stdout(self, job_id: int) -> Shown | None:
        """What its pilot showed last."""
        found = await self._pool.rows(_Q["stdout"], job_id=job_id)
        return Shown(*found[0]) if found else None


def _description(row: dict[str, Any]) -> JobDescription:
    spec, files = row.pop("spec"), row.pop("files")
    return JobDescription(row["job_id"], row, spec or {}, [FileRow(*file) for file in files])
