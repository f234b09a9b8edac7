"""What the dashboards ask of the database, a protocol a subject.

Every method raises TransientError while the database is away or too slow.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from panda_fsm.jobs.acts import Order
from panda_fsm.pausing import Pause
from panda_fsm.sites import SitesNow
from panda_fsm.views.audit import AuditEntry, AuditWanted
from panda_fsm.views.cursors import Part
from panda_fsm.views.dead_letters import Choice, Group, Letter, Line
from panda_fsm.views.dead_letters import Wanted as LettersWanted
from panda_fsm.views.duties import DutiesNow
from panda_fsm.views.errors import ErrorsView, ErrorsWanted
from panda_fsm.views.finding import Asked, Finding
from panda_fsm.views.flow import FlowNow, HopNow, Series
from panda_fsm.views.health import Health
from panda_fsm.views.information import FactChange, FactsWanted, QueueFacts, Rejected, SourceNow
from panda_fsm.views.job_list import JobPage, JobsWanted
from panda_fsm.views.jobs import JobLife
from panda_fsm.views.operations import BulkRun, Operation, OperationsWanted
from panda_fsm.views.queue_hours import Cause, Hour
from panda_fsm.views.queues import QueueNow
from panda_fsm.views.replaying import DryRun
from panda_fsm.views.sites import AskRow, NodeRow, SiteCounts
from panda_fsm.views.stuck import Rule, StuckJob, StuckNow
from panda_fsm.views.system import Database
from panda_fsm.views.tasks import TaskLife, TaskRow, TasksWanted
from panda_fsm.views.workers import WorkerNow


class AuditReads(Protocol):
    """Who did what."""

    async def entries(self, wanted: AuditWanted) -> Part[AuditEntry]:
        """Deeds, the newest first."""


class DeadLetterReads(Protocol):
    """What nobody could handle. No secret is shown."""

    async def groups(self, wanted: LettersWanted) -> list[Group]:
        """Letters that died alike, the group with the newest letter first."""

    async def open_letters(self) -> int:
        """How many wait for somebody, up to a bound."""

    async def letters(self, wanted: LettersWanted) -> Part[Line]:
        """Single letters, the newest first."""

    async def letter(self, letter_id: int) -> Letter | None:
        """One letter with its kin, and the beginning of its body."""

    async def dry_run(self, choice: Choice) -> DryRun:
        """What would become of the open letters that are meant, were they replayed now."""


class ErrorViews(Protocol):
    """Errors of jobs that ended badly."""

    async def errors(self, wanted: ErrorsWanted) -> ErrorsView:
        """The most frequent errors since the begin of an hour."""


class FindingReads(Protocol):
    """Whatever an operator has of a thing."""

    async def found(self, asked: Asked) -> Finding:
        """All that is called so."""


class FlowViews(Protocol):
    """How jobs flow; of one queue, or of all."""

    async def flow(self, site: str | None = None, minutes: int = 5) -> FlowNow:
        """All hops of the last minutes, beside those of the same hour a week ago."""

    async def hops(self, site: str | None = None, minutes: int = 5) -> list[HopNow]:
        """The hops alone."""

    async def series(self, site: str | None = None, minutes: int = 60) -> Series:
        """How many ended a second, well and badly, in each of the last whole minutes."""

    async def states(self, site: str | None = None) -> dict[str, int]:
        """How many jobs are in each state."""


class InformationViews(Protocol):
    """What is known of PanDA queues."""

    async def queues(self, wanted: FactsWanted, sites: SitesNow) -> Part[QueueFacts]:
        """By name; `sites` knows of downtimes of whole sites."""

    async def queue(self, name: str, sites: SitesNow) -> QueueFacts | None:
        """One; None: no source has it."""

    async def history(self, name: str, limit: int = 50) -> tuple[FactChange, ...]:
        """Who changed what of a queue, the newest first."""

    async def sources(self) -> tuple[SourceNow, ...]:
        """Where facts come from, those in trouble first."""

    async def rejected(self, name: str | None = None) -> tuple[Rejected, ...]:
        """What cannot be used, of all or of one queue; the newest first."""


class JobListReads(Protocol):
    """Jobs in a list."""

    async def page(self, wanted: JobsWanted) -> JobPage:
        """Live ones before archived ones, the newest first; a page whose look was cut may have fewer rows, or none."""


class QueueReads(Protocol):
    """Queues, and what is paused."""

    async def now(self) -> Sequence[QueueNow]:
        """Every queue, judged; what needs somebody comes first."""

    async def one(self, name: str) -> QueueNow | None:
        """One of them; None: there is none of this name."""

    async def pauses(self) -> Sequence[Pause]:
        """All queues and sites that are paused now."""

    async def hour(self, name: str) -> Hour:
        """How a queue did in the last hour."""

    async def died(self, name: str) -> Sequence[Cause]:
        """Its dead letters that nobody has settled, by what went wrong."""


class WorkerReads(Protocol):
    """The processes."""

    async def now(self) -> Sequence[WorkerNow]:
        """Every process that gave a sign within the last hour."""


class SiteViews(Protocol):
    """How queues do."""

    async def counts(self, site: str | None = None) -> dict[str, SiteCounts]:
        """Of each queue of which anything is counted, by its name; or of one."""

    async def nodes(self, site: str) -> tuple[NodeRow, ...]:
        """Its worker nodes on which jobs failed in the last hour, the worst first."""

    async def asks(self, site: str) -> tuple[AskRow, ...]:
        """The last who asked, by kind."""


class OperationReads(Protocol):
    """One act on all jobs that a filter finds."""

    async def page(self, wanted: OperationsWanted) -> Part[Operation]:
        """The newest first."""

    async def one(self, operation_id: str) -> Operation | None:
        """The one of that id."""

    async def dry_run(self, wanted: JobsWanted, order: Order, vos: frozenset[str]) -> BulkRun:
        """With how many of these jobs the order would be done now, for somebody who operates in these VOs."""


class Marks(Protocol):
    """What has changed."""

    async def now(self) -> Mapping[str, str]:
        """Topic and mark; what is looked at has changed where the mark is another than before."""


class HealthReads(Protocol):
    """Whether it is well."""

    async def now(self) -> Health:
        """Look once."""


class SystemReads(Protocol):
    """The database itself."""

    async def database(self) -> Database:
        """What it says of itself."""

    async def duties(self) -> DutiesNow:
        """What the daemon does, and how that goes."""


class Publisher(Protocol):
    """The broker, as this gateway meets it."""

    @property
    def is_connected(self) -> bool: ...
    @property
    def is_blocked(self) -> bool: ...
    @property
    def trouble(self) -> str | None: ...


class JobViews(Protocol):
    """One job."""

    async def life(self, job_id: int, sites: SitesNow) -> JobLife | None:
        """All there is to see of a job; None: nobody knows it. `sites` says what its queue offers."""


class StuckViews(Protocol):
    """What has not moved."""

    async def summary(self) -> Sequence[StuckNow]:
        """What the rules find, in their order; those that find nothing are left out."""

    async def jobs(self, rule: Rule, site: str | None = None, limit: int = 200) -> list[StuckJob]:
        """Some of a rule's jobs, the oldest first; at one site where that is named."""


