"""What is known of PanDA queues, who said it and when, who changed it, and what of a source cannot be used."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panda_fsm.information.models import Downtime, Override, Queue
from panda_fsm.offers import offer_of
from panda_fsm.sites import SitesNow
from panda_fsm.views import words
from panda_fsm.views.cursors import Cursors, Key

CURSORS = Cursors("information", str)
_LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class Down:
    """A downtime."""

    begins_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SetStatus:
    """What an operator set above what the source says."""

    status: str
    by: str
    reason: str
    since: datetime
    until: datetime | None

    def sentence(self) -> str:
        """In words."""
        end = f", until {words.moment(self.until)}" if self.until else ""
        return f"Set {self.status} by {self.by} at {words.moment(self.since)}{end}: {words.dotted(self.reason)}"


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A PanDA queue. `status` counts now, `said` is what its source says; `shut`: why nobody gets a job there.

    Limits are those of a job, 0 is none.
    """

    name: str
    status: str
    shut: str
    said: str
    is_set: bool
    site: str
    storage: str
    storages: tuple[str, ...]
    capability: str
    cores: int
    memory_mb: int
    disk_mb: int
    time_s: int
    source: str
    changed_at: datetime | None
    downtimes: tuple[Down, ...] = ()
    override: SetStatus | None = None


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """A storage of a queue: where it is, and by which ways its files are reached."""

    name: str
    site: str
    type: str
    path: str | None
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactChange:
    """Who changed what, when. `before` and `after` have what differs; None: it was not, or is not, there."""

    at: datetime
    actor: str
    why: str
    source: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def what(self) -> tuple[tuple[str, str, str], ...]:
        """Field by field: what it was and what it is."""
        if self.before is None:
            return (("the queue", "not known", "added"),)
        if self.after is None:
            return (("the queue", "known", "gone from its source"),)
        return tuple(_differences("", self.before, self.after))


@dataclass(frozen=True, slots=True)
class SourceNow:
    """Where facts come from, how that goes, and how many of its entries cannot be used."""

    name: str
    url: str
    asked_s: float | None
    good_s: float | None
    changed_s: float | None
    trouble: str | None
    trouble_s: float | None
    rejected: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry of a source that cannot be used, and why; what was known before stays."""

    source: str
    kind: str
    name: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class QueueView:
    """All that is known of a queue."""

    queue: QueueFacts
    storages: tuple[StorageFacts, ...]
    history: tuple[FactChange, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class FactsWanted:
    """Which queues; None where any will do. `status` is what is set, or else said."""

    name: str | None = None
    status: str | None = None
    source: str | None = None
    after: Key | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class InformationView:
    """Queues with what is known of them (`rows`), sources, and what of these cannot be used."""

    rows: tuple[QueueFacts, ...]
    sources: tuple[SourceNow, ...]
    rejected: tuple[Rejected, ...]
    next: str | None = None


def queue_facts(
    name: str, source: str, queue: Queue, changed_at: datetime | None, sites: SitesNow, at: datetime
) -> QueueFacts:
    """Of a row; downtimes of its site count, as far as `sites` knows them."""
    downtimes = sites.downtimes_of(queue)
    now = offer_of(name, queue, downtimes, at)
    override = queue.override if queue.override is not None and queue.override.holds_at(at) else None
    return QueueFacts(
        name, now.status.value, now.shut or "", queue.status.value, override is not None, queue.site, queue.storage,
        queue.storages or (queue.storage,), queue.capability, queue.cores, queue.max_memory_mb, queue.max_work_dir_mb,
        queue.max_time_s, source, changed_at, tuple(map(_down, sorted(downtimes, key=lambda one: one.begins_at))),
        None if override is None else _set(override),
    )  # fmt: skip


def storage_facts(queue: QueueFacts, sites: SitesNow) -> tuple[StorageFacts, ...]:
    """Those that the queue names; of one that is not known only the name."""
    found = []
    for name in queue.storages:
        one = sites.storages.get(name)
        if one is None:
            found.append(StorageFacts(name, "", "not known", None, ()))
            continue
        ways = {f"{way.endpoint}{way.path}" for each in one.protocols.values() for way in each}
        found.append(StorageFacts(name, one.site, one.type, one.path, tuple(sorted(ways))))
    return tuple(found)


def _down(one: Downtime) -> Down:
    return Down(one.begins_at, one.ends_at, one.reason)


def _set(one: Override) -> SetStatus:
    return SetStatus(one.status.value, one.by, one.reason, one.since, one.until)


def _differences(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What pilots read is looked through, too."""
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name), after.get(name)
        if isinstance(was, dict) and isinstance(is_now, dict) and name != "override":
            yield from _differences(f"{name} ", was, is_now)
        elif was != is_now:
            yield f"{prefix}{name}", _shown(was), _shown(is_now)


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "status" in value:
        return str(value["status"])
    text = "nothing" if value in (None, "", [], {}) else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
