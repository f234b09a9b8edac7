"""A claim: the seats that pilots offer, and the jobs that fill them. Values that gateway and store exchange."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing


@dataclass(frozen=True, slots=True)
class Filters:
    """Which waiting jobs a pilot can take; None means no limit. Equal filters are served by one search.

    `site` is a PanDA queue, as in the job itself.
    """

    site: str
    labels: tuple[str, ...] | None = None
    memory: int | None = None
    disk: int | None = None
    remaining_time: int | None = None
    core_count: int | None = None
    resource_type: str | None = None
    task_id: int | None = None
    user_name: str | None = None
    background: bool = False
    """Only jobs that are for the background."""
    too_few_cores: int = 0
    """Jobs of so many cores or fewer are for other queues, but for those that take any number (0)."""


@dataclass(slots=True)
class Ask:
    """What pilots that are about alike asked for, how often, and how many jobs they were given."""

    filters: Filters
    """Of the last of them."""
    asks: int = 0
    jobs: int = 0


MOST_KINDS = 20
"""So many kinds of pilots are remembered of a queue."""


@dataclass(slots=True)
class SiteAsks:
    """What pilots of a queue asked in a while: how often, how many jobs they were given, how often there was none.

    `kinds` are the last who asked, of each kind one entry; when there are too many the oldest is forgotten.
    """

    asks: int = 0
    jobs: int = 0
    empty: int = 0
    kinds: dict[tuple[Any, ...], Ask] = field(default_factory=dict)

    def answered(self, filters: Filters, jobs: int) -> None:
        """A pilot that can take this was given so many jobs."""
        self.jobs += jobs
        self.empty += not jobs
        self._add(kind_of(filters), Ask(filters, 1, jobs))

    def join(self, later: "SiteAsks") -> None:
        """Add what was asked after this."""
        self.asks += later.asks
        self.jobs += later.jobs
        self.empty += later.empty
        for kind, ask in later.kinds.items():
            self._add(kind, ask)

    def _add(self, kind: tuple[Any, ...], ask: Ask) -> None:
        known = self.kinds.pop(kind, None)
        if known is not None:
            ask.asks += known.asks
            ask.jobs += known.jobs
        elif len(self.kinds) >= MOST_KINDS:
            del self.kinds[next(iter(self.kinds))]
        self.kinds[kind] = ask


def kind_of(filters: Filters) -> tuple[Any, ...]:
    """Equal for pilots that are about alike: disks and times that remain differ from one to the next by a little."""
    f = filters
    sizes = map(_size, (f.memory, f.disk, f.remaining_time))
    return f.labels, f.core_count, f.resource_type, f.task_id, f.user_name, f.background, *sizes


def fingerprint(kind: tuple[Any, ...]) -> str:
    """The kind, short, the same in all processes."""
    return hashlib.sha256(repr(kind).encode(errors="surrogatepass")).hexdigest()[:32]


def _size(number: int | None) -> int | None:
    """The first two bits and how many follow."""
    return number if number is None else number >> max(0, number.bit_length() - 2) << max(0, number.bit_length() - 2)


@dataclass(frozen=True, slots=True)
class Seat:
    """Room for one job: who will hold it, where it runs, and the id of the request that caused it.

    `place` is what tells this pilot from all others, hashed: it holds one job of which it has not spoken, and gets the
    same again when it asks again. None where nothing tells pilots apart, and where many jobs are asked for.
    """

    cause: str
    holder: str
    node: str
    pilot: dict[str, Any]
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """A job and the seat that it was given to."""

    seat: Seat
    job: JobDescription


@dataclass(slots=True)
class Claim:
    """What a claim gave: for each seat its job or None, the events in the outbox, and who was not served in full
    although jobs that fit are waiting, only locked for a moment by somebody else. `doubled`: jobs too many, for pilots
    that were given another at the same moment; they are to be given back. `held`: the causes of seats that were left
    empty although a job may be there for them: somebody has in hand what their pilots were given last, or the database
    was away in the middle of it."""

    jobs: list[JobDescription | None]
    events: list[Outgoing]
    more_waiting: set[Filters] = field(default_factory=set)
    doubled: list[Given] = field(default_factory=list)
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The events of jobs that wait again; those that somebody has locked for a moment are to be given back again."""

    events: list[Outgoing]
    locked: frozenset[int]
