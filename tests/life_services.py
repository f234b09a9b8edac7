"""The services that a task of the model meets: all six in this process, and the gateway's claims."""

from __future__ import annotations

import asyncio

from consumers.activator import Activator
from consumers.adder import Adder
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.claims import Filters, Seat
from panda_fsm.messages import new_message_id
from plugins.experiments.registry import IsolatedExperiments
from sql.gateway_store import GatewayStore
from tests import factories
from tests.inprocess import LIMITS, InProcess, Serve


class Services:
    """The six services, each with a connection of its own, and the gateway's claims."""

    def __init__(
        self, serve: Serve, registry: IsolatedExperiments, store: GatewayStore, runner: asyncio.Runner
    ) -> None:
        setupper = serve(Setupper(registry))
        watcher = serve(Watcher(LIMITS))
        self.by_queue: dict[str, InProcess] = {
            "setupper": setupper, "setupper.submissions": setupper, "activator": serve(Activator()),
            "watcher": watcher, "watcher.heartbeats": watcher, "watcher.large": watcher,
            "adder": serve(Adder(registry)), "finisher": serve(Finisher()), "closer": serve(Closer()),
        }  # fmt: skip
        self._store = store
        self._runner = runner

    def claim(self, task_id: int) -> list[int]:
        """A pilot takes the best job of a task."""
        seat = Seat(new_message_id(), "pilot", "node", {})
        filters = Filters(factories.QUEUE, task_id=task_id)
        claim = self._runner.run(self._store.claims.claim(filters, [seat]))
        self._runner.run(self._store.claims.forget_published([event.message_id for event in claim.events]))
        return [job.job_id for job in claim.jobs if job is not None]
