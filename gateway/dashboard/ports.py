"""What the dashboards ask of the database, a protocol a subject.

Every method raises TransientError while the database is away or too slow.
"""

from collections.abc import Mapping
from typing import Protocol

from panda_fsm.views.audit import AuditEntry, AuditWanted
from panda_fsm.views.cursors import Part


class AuditReads(Protocol):
    """Who did what."""

    async def entries(self, wanted: AuditWanted) -> Part[AuditEntry]:
        """Deeds, the newest first."""


class Marks(Protocol):
    """What has changed."""

    async def now(self) -> Mapping[str, str]:
        """Topic and mark; what is looked at has changed where the mark is another than before."""


class DashboardStore(Protocol):
    """The reads of the dashboards, an attribute a subject."""

    @property
    def audit(self) -> AuditReads: ...
    @property
    def marks(self) -> Marks: ...
