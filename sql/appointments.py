"""The database side of the appointments: live jobs whose time has come, a slice at a time, and all of them at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import psycopg

from panda_fsm.blocks.states import BlockKind
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.appointments import Appointed, Due, Way, asks_again, looks_at
from panda_fsm.jobs.deadlines import SAID_BY_PILOTS, Activity, Unless
from panda_fsm.jobs.facts import ENDED_BADLY, FACTS, FINAL, GOES_ON, Replay
from panda_fsm.jobs.job import Job
from panda_fsm.messages import BlockClosed, Message, TransferRequested
from panda_fsm.transfers import merged
from sql import duty, outbox
from sql.live_jobs import read_files, read_jobs
from sql.queries import load
from sql.rows import as_json
from sql.session import Session, to_lock_s

_Q = load("appointments")
_CHUNK = 2000
_NO_REQUEST = "00000000-0000-0000-0000-000000000000"

_UNKNOWN_S = 600

Decide = Callable[[Due], Mapping[int, Appointed]]


class Appointments:
    """The job_deadline table as the daemon sees it. Raises TransientError while the database is away."""

    def __init__(self, worker: duty.WorkerSession) -> None:
        self._session = duty.DutySession(worker, "deadlines")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def keep(self, limit: int, decide: Decide) -> int:
        """Take at most `limit` jobs that are due, and do what `decide` says of them; returns how many were due.

        Jobs that somebody holds are looked at again in a second. A job that cannot be read or decided is put off alone.
        """
        with self._session.slice() as connection:
            due: dict[int, bool] = dict(connection.execute(_Q["due"], {"limit": limit}).fetchall())
            duty.put_off(
                connection, duty.bisect(connection, list(due), lambda part: _keep(connection, part, due, decide))
            )
            return len(due)


def _keep(connection: psycopg.Connection, job_ids: Sequence[int], at_once: Mapping[int, bool], decide: Decide) -> None:
    jobs = read_jobs(connection, "load_jobs_locked", job_ids)
    duty.put_off_missing(connection, job_ids, jobs)
    if not jobs:
        return
    now, grace_until = connection.execute(_Q["clock"]).fetchone() or (None, None)
    asked = frozenset(job_id for job_id in jobs if at_once[job_id])
    ways, worker_done = _ways(connection, jobs), _worker_done(connection, jobs)
    appointed = decide(Due(jobs, ways, now, grace_until, asked, worker_done, _last_active(connection, jobs, now)))
    rows = [{"job_id": job_id, "look_at": one.look_at, "ended": one.ended} for job_id, one in appointed.items()]
    connection.execute(_Q["make"], {"rows": as_json(rows)})
    again = _closed_blocks(connection, jobs, now)
    _send(connection, (*again, *(message for one in appointed.values() for message in one.messages)))


def _worker_done(connection: psycopg.Connection, jobs: Mapping[int, Job]) -> frozenset[int]:
    """The jobs whose pilots owe a word, and whose workers are known to have ended."""
    with_pilot = [job_id for job_id, job in jobs.items() if job.awaits_last_words]
    if not with_pilot:
        return frozenset()
    return frozenset(job_id for (job_id,) in connection.execute(_Q["worker_done"], {"job_ids": with_pilot}))


def _last_active(
    connection: psycopg.Connection, jobs: Mapping[int, Job], now: datetime
) -> dict[int, dict[Activity, datetime]]:
    """When there was last the activity that deadlines of these jobs look at, if ever; the others cost nothing.

    While it waits to be handled that a job runs, nobody knows: they are looked at again a little later.
    """
    asked: dict[Unless, list[int]] = {}
    for job in jobs.values():
        for unless in looks_at(job, now):
            asked.setdefault(unless, []).append(job.job_id)
    found: dict[int, dict[Activity, datetime]] = {}
    for unless, job_ids in asked.items():
        parameters = {
            "job_ids": job_ids, "seconds": unless.seconds, "states": sorted(GOES_ON), "ended": sorted(FINAL)
        }  # fmt: skip
        may_wait = unless.activity in SAID_BY_PILOTS
        if may_wait and connection.execute(_Q["start_waits"], parameters).fetchone() is not None:
            last = dict.fromkeys(job_ids, now + timedelta(seconds=_UNKNOWN_S - unless.seconds))
        else:
            last = dict(connection.execute(_Q[unless.activity.value], parameters).fetchall())
        for job_id, at in last.items():
            found.setdefault(job_id, {})[unless.activity] = at
    return found


def _closed_blocks(connection: psycopg.Connection, jobs: Mapping[int, Job], now: datetime) -> list[BlockClosed]:
    """What is said again of blocks of which nobody merges what waits for that in them."""
    pauses: dict[int, list[int]] = {}
    for job in jobs.values():
        pause_s = asks_again(job, now)
        if pause_s is not None:
            pauses.setdefault(pause_s, []).append(job.job_id)
    return [
        BlockClosed(block=name, kind=kind, status=status, number_files=files, vo=vo, task_id=task_id)
        for pause_s, job_ids in pauses.items()
        for name, kind, status, files, vo, task_id in connection.execute(
            _Q["ask_again"], {"job_ids": job_ids, "pause_s": pause_s, "ended_badly": sorted(ENDED_BADLY)}
        )
    ]


def _ways(connection: psycopg.Connection, jobs: Mapping[int, Job]) -> dict[str, Way]:
    """The ways of what jobs wait for, by block; those jobs get their files read, the others need none."""
    waiting = {job_id: job for job_id, job in jobs.items() if FACTS[job.state].replay is Replay.TRANSFERS}
    if not waiting:
        return {}
    read_files(connection, waiting)
    names = {file.block for job in waiting.values() for file in job.files if file.block}
    found = connection.execute(_Q["ways"], {"names": sorted(names)})
    return {name: Way(name, BlockKind(kind), source, destination) for name, kind, source, destination in found}


def _send(connection: psycopg.Connection, messages: Iterable[Message]) -> None:
    """To the outbox, in the same transaction; what is asked of one block leaves together."""
    said = list(messages)
    transfers = [message for message in said if isinstance(message, TransferRequested)]
    others = [message for message in said if not isinstance(message, TransferRequested)]
    outbox.hand_over(connection, [Outgoing.of(message) for message in [*others, *merged(transfers)]])


def make_appointments_now(database_url: str, statement_timeout_s: float = 30.0) -> tuple[int, int]:
    """Make all appointments of live jobs due now, and kept requests too; returns how many of each.

    In chunks of a transaction each, and without waiting for a row while holding others. What somebody holds for longer
    than a moment is passed over.
    """
    session = Session(database_url, "replay", statement_timeout_s, to_lock_s(statement_timeout_s))
    try:
        with session.use() as connection:
            return _jobs_now(connection), _requests_now(connection)
    finally:
        session.close()


def _jobs_now(connection: psycopg.Connection) -> int:
    done, after = 0, 0
    while rows := connection.execute(_Q["next_jobs"], {"after": after, "limit": _CHUNK}).fetchall():
        job_ids = [job_id for (job_id,) in rows]
        made = {job_id for (job_id,) in connection.execute(_Q["now_unlocked"], {"job_ids": job_ids})}
        for job_id in job_ids:
            if job_id not in made:
                with suppress(psycopg.errors.LockNotAvailable):
                    connection.execute(_Q["now_one"], {"job_id": job_id})
                    made.add(job_id)
        done, after = done + len(made), job_ids[-1]
    return done


def _requests_now(connection: psycopg.Connection) -> int:
    done, after = 0, _NO_REQUEST
    while rows := connection.execute(_Q["requests_now"], {"after": after, "limit": _CHUNK}).fetchall():
        done, after = done + len(rows), max(message_id for (message_id,) in rows)
    return done
