"""What a PanDA queue offers to jobs just now: by its status, its downtimes and the size of its slots (ADR 0053)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from panda_fsm.claims import Filters
from panda_fsm.information.models import Downtime
from panda_fsm.sites import Queue, SitesNow, Status

_SCORE, _MCORE = "score", "mcore"
NO_TESTS = frozenset({"managed", "user", "panda"})
"""Labels of jobs that do not run where only tests do."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a job may have there at most: memory and disk in MB, time in seconds; None: as much as it asks for.

    Jobs of `too_few_cores` or fewer are for other queues, but for those that take any number (0). The names are those
    of what pilots ask for.
    """

    memory: int | None = None
    disk: int | None = None
    remaining_time: int | None = None
    core_count: int | None = None
    too_few_cores: int = 0

    @classmethod
    def of(cls, queue: Queue) -> Self:
        """That of a queue. Queues of a capability that nobody knows take what fits."""
        capability = queue.capability.lower()
        return cls(
            queue.max_memory_mb or None,
            queue.max_work_dir_mb or None,
            queue.max_time_s or None,
            1 if capability == _SCORE else queue.cores or None,
            1 if capability == _MCORE else 0,
        )

    def within(self, asked: Filters) -> Filters:
        """What a pilot can take that asks for this: no more than either of them has."""
        return replace(
            asked,
            memory=_least(asked.memory, self.memory),
            disk=_least(asked.disk, self.disk),
            remaining_time=_least(asked.remaining_time, self.remaining_time),
            core_count=_least(asked.core_count, self.core_count),
            too_few_cores=self.too_few_cores,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a queue offers now. `shut`: why nobody gets a job there, in a sentence without its end."""

    status: Status
    slot: Slot
    shut: str | None = None


def offer(sites: SitesNow, name: str, at: datetime) -> Offer | None:
    """Of the queue of that name; None: there is none."""
    queue = sites.queues.get(name)
    return None if queue is None else offer_of(name, queue, sites.downtimes_of(queue), at)


def offer_of(name: str, queue: Queue, downtimes: Collection[Downtime], at: datetime) -> Offer:
    """Of a queue that is at hand; `downtimes` are its own and its site's."""
    status = queue.status_at(at, downtimes)
    return Offer(status, Slot.of(queue), _why_shut(name, queue, downtimes, at) if status == Status.OFFLINE else None)


def _why_shut(name: str, queue: Queue, downtimes: Collection[Downtime], at: datetime) -> str:
    override = queue.override
    if override is not None and override.holds_at(at):
        until = f" until {_moment(override.until)}" if override.until else ""
        return f"{name} is set offline{until} by {override.by}: {override.reason}"
    if queue.status == Status.OFFLINE:
        return f"{name} is offline"
    last = max((one for one in downtimes if one.holds_at(at)), key=lambda one: one.ends_at)
    return f"{name} is in downtime until {_moment(last.ends_at)}" + (f": {last.reason}" if last.reason else "")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _least(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
