"""What people look at, by subject, over connections of its own: no page takes one from those who work."""

from panda_fsm.jobs.facts import Limits, TableLimits
from panda_fsm.views.stuck import Thresholds
from sql.health import HealthReads
from sql.pool import Pool
from sql.views.audit import AuditReads
from sql.views.dead_letters import DeadLetterReads
from sql.views.errors import ErrorViews
from sql.views.finding import FindingReads
from sql.views.flow import FlowViews
from sql.views.information import InformationViews
from sql.views.job_list import JobListReads
from sql.views.jobs import JobViews
from sql.views.marks import Marks
from sql.views.operations import OperationReads
from sql.views.queues import QueueReads
from sql.views.sites import SiteViews
from sql.views.steps import StepReads
from sql.views.stuck import StuckViews
from sql.views.system import SystemReads
from sql.views.tasks import TaskViews
from sql.views.workers import WorkerReads

CONNECTIONS = 2
_TIMEOUT_S = 2.0
"""Longer nobody looks at an empty page; what takes longer is to be asked for less of."""


class DashboardStore:
    """The reads of dashboards and command line, an attribute a subject."""

    def __init__(
        self,
        database_url: str,
        name: str = "gateway.operators",
        limits: Limits | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        """`limits` and `thresholds` are this installation's; None: those of the tables."""
        self._pool = Pool(database_url, name, CONNECTIONS, _TIMEOUT_S, by_index=False)
        self.audit = AuditReads(self._pool)
        self.errors = ErrorViews(self._pool)
        self.finding = FindingReads(self._pool)
        self.flow = FlowViews(self._pool)
        self.health = HealthReads(self._pool)
        self.information = InformationViews(self._pool)
        self.job_list = JobListReads(self._pool)
        self.operations = OperationReads(self._pool)
        self.queues = QueueReads(self._pool)
        self.workers = WorkerReads(self._pool)
        self.dead_letters = DeadLetterReads(self._pool)
        self.marks = Marks(self._pool)
        self.sites = SiteViews(self._pool)
        self.steps = StepReads(self._pool)
        self.system = SystemReads(self._pool)
        self.jobs = JobViews(self._pool, limits or TableLimits({}, {}))
        self.stuck = StuckViews(self._pool, thresholds or Thresholds({}))
        self.tasks = TaskViews(self._pool)

    async def open(self) -> None:
        """Start connecting; what is asked before there is a connection waits for it."""
        await self._pool.open()

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()
