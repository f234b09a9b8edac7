"""What JEDI's door asks of the broker and the database."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from panda_fsm.answers import KnownJob, Noted, RequestKey
from panda_fsm.effects import Outgoing
from panda_fsm.statuses import Page, Untold


class StatusQueues(Protocol):
    """The broker side of the status queues (`panda_fsm/status_queues.py`)."""

    def declare(self, vo: str) -> None:
        """Make the exchange and this VO's queues where they are missing. Raises TransientError while the broker is
        away."""


class Window(Protocol):
    """What JEDI is to be told next, in order, held until the window is left; what is said of none stays as it is."""

    untold: list[Untold]

    def told(self, seqs: Sequence[int]) -> None:
        """The broker has these."""

    def bury(self, seq: int, message: Outgoing, queue: str, reason: str) -> None:
        """To the dead letters: no broker will ever take it."""


class Statuses(Protocol):
    """PostgreSQL as the reporter sees it."""

    def window(self, limit: int, held: Sequence[tuple[str, int]]) -> AbstractContextManager[Window | None]:
        """The next messages, but for those of the VOs and tasks that are held, in one transaction; None while another
        reporter has its own."""


class StatusPages(Protocol):
    """Present states of JEDI's jobs in pages. Raises ValueError for a place that no page ever named."""

    def close(self) -> None: ...

    def since(self, vo: str, seq: int, after: str | None, limit: int) -> Page:
        """Jobs of which something was said after `seq`."""

    def of_task(self, vo: str, task_id: int, after: str | None, limit: int) -> Page:
        """All jobs of a task."""

    def of_jobs(self, vo: str, job_ids: Sequence[int], after: str | None, limit: int) -> Page:
        """Those of the jobs that are JEDI's and of this VO."""


class RequestStore(Protocol):
    """PostgreSQL as JEDI's requests see it. Every method raises TransientError while it is away or too slow."""

    def close(self) -> None: ...

    def noted(self, key: RequestKey) -> Noted | None:
        """The request of that name as it came before, and what it was answered."""

    def reserve(self, count: int) -> int:
        """The first of so many new PandaIDs that follow each other, and that nobody else gets."""

    def job_ids(self, count: int) -> list[int]:
        """New PandaIDs, with gaps perhaps."""

    def job_set_id(self) -> int:
        """A new jobset id."""

    def granted(self, actor: str, job_ids: Sequence[int]) -> set[int]:
        """Those of the PandaIDs that were granted to the actor."""

    def jobs(self, job_ids: Sequence[int]) -> dict[int, KnownJob]:
        """Those of the jobs that exist, live or archived."""

    def live_jobs(self, task_ids: Sequence[int]) -> dict[int, list[int]]:
        """The live jobs of JEDI's of each of the tasks that has any."""

    def origins(self, job_ids: Sequence[int]) -> dict[int, int]:
        """Of jobs that did others again, the first of the line."""
