"""A claim: the seats that pilots offer, and the jobs that fill them. Values that gateway and store exchange."""

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
