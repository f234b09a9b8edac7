"""The clock inside the test: its duties on a real database, a slice at a time, and what they leave in the outbox."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from panda_fsm.jobs.facts import FINAL, Limits
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, DeadlinePassed, decode
from panda_fsm.trouble import Condition
from panda_fsm.views.stuck import Thresholds
from periodic import archive, blocks, deadlines, flow, held_tasks, operations, pulse, stuck
from sql.appointments import Appointments
from sql.archive import Archive
from sql.duty import WorkerSession
from sql.flow import Flow
from sql.held_tasks import HeldTasks
from sql.open_blocks import OpenBlocks, SettledBlocks
from sql.operations import Operations
from sql.pulse import Pulse
from sql.stuck_walk import StuckWalk
from tests.driver import Database
from tests.inprocess import LIMITS


class Clock:
    """The duties that look at jobs, on one connection as in a worker of the daemon."""

    def __init__(self, url: str, limits: Limits = LIMITS, losses_per_s: float = 1000, timeout_s: float = 30) -> None:
        self.condition = Condition()
        self._worker = worker = WorkerSession(url, timeout_s)
        self._duties = {
            "deadlines": deadlines.duty(Appointments(worker), limits, losses_per_s, self.condition),
            "archive": archive.duty(Archive(worker)),
            "blocks": blocks.duty(OpenBlocks(worker)),
            "settled_blocks": blocks.settling(SettledBlocks(worker)),
            "held_jobs": held_tasks.settling(HeldTasks(worker)),
            "held_tasks": held_tasks.checking(HeldTasks(worker)),
            "flow": flow.duty(Flow(worker)),
            "stuck": stuck.duty(StuckWalk(worker), Thresholds({}), share=1),
            "operations": operations.duty(Operations(worker)),
            "pulse": pulse.duty(Pulse(worker), self.condition),
        }

    def slice(self, name: str) -> bool:
        """One slice of a duty; True when it says that more is due. False also while somebody else does it."""
        with self._worker.run(name, self._duties[name].alone) as is_ours:
            return is_ours and self._duties[name].run()

    def round(self, name: str) -> None:
        """All that is due now."""
        while self.slice(name):
            pass

    def go_on(self, ending: threading.Event) -> None:
        """Slice after slice of all duties, until told to end."""
        while not ending.wait(0.01):
            for name in self._duties:
                self.slice(name)

    def close(self) -> None:
        """Give the connection back."""
        self._worker.close()


def said(database: Database) -> list[AnyMessage]:
    """Take what is in the outbox."""
    rows = database.rows("DELETE FROM outbox RETURNING message_id, body")
    return [decode(body.encode()) for _, body in sorted(rows)]


def enter(database: Database, job_ids: Iterable[int], state: State, ago_s: float = 40_000, **fields: Any) -> None:
    """Put jobs into a state since `ago_s`, with their deadline an hour away and an appointment that is due. After
    half a day those of tasks may be idle."""
    values = {"deadline_at": "1 hour"} | fields
    database.rows(
        """UPDATE job SET state = %(state)s, version = 5, verdict = %(verdict)s, has_report = %(has_report)s,
               state_changed_at = now() - make_interval(secs => %(ago)s),
               deadline_at = now() + %(deadline_at)s::interval,
               ended_at = CASE WHEN %(final)s THEN now() - make_interval(secs => %(ago)s) END
           WHERE job_id = ANY(%(ids)s) RETURNING 1""",
        {"verdict": None, "has_report": False, "state": state.value, "ago": ago_s, "final": state in FINAL,
         "ids": list(job_ids)} | values,
    )  # fmt: skip
    database.rows(
        "UPDATE job_deadline SET deadline_at = now() - interval '1 s', ended = %s WHERE job_id = ANY(%s) RETURNING 1",
        (state in FINAL, list(job_ids)),
    )


def in_block(database: Database, job_ids: Sequence[int], kind: str, status: str, name: str = "block") -> None:
    """Put the files of jobs into a block: the input of a dispatch block, the outputs of a sub block."""
    database.rows(
        "INSERT INTO data_block (name, kind, source, destination, created_at)"
        " VALUES (%s, %s, 'FROM', 'TO', now() - interval '1 h') RETURNING 1",
        (name, kind),
    )
    database.rows(
        """UPDATE job_file SET status = %s, block_id = (SELECT block_id FROM data_block WHERE name = %s)
           WHERE job_id = ANY(%s) AND (type = 'input') = (%s = 'dispatch') RETURNING 1""",
        (status, name, list(job_ids), kind),
    )


def appointment_s(database: Database, job_id: int) -> float:
    """Seconds until the clock looks at a job."""
    query = "SELECT extract(epoch FROM deadline_at - now())::float8 FROM job_deadline WHERE job_id = %s"
    return float(database.value(query, (job_id,)))


def add_ended(database_url: str, job_ids: range) -> None:
    """Jobs that ended long ago, made after job 1; their time is up before everybody else's."""
    numbers = {"first": job_ids.start, "last": job_ids.stop - 1}
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """INSERT INTO job SELECT (jsonb_populate_record(j, jsonb_build_object(
                   'job_id', i, 'state', 'finished', 'ended_at', now() - interval '1 day',
                   'deadline_at', now() - interval '1 h'))).*
               FROM job j, generate_series(%(first)s::bigint, %(last)s) i WHERE j.job_id = 1""",
            numbers,
        )
        for statement in (
            "INSERT INTO job_spec SELECT i, '{}' FROM generate_series(%(first)s::bigint, %(last)s) i",
            """INSERT INTO job_file SELECT (jsonb_populate_record(f, jsonb_build_object('job_id', i))).*
               FROM job_file f, generate_series(%(first)s::bigint, %(last)s) i WHERE f.job_id = 1""",
            """INSERT INTO job_deadline (job_id, deadline_at, ended)
               SELECT i, now() - interval '1 h', true FROM generate_series(%(first)s::bigint, %(last)s) i""",
        ):
            connection.execute(statement, numbers)


def lost_for(database: Database, seconds: int) -> None:
    """Time goes by, and nobody did anything."""
    database.rows(
        "UPDATE job SET state_changed_at = state_changed_at - make_interval(secs => %(s)s),"
        " deadline_at = deadline_at - make_interval(secs => %(s)s) RETURNING 1",
        {"s": seconds},
    )
    database.rows(
        "UPDATE job_deadline SET deadline_at = deadline_at - make_interval(secs => %s) RETURNING 1", (seconds,)
    )
    for table, column in (("pulse", "ticked_at"), ("job_heard", "heard_at")):
        query = f"UPDATE {table} SET {column} = {column} - make_interval(secs => %s) RETURNING 1"  # noqa: S608
        database.rows(query, (seconds,))


def overdue(messages: list[AnyMessage]) -> list[int]:
    """The jobs whose deadlines are announced."""
    return sorted(message.job_id for message in messages if isinstance(message, DeadlinePassed))
