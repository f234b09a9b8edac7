"""The archive: ended jobs leave the hot tables in slices, each with all that belongs to it, at the time it ended."""

from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
from psycopg import sql

from panda_fsm.errors import SystemicError
from panda_fsm.jobs.appointments import Archived, Ended
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from sql import duty
from sql.queries import load
from sql.rows import as_json

_Q = load("archive")
_BESIDE = ("job_file", "job_spec", "job_heard", "job_told", "seat", "job_upstream")
"""Where rows lie that go with a job and are not locked with it."""
_HELD = sql.SQL(" UNION ").join(
    [*(sql.SQL(_Q["held_rows"]).format(table=sql.Identifier(table)) for table in _BESIDE), sql.SQL(_Q["held_blocks"])]
)

WhenToGo = Callable[[Ended, datetime], datetime | None]


class Archive:
    """The appointments of ended jobs. Raises TransientError while the database is away."""

    def __init__(self, worker: duty.WorkerSession) -> None:
        self._session = duty.DutySession(worker, "archive")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def keep(self, limit: int, when: WhenToGo) -> Archived:
        """Archive those of at most `limit` ended jobs of which `when` says so; the others get another appointment.

        A job that cannot be archived says why and is tried again in an hour, one of which somebody holds a row a moment
        later; the others go.
        """
        with self._session.slice() as connection:
            due = [job_id for (job_id,) in connection.execute(_Q["due"], {"limit": limit})]
            if not due:
                return Archived(0, 0, {})
            going = _ready(connection, due, when)
            move = _move(connection)
            undone = duty.bisect(
                connection, going, lambda part: _execute(connection, move, part), lambda part: _held(connection, part)
            )
            duty.put_off(connection, undone)
            gone = len(going) - len(undone.trouble) - len(undone.held)
            return Archived(len(due), gone, undone.trouble, len(undone.held))


def _execute(connection: psycopg.Connection, query: sql.Composed, job_ids: Sequence[int]) -> None:
    connection.execute(query, {"job_ids": list(job_ids)})


def _held(connection: psycopg.Connection, job_ids: Sequence[int]) -> list[int]:
    """Those of the jobs that cannot go now, for somebody holds a row of theirs or a block that counts their files."""
    return [job_id for (job_id,) in connection.execute(_HELD, {"job_ids": list(job_ids)})]


def _ready(connection: psycopg.Connection, due: list[int], when: WhenToGo) -> list[int]:
    """The jobs that go now, locked. Who is not final after all gets his deadlines back."""
    found = connection.execute(_Q["look_at"], {"job_ids": due}).fetchall()
    going, later = [], []
    for job_id, state, deadline_at, awaits_closing, now in found:
        ended = state in FINAL
        look_at = when(Ended(job_id, State(state), deadline_at, awaits_closing), now) if ended else now
        if look_at is None:
            going.append(job_id)
        else:
            later.append({"job_id": job_id, "look_at": look_at, "ended": ended})
    connection.execute(_Q["look_later"], {"rows": as_json(later)})
    duty.put_off_missing(connection, due, {row[0] for row in found})
    return going


def _move(connection: psycopg.Connection) -> sql.Composed:
    """The statement that moves jobs, by the columns that the tables have now: a newer schema may have more.

    Raises SystemicError when the archive has no place for a column: nothing may get lost in silence.
    """
    columns: dict[str, list[str]] = {}
    for table, names, missing in connection.execute(_Q["columns"]):
        if missing:
            raise SystemicError(f"{table}_archive has no column {', '.join(missing)}: no job is archived without it")
        columns[table] = names
    return sql.SQL(_Q["move"]).format(
        job=_list(columns["job"]),
        job_file=_list(columns["job_file"]),
        job_spec=_list(columns["job_spec"]),
        g_job=_list(columns["job"], "g"),
        f_job_file=_list(columns["job_file"], "f"),
        s_job_spec=_list(columns["job_spec"], "s"),
    )


def _list(names: Sequence[str], table: str = "") -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, name) if table else sql.Identifier(name) for name in names)
