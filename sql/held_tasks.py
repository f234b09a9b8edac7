"""Held tasks: whether one is, changed under its lock; and jobs of theirs that became activated meanwhile."""

from collections.abc import Collection, Sequence

import psycopg

from panda_fsm.effects import Outgoing
from panda_fsm.held_tasks import TaskHold, throttles
from panda_fsm.messages import Message
from sql import rows
from sql.duty import DutySession, WorkerSession
from sql.outbox import hand_over
from sql.queries import load

_Q = load("held_tasks")
_KEEP = load("requests")["keep"]
_DAEMON = "daemon"


def share_tasks(connection: psycopg.Connection, task_ids: Collection[int]) -> None:
    """Whether these tasks are held stays as it is until the transaction ends."""
    connection.execute(_Q["share_tasks"], {"task_ids": list(task_ids)})


def change(connection: psycopg.Connection, hold: TaskHold) -> list[Outgoing]:
    """The task is held from now on, or no longer; what that asks of the jobs that it is about now.

    Who activates jobs of the task has committed, so they are among these, or will see what is written here.
    """
    task = {"task_id": hold.task_id, "actor": hold.actor}
    connection.execute(_Q["lock_task"], task)
    connection.execute(_Q["hold" if hold.is_held else "resume"], task)
    found = connection.execute(_Q["to_hold" if hold.is_held else "to_let_go"], task).fetchall()
    job_ids = sorted(job_id for (job_id,) in found)
    return [Outgoing.of(message) for message in throttles(job_ids, is_held=hold.is_held, actor=hold.actor)]


class HeldTasks:
    """The daemon's side. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "held_tasks")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def settle(self, limit: int) -> bool:
        """Have jobs throttled that became activated while their task was held; True when there may be more."""
        with self._session.slice() as connection:
            task_ids = [task_id for (task_id,) in connection.execute(_Q["tasks_of_held"], {"limit": limit})]
            if not task_ids:
                return False
            share_tasks(connection, task_ids)
            taken = connection.execute(_Q["take_held"], {"task_ids": task_ids, "limit": limit}).fetchall()
            for is_held in (True, False):
                job_ids = sorted(job_id for job_id, held in taken if held is is_held)
                _send(connection, list(throttles(job_ids, is_held=is_held, actor=_DAEMON)))
            return len(taken) == limit

    def check(self, limit: int) -> bool:
        """The same for jobs that wait for pilots all the same."""
        with self._session.slice() as connection:
            found = connection.execute(_Q["waiting_though_held"], {"limit": limit})
            _send(connection, list(throttles([job_id for (job_id,) in found], is_held=True, actor=_DAEMON)))
            return False


def _send(connection: psycopg.Connection, messages: Sequence[Message]) -> None:
    """Requests are kept until they are done; the relay publishes them."""
    if messages:
        outgoing = [Outgoing.of(message) for message in messages]
        connection.execute(_KEEP, {"rows": rows.as_json(rows.outbox(outgoing))})
        hand_over(connection, outgoing)