class TaskViews(Protocol):
    """Tasks."""

    async def listed(self, wanted: TasksWanted) -> Part[TaskRow]:
        """Tasks, the newest first."""

    async def one(self, task_id: int) -> TaskLife | None:
        """All there is to see of a task; None: nobody knows it."""


class DashboardStore(Protocol):
    """The reads of the dashboards, an attribute a subject."""

    @property
    def audit(self) -> AuditReads: ...
    @property
    def dead_letters(self) -> DeadLetterReads: ...
    @property
    def errors(self) -> ErrorViews: ...
    @property
    def finding(self) -> FindingReads: ...
    @property
    def flow(self) -> FlowViews: ...
    @property
    def health(self) -> HealthReads: ...
    @property
    def information(self) -> InformationViews: ...
    @property
    def job_list(self) -> JobListReads: ...
    @property
    def jobs(self) -> JobViews: ...
    @property
    def sites(self) -> SiteViews: ...
    @property
    def operations(self) -> OperationReads: ...
    @property
    def marks(self) -> Marks: ...
    @property
    def queues(self) -> QueueReads: ...
    @property
    def stuck(self) -> StuckViews: ...
    @property
    def system(self) -> SystemReads: ...
    @property
    def tasks(self) -> TaskViews: ...
    @property
    def workers(self) -> WorkerReads: ...
