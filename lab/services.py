"""PostgreSQL and RabbitMQ for one run directory: those named in the environment, else private ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from broker.permissions import JEDI, OPERATOR
from lab import debian
from lab.postgres import Postgres
from lab.rabbitmq import RabbitMQ

JEDI_URL, STOMP_URL, OPERATOR_URL = DOORS = ("PANDA_FSM_JEDI_URL", "PANDA_FSM_STOMP_URL", "PANDA_FSM_OPERATOR_URL")
"""In `env`, for others than our own programs."""


class Services:
    """Both services of a run directory; `start` reuses what already runs from that directory.

    `environment` is where PANDA_FSM_DATABASE_URL and PANDA_FSM_BROKER_URL are looked up; a shell that sourced our
    own `env` gives nothing. Tests pass an empty one: they kill and restart services, which must never happen to
    somebody else's.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        self.directory = directory.resolve()
        self.postgres = Postgres(self.directory / "services")
        self.rabbitmq = RabbitMQ(self.directory / "services")
        database, broker = known.get("PANDA_FSM_DATABASE_URL"), known.get("PANDA_FSM_BROKER_URL")
        self._given_database = None if database is None or self.postgres.owns(database) else database
        self._given_broker = None if broker is None or self.rabbitmq.owns(broker) else broker

    @property
    def database_url(self) -> str:
        """Where PostgreSQL is."""
        return self._given_database or self.postgres.url

    @property
    def broker_url(self) -> str:
        """Where RabbitMQ is."""
        return self._given_broker or self.rabbitmq.url

    @property
    def doors(self) -> dict[str, str]:
        """The private broker for JEDI and for an operator; nothing of a given one, whose users we do not know."""
        if self._given_broker is not None:
            return {}
        return {
            JEDI_URL: self.rabbitmq.url_of("%2F", JEDI),
            STOMP_URL: self.rabbitmq.stomp_url_of("%2F", JEDI),
            OPERATOR_URL: self.rabbitmq.url_of("%2F", OPERATOR),
        }

    @property
    def is_running(self) -> bool:
        """True while a private service of this directory runs."""
        return self.postgres.is_running or self.rabbitmq.is_running

    def start(self) -> None:
        """Start the private services that are needed, side by side, and wait for both."""
        needs = [] if self._given_database else [debian.POSTGRESQL]
        needs += [] if self._given_broker else [debian.RABBITMQ]
        debian.ensure(needs)
        with ThreadPoolExecutor(max_workers=2) as pool:
            starting = [] if self._given_database else [pool.submit(self.postgres.start)]
            starting += [] if self._given_broker else [pool.submit(self.rabbitmq.start)]
        for start in starting:
            start.result()

    def stop(self) -> None:
        """Stop the private services of this directory; the given ones are none of our business."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            stopping = [pool.submit(self.postgres.stop), pool.submit(self.rabbitmq.stop)]
        for stop in stopping:
            stop.result()

    def remove(self) -> None:
        """Stop, and delete all data of the private services."""
        self.stop()
        state = self.directory / "services"
        for pointer in state.glob("*.home"):
            shutil.rmtree(pointer.read_text().strip(), ignore_errors=True)
        shutil.rmtree(state, ignore_errors=True)

    def __enter__(self) -> Services:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
