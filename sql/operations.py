"""Operations as the daemon works them off: a slice of jobs a transaction, with its requests, audit and the cursor."""

from collections import Counter
from collections.abc import Sequence

import psycopg
from psycopg.types.json import Jsonb

from panda_fsm.auditing import about_jobs
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError, told
from panda_fsm.jobs.acts import ACTS
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State
from panda_fsm.messages import cut
from panda_fsm.views.operations import Operation, why_not
from sql import rows
from sql.audit_rows import WRITE_DOWN, columns
from sql.duty import DutySession, WorkerSession
from sql.job_conditions import conditioned, parameters
from sql.outbox import hand_over
from sql.queries import load

_Q = {**load("operations"), "keep": load("requests")["keep"]}
_KEYS = ["kill", "reassign", "release", "unthrottle", "priority"]
"""With which its requests are published."""
_MOST_UNHANDLED = 2000
_LOOKED = 20_000
"""Rows of one look, however few of them are meant."""


class Operations:
    """Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "operations")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def work(self, limit: int) -> bool:
        """Ask for what is wanted of the next jobs, at most `limit`; True when more is due now.

        While many such requests wait for their services none is added. What nobody foresaw ends the operation, not the
        others.
        """
        operation: Operation | None = None
        try:
            with self._session.slice() as connection:
                row = connection.execute(_Q["due"]).fetchone()
                if row is None:
                    return False
                operation = Operation(*row)
                if _waiting(connection) >= _MOST_UNHANDLED:
                    return False
                _slice(connection, operation, limit)
                return True
        except TransientError:
            raise
        except Exception as error:
            if operation is not None:
                self._fail(operation, error)
            raise

    def _fail(self, operation: Operation, error: Exception) -> None:
        trouble = cut(told(error))
        with self._session.slice() as connection:
            connection.execute(_Q["fail"], {"operation_id": operation.operation_id, "trouble": trouble})


def _waiting(connection: psycopg.Connection) -> int:
    (found,) = connection.execute(_Q["unhandled"], {"keys": _KEYS, "most": _MOST_UNHANDLED}).fetchone() or (0,)
    return int(found)


def _slice(connection: psycopg.Connection, operation: Operation, limit: int) -> None:
    asked = parameters(operation.wanted) | {"cursor": operation.cursor, "last": operation.last_job_id}
    asked |= {"looked": _LOOKED, "wanted": limit}
    found = connection.execute(conditioned(_Q["next_jobs"], asked), asked).fetchall()
    jobs = [JobRow(row[0], State(row[1]), *row[2:]) for row in found]
    if len(jobs) == limit:
        cursor: int | None = jobs[-1].job_id
    else:
        end = connection.execute(conditioned(_Q["end_of_look"], asked), asked).fetchone()
        cursor = None if end is None else end[0]
    order, vos = operation.order, frozenset(operation.vos)
    refused = {job.job_id: why for job in jobs if (why := why_not(job, order, vos)) is not None}
    chosen = [job for job in jobs if job.job_id not in refused]
    if chosen:
        _ask(connection, operation, chosen)
    reasons = Counter(operation.why_not) + Counter(refused.values())
    done = {"done": len(chosen), "skipped": len(refused), "why_not": Jsonb(dict(reasons)), "is_over": cursor is None}
    done |= {"operation_id": operation.operation_id, "cursor": operation.last_job_id if cursor is None else cursor}
    connection.execute(_Q["move_on"], done)


def _ask(connection: psycopg.Connection, operation: Operation, jobs: Sequence[JobRow]) -> None:
    """Requests are kept until they are done, with who wanted them; the relay publishes them."""
    act, order = ACTS[operation.act], operation.order
    outgoing = [Outgoing.of(message) for message in act.messages(jobs, order)]
    connection.execute(_Q["keep"], {"rows": rows.as_json(rows.outbox(outgoing))})
    hand_over(connection, outgoing)
    detail = act.detail(order) | {"operation": operation.operation_id}
    audit = about_jobs(order.actor_key, order.actor, act.audited_as, [job.job_id for job in jobs], detail)
    connection.execute(WRITE_DOWN, columns(audit))
