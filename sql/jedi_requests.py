"""What requests of JEDI's need of the database: looked up before they are answered, and written with the answer."""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from panda_fsm.answers import KnownJob, Noted, RequestKey
from panda_fsm.effects import Effects
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from sql import rows
from sql.queries import load
from sql.session import Session

_Q = load("jedi_requests")
_BLOCK = 1000
"""The increment of the sequence job_id_block."""


class JediRequests:
    """One connection for one worker thread. Raises TransientError while the database is away or too slow."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, "jedi.requests.look", statement_timeout_s, planned_once=True)
        self._free: deque[range] = deque()

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def noted(self, key: RequestKey) -> Noted | None:
        found = self._rows("noted", actor=key.actor, msg_id=key.msg_id)
        return Noted(*found[0]) if found else None

    def reserve(self, count: int) -> int:
        """Blocks of the sequence until enough of them follow each other; what is left over is for `job_ids`."""
        wanted = -(-count // _BLOCK)
        run: list[int] = []
        while len(run) < wanted:
            for first in self._blocks(wanted - len(run)):
                if run and first != run[-1] + _BLOCK:
                    self._free.extend(range(lost, lost + _BLOCK) for lost in run)
                    run = []
                run.append(first)
        self._free.append(range(run[0] + count, run[0] + wanted * _BLOCK))
        return run[0]

    def job_ids(self, count: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            if not self._free:
                self._free.extend(range(first, first + _BLOCK) for first in self._blocks(1))
            free = self._free.popleft()
            part = free[: count - len(taken)]
            taken += part
            if len(part) < len(free):
                self._free.appendleft(free[len(part) :])
        return taken

    def job_set_id(self) -> int:
        return int(self._rows("job_set_id")[0][0])

    def granted(self, actor: str, job_ids: Sequence[int]) -> set[int]:
        return {job_id for (job_id,) in self._rows("granted", actor=actor, job_ids=list(job_ids))}

    def jobs(self, job_ids: Sequence[int]) -> dict[int, KnownJob]:
        found = {row[0]: _known(row) for row in self._rows("jobs", job_ids=list(job_ids))}
        missing = [job_id for job_id in job_ids if job_id not in found]
        if missing:
            found |= {row[0]: _known(row) for row in self._rows("archived_jobs", job_ids=missing)}
        return found

    def live_jobs(self, task_ids: Sequence[int]) -> dict[int, list[int]]:
        wanted = {"task_ids": list(task_ids), "final": [state.value for state in FINAL]}
        return dict(self._rows("live_jobs", **wanted))

    def origins(self, job_ids: Sequence[int]) -> dict[int, int]:
        return dict(self._rows("origins", job_ids=list(job_ids)))

    def _blocks(self, count: int) -> list[int]:
        return [first for (first,) in self._rows("blocks", count=count)]

    def _rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._session.use() as connection:
            return connection.execute(_Q[query], parameters).fetchall()


def write(connection: psycopg.Connection, effects: Effects) -> None:
    """What the answers of a batch say was done, but for the jobs. Raises TransientError when another process has just
    answered one of the requests: then all is decided anew."""
    new = [(answer.key, answer.noted, answer.deed) for answer in effects.answers if answer.noted is not None]
    notes = [{**key._asdict(), **asdict(noted)} for key, noted, _ in new]
    if notes and len(connection.execute(_Q["note"], {"rows": rows.as_json(notes)}).fetchall()) < len(notes):
        raise TransientError("a request of JEDI's was answered at this very moment")
    deeds = [deed for _, _, deed in new]
    written = {
        "grant": [asdict(deed.grant) for deed in deeds if deed.grant is not None],
        "descend": [asdict(descent) for deed in deeds for descent in deed.descents],
        "audit": [asdict(row) for deed in deeds for row in deed.audit],
    }
    for query, values in written.items():
        if values:
            connection.execute(_Q[query], {"rows": rows.as_json(values)})


def _known(row: Sequence[Any]) -> KnownJob:
    return KnownJob(row[0], State(row[1]), *row[2:])
