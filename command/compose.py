"""The composition root: which services there are, and of what parts each is made. It alone knows every folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from command.settings import Settings
from panda_fsm.handler import Service
from panda_fsm.progress import Progress
from panda_fsm.sites import Known
from panda_fsm.trouble import Condition


class Work(Protocol):
    """What a process does until it is told to end."""

    def run(self) -> None:
        """Work until `end` is called, and finish what is in hand."""

    def end(self) -> None:
        """Called from a signal handler."""


@dataclass(frozen=True, slots=True)
class Served:
    """A queue and the service behind it. `held`: so many of its messages in memory at once; None: the setting."""

    service: Callable[[Settings, Condition, Known], Service[Any]]
    held: int | None = None


# The parts are imported where they are put together: a process loads what it needs, and --help nothing of it.


def _setupper(config: Settings, condition: Condition, known: Known) -> Service[Any]:
    from consumers.setupper import Setupper

    return Setupper(_experiments(known, condition, config.plugin_timeout_s))


def _activator(_config: Settings, _condition: Condition, _known: Known) -> Service[Any]:
    from consumers.activator import Activator

    return Activator()


def _watcher(config: Settings, _condition: Condition, _known: Known) -> Service[Any]:
    from consumers.watcher import Watcher

    return Watcher(config.limits())


def _adder(config: Settings, condition: Condition, known: Known) -> Service[Any]:
    from consumers.adder import Adder

    return Adder(_experiments(known, condition, config.plugin_timeout_s))


def _closer(_config: Settings, _condition: Condition, _known: Known) -> Service[Any]:
    from consumers.closer import Closer

    return Closer()


def _finisher(_config: Settings, _condition: Condition, _known: Known) -> Service[Any]:
    from consumers.finisher import Finisher

    return Finisher()


def _ddm(config: Settings, condition: Condition, known: Known) -> Service[Any]:
    from plugins.ddm.local import LocalDdm

    return LocalDdm(known, condition)


def _ddm_blocks(config: Settings, _condition: Condition, known: Known) -> Service[Any]:
    from plugins.ddm.blocks import LocalBlocks

    return LocalBlocks(known)


def _jedi_requests(config: Settings, _condition: Condition, known: Known) -> Service[Any]:
    from jedi.handlers import handlers
    from jedi.replaying import Replayer
    from jedi.service import RequestService
    from jedi.specs import Rules
    from sql.jedi_requests import JediRequests
    from sql.jedi_statuses import Replays

    # Asked for their rules only, as the gateway does.
    experiments = _experiments(known, Condition(), min(5.0, config.plugin_timeout_s))
    store = JediRequests(config.database_url, config.statement_timeout_s)
    pages = Replays(config.database_url, config.statement_timeout_s)
    rules = Rules(known, experiments.refusal)
    return RequestService(store, pages, handlers(store, rules, Replayer(pages, config.jedi_vos)))


def _dead_letters(_config: Settings, _condition: Condition, _known: Known) -> Service[Any]:
    from engine.dead_letters import DeadLetters

    return DeadLetters()


def _experiments(known: Known, condition: Condition, limit_s: float) -> Any:
    from plugins.ddm.catalogue import LocalCatalogue
    from plugins.experiments.registry import IsolatedExperiments

    return IsolatedExperiments(known, LocalCatalogue(known), condition, limit_s)


FEW = 8
"""Messages of up to a megabyte: so many are held at a time, and share a transaction."""
ONE_AND_NEXT = 2
"""Messages that are handled one by one, and of which a stranger may send large ones."""
QUEUES = {
    "setupper": Served(_setupper),
    "setupper.submissions": Served(_setupper, FEW),
    "activator": Served(_activator),
    "watcher": Served(_watcher),
    "watcher.heartbeats": Served(_watcher),
    "watcher.large": Served(_watcher, FEW),
    "adder": Served(_adder),
    "closer": Served(_closer),
    "finisher": Served(_finisher),
    "ddm": Served(_ddm),
    "ddm.blocks": Served(_ddm_blocks),
    "jedi.requests": Served(_jedi_requests, ONE_AND_NEXT),
    "dead_letters": Served(_dead_letters),
}
GATEWAY = "gateway"
NAMES = (GATEWAY, "relay", "daemon", "jedi.status", *QUEUES)
"""Everything that is served, by name."""


@contextmanager
def work(name: str, config: Settings, condition: Condition, progress: Progress, known: Known) -> Iterator[Work]:
    """The work of the service `name`; its connections are given back afterwards."""
    made = {GATEWAY: _gateway, "relay": _relay, "daemon": _daemon, "jedi.status": _jedi_status}.get(name)
    with _consumer(name, config, condition, progress, known) if made is None else made(config, condition, known) as one:
        yield one


@contextmanager
def _consumer(queue: str, config: Settings, condition: Condition, progress: Progress, known: Known) -> Iterator[Work]:
    """One queue: consumer thread, worker, store, publisher."""
    from broker.consume import BatchConsumer
    from broker.publish import BrokerPublisher
    from engine.process import Processor
    from sql.store import PostgresStore

    served = QUEUES[queue]
    service = served.service(config, condition, known)
    store = PostgresStore(
        config.database_url, queue, config.statement_timeout_s, config.limits(), config.archive_after_s
    )
    publisher = BrokerPublisher(config.broker_url, queue, condition, config.further())
    publisher.start()
    try:
        processor = Processor(
            service, store, publisher, config.confirm_timeout_s, condition=condition, queue=queue,
            log_steps=config.log_steps,
        )  # fmt: skip
        size = min(filter(None, (served.held, service.batch_limit, config.batch_size)))
        yield BatchConsumer(
            config.broker_url, queue, size, processor.handle,
            prefetch=served.held, gathers_s=service.gathers_s, condition=condition, batch_limit_s=config.batch_limit_s,
            further=config.further(), progress=progress,
        )  # fmt: skip
    finally:
        publisher.stop()
        store.close()
        service.close()


@contextmanager
def _relay(config: Settings, condition: Condition, _known: Known) -> Iterator[Work]:
    from broker.publish import BrokerPublisher
    from engine.outbox import Relay
    from sql.outbox import OutboxStore

    outbox = OutboxStore(config.database_url, config.statement_timeout_s)
    publisher = BrokerPublisher(config.broker_url, "relay", condition, config.further())
    publisher.start()
    try:
        yield Relay(outbox, publisher, config.relay_age_s, config.confirm_timeout_s, condition)
    finally:
        publisher.stop()
        outbox.close()


@contextmanager
def _jedi_status(config: Settings, condition: Condition, _known: Known) -> Iterator[Work]:
    from broker.publish import BrokerPublisher
    from broker.status_queues import StatusQueues
    from jedi.reporter import Reporter
    from sql.jedi_statuses import Statuses

    statuses = Statuses(config.database_url, config.statement_timeout_s)
    publisher = BrokerPublisher(config.broker_url, "jedi.status", condition, config.further())
    publisher.start()
    try:
        queues = StatusQueues(publisher, config.jedi_shards, config.confirm_timeout_s)
        yield Reporter(statuses, publisher, queues, config.jedi_shards, config.confirm_timeout_s, condition)
    finally:
        publisher.stop()
        statuses.close()


@contextmanager
def _daemon(config: Settings, condition: Condition, _known: Known) -> Iterator[Work]:
    from command.duties import duties
    from command.worker import start
    from periodic.daemon import Daemon
    from sql.daemon_books import DaemonBooks
    from sql.duty import WorkerSession

    # The master does none of them, so the connection that they are made with is never opened.
    known = duties(config, condition, WorkerSession(config.database_url, config.statement_timeout_s), NAMES)
    yield Daemon(known, start, config.daemon_processes, DaemonBooks(config.database_url), condition)


@contextmanager
def _gateway(config: Settings, _condition: Condition, known: Known) -> Iterator[Work]:
    from broker.async_publisher import AsyncPublisher
    from command import metrics
    from command.shown_settings import shown
    from gateway.access.submitting import PriorityLimits
    from gateway.config import GatewayConfig
    from gateway.serve import server
    from sql.gateway_store import GatewayStore
    from sql.migrate import latest

    # Asked for their rules only: whose plugin does not load is in trouble where it works, and holds up nobody here.
    experiments = _experiments(known, Condition(), min(5.0, config.plugin_timeout_s))
    chosen = GatewayConfig(
        config.gateway_host, config.gateway_port, config.cache_dir, config.identity_provider, latest(),
        priority_limits=PriorityLimits(config.priority_limit, config.priority_limits),
        describe_others=config.describe_others, dashboard_read_only=config.dashboard_read_only,
        hosts=tuple(name.strip() for name in config.gateway_hosts.split(",") if name.strip()),
        most_requests=config.gateway_requests, longest_wait_s=config.gateway_wait_s, drain_s=config.gateway_drain_s,
        sandbox_quota=config.sandbox_quota_mb * 1024 * 1024, services=tuple(name for name in NAMES if name != GATEWAY),
        name_check=experiments.refusal, metrics=metrics.text, settings=shown(config),
        access_log=config.access_log, log_steps=config.log_steps,
    )  # fmt: skip
    store = GatewayStore(
        config.database_url, config.database_pool, config.statement_timeout_s, config.limits(), config.thresholds()
    )
    publisher = AsyncPublisher(config.broker_url, config.confirm_timeout_s, config.further())
    yield server(chosen, store, publisher, known)
