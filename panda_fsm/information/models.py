"""A queue, its limits, a site, a storage, a link of the network: what sources say of them, as this system uses it.

Fields that a model does not know are passed over: rows may be written by a newer program. What is typed by people is
looked at more closely when it is read (`reading.py`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Megabytes = Annotated[int, Field(ge=0, le=100_000_000)]
"""Up to a hundred terabytes: more is a mistake in the source."""
Span = Annotated[int, Field(ge=0, le=10 * 365 * 86_400)]
"""Seconds, up to ten years."""
Cores = Annotated[int, Field(ge=0, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


def _in_utc(said: datetime) -> datetime:
    """As it is shown everywhere, whatever zone a source wrote it in."""
    try:
        return said.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is before the first or after the last year") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Kind(StrEnum):
    """What the information service knows things of."""

    STORAGE = "storage"
    SITE = "site"
    QUEUE = "queue"
    NETWORK = "network"
    FOLDER = "folder"


class Status(StrEnum):
    """What a queue does with work: everything, nothing, what it has already, tests only."""

    ONLINE = "online"
    OFFLINE = "offline"
    BROKEROFF = "brokeroff"
    TEST = "test"


class Fact(BaseModel):
    """Something a source said; it never changes, the next word of the source is another one."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Downtime(Fact):
    """A time in which nothing works there."""

    begins_at: Moment
    ends_at: Moment
    reason: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends_at <= self.begins_at:
            raise ValueError("a downtime ends before it begins")
        return self

    def holds_at(self, now: datetime) -> bool:
        return self.begins_at <= now < self.ends_at


class Override(Fact):
    """What an operator set above what the source says, until it is lifted or its time is over."""

    status: Status
    by: str
    reason: str
    since: Moment
    until: Moment | None = None

    def holds_at(self, now: datetime) -> bool:
        return self.until is None or now < self.until


class Protocol(Fact):
    """One way to a storage's files."""

    endpoint: str
    flavour: str = ""
    path: str = ""


class Storage(Fact):
    """A storage element. A local one has a path; another DDM may know it by name only.

    A path below the mount point vanishes with the mount, so an unmounted storage is known as unreachable. With `verify`
    outputs that their pilot stored here are compared with what it reported before they are registered. `protocols` are
    those of each activity, best first; `storagedata` is what pilots read of it.
    """

    site: Name
    path: str | None = None
    verify: bool = False
    type: str = ""
    protocols: dict[str, tuple[Protocol, ...]] = Field(default_factory=dict)
    storagedata: dict[str, Any] = Field(default_factory=dict)


class Site(Fact):
    """A place with queues and storages."""

    country: str = ""
    cloud: str = ""
    is_active: bool = True
    downtimes: tuple[Downtime, ...] = ()


class Queue(Fact):
    """A PanDA queue. `queuedata` is what its pilots read.

    `storage` is where it writes, `storages` all that it reads. A limit of 0 is none. `capability` says which kind of
    jobs in cores it takes; `parent` is the queue that it was made after.
    """

    site: Name
    storage: Name
    storages: tuple[Name, ...] = ()
    status: Status = Status.ONLINE
    min_memory_mb: Megabytes = 0
    max_memory_mb: Megabytes = 0
    min_time_s: Span = 0
    max_time_s: Span = 0
    cores: Cores = 0
    max_work_dir_mb: Megabytes = 0
    capability: str = ""
    parent: str = ""
    downtimes: tuple[Downtime, ...] = ()
    override: Override | None = None
    queuedata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for what, least, most in (
            ("memory", self.min_memory_mb, self.max_memory_mb), ("time", self.min_time_s, self.max_time_s)
        ):  # fmt: skip
            if most and least > most:
                raise ValueError(f"the least {what} is {least}, more than the most, {most}")
        return self

    def status_at(self, now: datetime, downtimes: Iterable[Downtime]) -> Status:
        """What counts now: what an operator set, else that it is in one of the `downtimes`, else what its source
        says."""
        if self.override is not None and self.override.holds_at(now):
            return self.override.status
        return Status.OFFLINE if any(downtime.holds_at(now) for downtime in downtimes) else self.status


class Folder(Fact):
    """A folder of this installation that all processes must find at the same path."""

    path: Name


class Link(NamedTuple):
    """How near a destination is: 0 is the same place, and how much gets there in a second, where that is known."""

    closeness: int | None = None
    mbps: float | None = None


class Network(Fact):
    """The links from one site, by destination."""

    links: dict[str, Link]


MODELS: dict[Kind, type[Fact]] = {
    Kind.STORAGE: Storage, Kind.SITE: Site, Kind.QUEUE: Queue, Kind.NETWORK: Network, Kind.FOLDER: Folder,
}  # fmt: skip
READ_BY_PILOTS = {Kind.QUEUE: "queuedata", Kind.STORAGE: "storagedata"}
"""Fields that are kept as they came, for pilots; nobody else reads them."""
