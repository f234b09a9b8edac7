"""The engine inside the test: batches given by hand to a real store, and a publisher that can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.process import Processor
from panda_fsm.effects import Outgoing
from panda_fsm.handler import Service
from panda_fsm.jobs.facts import FINAL, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, decode
from panda_fsm.ports import Published
from sql.store import PostgresStore
from tests import factories
from tests.driver import Database


class Outlet:
    """Takes what a batch publishes. Told to be silent, it confirms nothing, as when we crash before the broker."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.taken: list[Outgoing] = []

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
        if self.silent:
            return Published()
        self.taken += messages
        return Published(confirmed=list(messages))

    def messages(self, key: str = "") -> list[AnyMessage]:
        """What was published with a routing key that begins so."""
        return [decode(message.body) for message in self.taken if message.routing_key.startswith(key)]


LIMITS = TableLimits({}, {})
"""The table's own deadlines and reminders."""


class InProcess:
    """One service with a store of its own, as a process has it."""

    def __init__(
        self, database_url: str, service: Service[Any], outlet: Outlet | None = None, timeout_s: float = 30
    ) -> None:
        self.outlet = outlet or Outlet()
        self.store = PostgresStore(database_url, service.name, timeout_s, LIMITS, 600)
        self.processor = Processor(service, self.store, self.outlet, 5)

    def handle(self, *messages: AnyMessage, **fields: Any) -> None:
        """One batch."""
        batch = [factories.delivery(message, tag=tag, **fields) for tag, message in enumerate(messages, start=1)]
        self.processor.handle(batch)

    def close(self) -> None:
        """Give the connection back."""
        self.store.close()


Serve = Callable[..., InProcess]
"""The fixture `serve`: a service, and optionally where it publishes and how long a statement may take."""


def put(database: Database, job_ids: Iterable[int], state: State, version: int = 5) -> None:
    """Move created jobs to where a test begins."""
    query = """UPDATE job SET state = %s, version = %s, ended_at = CASE WHEN %s THEN now() END
               WHERE job_id = ANY(%s) RETURNING job_id"""
    database.rows(query, (state.value, version, state in FINAL, list(job_ids)))


def steps(database: Database, job_id: int) -> list[tuple[Any, ...]]:
    """The history of a job: version and event."""
    query = """SELECT h.version, t.event FROM job_history h JOIN job_transition t USING (transition_id)
               WHERE h.job_id = %s ORDER BY h.version, h.at"""
    return database.rows(query, (job_id,))
