"""The system under test: private services, all processes of panda-fsm, and an eye on each of them."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, LiteralString

import pika
import psycopg

from bench import processes
from bench.processes import Cost
from broker.connection import parameters
from broker.topology import queues
from command.settings import Settings
from lab.daemon import Daemon
from lab.site import QUEUE, LabFiles
from lab.system import RUN_DIR, STOP_TIMEOUT_S, System

DIRECTORY = RUN_DIR / "bench"


class BenchError(RuntimeError):
    """The measurement cannot be made, or what was measured did wrong."""


class Plant:
    """Started for one run of the benchmark in `.run/bench`; what an earlier run left there is ended first."""

    def __init__(self) -> None:
        self._lock: IO[str] | None = None
        # An address of somebody else's service in the environment is not for us to fill with jobs.
        for name in [name for name in os.environ if name.startswith("PANDA_FSM_")]:
            del os.environ[name]
        self.system = System(DIRECTORY)
        self._served: dict[int, str] = {}
        self._job_ids: list[int] = []

    def __enter__(self) -> Plant:
        RUN_DIR.mkdir(exist_ok=True)
        self._lock = (RUN_DIR / "bench.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchError("another benchmark of this clone is running") from None
        try:
            self._clear()
            self.system.up()
            self.lab: LabFiles = self.system.lab
            self.database = psycopg.connect(self.database_url, autocommit=True, application_name="bench")
            self._served = self._find_served()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def _clear(self) -> None:
        self.system.down()
        self.system.services.remove()
        shutil.rmtree(DIRECTORY, ignore_errors=True)

    @property
    def database_url(self) -> str:
        """The private database."""
        return self.system.services.database_url

    @property
    def broker_url(self) -> str:
        """The private broker."""
        return self.system.services.broker_url

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return int(self.system.url.rpartition(":")[2])

    @property
    def settings(self) -> Settings:
        """The settings that the processes run with."""
        return Settings(database_url=self.database_url, broker_url=self.broker_url, sites_file=self.lab.sites_file)  # type: ignore[call-arg]  # the rest has defaults

    def rows(self, query: LiteralString, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.database.execute(query, parameters).fetchall()

    def value(self, query: LiteralString, **parameters: Any) -> Any:
        """The one value of a query."""
        return self.rows(query, **parameters)[0][0]

    def final_jobs(self) -> int:
        """How many jobs have ended so far, from the rollup: cheap enough to ask often."""
        return int(
            self.value(
                "SELECT coalesce(sum(jobs), 0) FROM job_count JOIN job_state s USING (state)"
                " WHERE s.final AND site = %(site)s",
                site=QUEUE,
            )
        )

    def await_final(self, jobs: int, timeout_s: float) -> None:
        """Return when that many jobs have ended. Raises BenchError with their states when they do not."""
        deadline = time.monotonic() + timeout_s
        while self.final_jobs() < jobs:
            if time.monotonic() > deadline:
                states = self.rows("SELECT state, count(*) FROM job GROUP BY state ORDER BY state")
                raise BenchError(f"jobs did not end within {timeout_s:.0f} s: {dict(states)}")
            time.sleep(0.02)

    def messages_waiting(self) -> int:
        """Messages in all queues that no consumer has yet."""
        connection = pika.BlockingConnection(parameters(self.broker_url, "bench"))
        channel = connection.channel()
        waiting = [channel.queue_declare(queue.name, passive=True).method.message_count for queue in queues()]
        connection.close()
        return sum(waiting)

    def job_ids(self, count: int) -> list[int]:
        """PandaIDs from the product's own sequence of blocks of 1000."""
        while len(self._job_ids) < count:
            first = self.value("SELECT nextval('job_id_block')")
            self._job_ids += range(first, first + 1000)
        taken, self._job_ids = self._job_ids[:count], self._job_ids[count:]
        return taken

    @contextmanager
    def served_with(self, settings: Mapping[str, str]) -> Iterator[None]:
        """The same database and broker, but all processes of panda-fsm started anew with these settings."""
        os.environ.update(settings)
        try:
            self._serve_anew()
            yield
        finally:
            for name in settings:
                del os.environ[name]
        self._serve_anew()

    def _serve_anew(self) -> None:
        self._daemon("panda-fsm").stop(timeout=STOP_TIMEOUT_S)
        self.system.up()
        self._served = self._find_served()

    @contextmanager
    def metered(self) -> Iterator[list[Cost]]:
        """The CPU cost of the block inside, by process, in the list when it is left."""
        costs: list[Cost] = []
        before = processes.sample(self.names())
        yield costs
        costs.append(processes.cost(before, processes.sample(self.names())))

    def names(self) -> dict[int, str]:
        """Every process that takes part, by pid."""
        backends = dict(
            self.rows("SELECT pid, coalesce(nullif(application_name, ''), backend_type) FROM pg_stat_activity")
        )
        # We started the services, so they are our children too: the later names win.
        named = {process.pid: "bench's helpers" for process in processes.family(os.getpid())}
        named[os.getpid()] = "bench"
        for process in processes.family(self._pid("postgres", "services") or 0):
            title = process.name.removeprefix("postgres: ")
            named[process.pid] = f"postgres {backends.get(process.pid) or (title if title.isalpha() else 'others')}"
        for process in processes.family(self._pid("rabbitmq", "services") or 0):
            named[process.pid] = "rabbitmq"
        return named | self._find_served()

    def _find_served(self) -> dict[int, str]:
        supervisor = self._pid("panda-fsm")
        found = {}
        for process in processes.family(supervisor or 0):
            words = process.name.split()
            found[process.pid] = "supervisor" if process.pid == supervisor else words[-1]
        return found

    def check_processes(self) -> None:
        """Raises BenchError when a service died and was started again: figures of such a run mean nothing."""
        if self._find_served() != self._served:
            raise BenchError(f"a process died meanwhile; see {DIRECTORY}/log\n{self._daemon('panda-fsm').log_tail()}")

    def _daemon(self, name: str, folder: str = "") -> Daemon:
        return Daemon(name, DIRECTORY / folder, log=DIRECTORY / "log" / f"{name}.log")

    def _pid(self, name: str, folder: str = "") -> int | None:
        return self._daemon(name, folder).pid
