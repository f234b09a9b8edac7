"""What the daemon does: each duty put together with its database side."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from broker.inspection import DepthReader
from command import sites
from command.settings import Settings
from gateway.work.sandboxes import COMING
from panda_fsm.errors import SettingsError
from panda_fsm.repeats import KEY_DAYS
from panda_fsm.trouble import Condition
from panda_fsm.views.queues import watched
from periodic import (
    activity,
    archive,
    blocks,
    configurator,
    counts,
    deadlines,
    figures,
    flow,
    held_tasks,
    operations,
    partitions,
    pulse,
    queues,
    requests,
    retention,
    snapshots,
    stuck,
    temporary_files,
)
from periodic.schedule import Duty
from sql.activity import Activity
from sql.appointments import Appointments
from sql.archive import Archive
from sql.counts import Counts
from sql.duty import DutySession, WorkerSession
from sql.figures import SystemFigures
from sql.flow import Flow
from sql.held_tasks import HeldTasks
from sql.information_sources import Sources
from sql.kept_requests import KeptRequests
from sql.open_blocks import OpenBlocks, SettledBlocks
from sql.operations import Operations
from sql.partitions import Partitions
from sql.pulse import Pulse
from sql.queue_samples import QueueSamples
from sql.retention import Retention, Sandboxes
from sql.snapshots import Snapshots
from sql.stray_files import SandboxRecords
from sql.stuck_walk import StuckWalk

INBOX_DAYS = 7
"""What was handled is remembered longer than a request that nobody handled is kept: nothing is done twice."""

DAY_S = 86400.0
FLOW_DAYS = 15
"""Two weeks of hours, so that each can be compared with the same hour of the week before."""

RUN_DAYS = 14
"""What the daemon ran is shown for so long, and of each duty no more than the last 200."""


def duties(config: Settings, condition: Condition, worker: WorkerSession, services: Iterable[str]) -> list[Duty]:
    """All of them, as often as this installation wants. Raises SettingsError for a duty that there is not."""
    found = [
        *daily_work(config, condition, worker),
        *showing(config, worker, services),
        *forgetting(config, worker),
    ]
    unknown = sorted(config.periods.keys() - {duty.name for duty in found})
    if unknown:
        known = ", ".join(duty.name for duty in found)
        raise SettingsError(f"PANDA_FSM_PERIODS: there is no duty {unknown[0]!r}: it is one of {known}")
    return [replace(duty, every=config.periods.get(duty.name, duty.every)) for duty in found]


def daily_work(config: Settings, condition: Condition, worker: WorkerSession) -> list[Duty]:
    """Everything that is done by time but forgetting; what is done each second comes first."""
    return [
        pulse.duty(Pulse(worker), condition),
        deadlines.duty(Appointments(worker), config.limits(), config.losses_per_s, condition),
        operations.duty(Operations(worker)),
        stuck.duty(StuckWalk(worker), config.thresholds()),
        archive.duty(Archive(worker)),
        blocks.duty(OpenBlocks(worker)),
        blocks.settling(SettledBlocks(worker)),
        counts.duty(Counts(worker)),
        requests.duty(KeptRequests(worker)),
        held_tasks.settling(HeldTasks(worker)),
        held_tasks.checking(HeldTasks(worker)),
        partitions.duty(
            Partitions(worker), config.history_months, config.archive_months, config.sample_months, condition
        ),
        snapshots.duty(Snapshots(worker), condition),
        queues.duty(QueueSamples(worker), DepthReader(config.broker_url), watched(config.further())),
        activity.duty(Activity(worker, config.jedi_vos)),
        flow.duty(Flow(worker)),
        temporary_files.duty(list(temporary(config))),
        temporary_files.unrecorded(SandboxRecords(worker), config.cache_dir, config.retain_sandboxes_days * DAY_S),
        configurator.duty(
            Sources(DutySession(worker, "configurator").slice),
            sites.sources(config),
            config.configurator_removals_percent,
            condition,
        ),
    ]


def temporary(config: Settings) -> Iterator[temporary_files.Place]:
    """Where programs of ours leave files when they die. Gateways remove uploads of their dead when one starts or takes
    another; here is what stays when none does."""
    age_s = config.retain_temporary_hours * 3600.0
    yield temporary_files.Place(config.cache_dir, f"{COMING}*", age_s, made_later=True)
    for pattern in filter(None, config.temporary_files.split(":")):
        yield temporary_files.Place(Path(pattern).parent, Path(pattern).name, age_s)


def showing(config: Settings, worker: WorkerSession, services: Iterable[str]) -> Iterator[Duty]:
    """What is read for metrics, where they are shown."""
    if config.metrics_port:
        yield figures.duty(SystemFigures(worker), services)


def forgetting(config: Settings, worker: WorkerSession) -> Iterator[Duty]:
    """A duty for each kind of row that has an end."""
    days = {
        "reports": config.retain_reports_days,
        "stdout": config.retain_reports_days,
        "ignored": config.retain_reports_days,
        "blocks": config.retain_blocks_days,
        "idle_blocks": config.retain_blocks_days,
        "dead_letters": config.retain_dead_letters_days,
        "audit": config.retain_audit_days,
        "information": config.retain_audit_days,
        "operations": config.retain_audit_days,
        "workers": config.retain_workers_days,
        "worker_nodes": config.retain_workers_days,
        "inbox": INBOX_DAYS,
        "keys": KEY_DAYS,
        "unanswered": 1,
        "jedi_requests": KEY_DAYS,
        "jedi_jobs": config.retain_jedi_days,
        "transition_counts": FLOW_DAYS,
        "error_counts": FLOW_DAYS,
        "error_sums": FLOW_DAYS,
        "ended_sums": FLOW_DAYS,
        "sites_ended": FLOW_DAYS,
        "nodes_ended": 2,
        "sites_asked": 2,
        "pilot_asks": 7,
        "daemon_runs": RUN_DAYS,
        "daemon_hours": RUN_DAYS,
    }
    for kind, age in days.items():
        yield retention.duty(kind, Retention(worker, kind), age)
    files = Sandboxes(worker)
    yield retention.sandboxes(files, config.retain_sandboxes_days, config.cache_dir)
