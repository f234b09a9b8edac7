"""Queues, sites, storages and the network as they are known now: one snapshot, and who holds the newest."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from panda_fsm.errors import TransientError
from panda_fsm.information.models import Downtime, Fact, Kind, Network, Queue, Site, Status, Storage

__all__ = ["Known", "Queue", "Site", "Sites", "SitesNow", "Status", "Storage"]


class SitesNow(Protocol):
    """What is known at this moment. It may be something else the next time: who needs it asks each time.

    `transformations` is the folder of scripts that pilots fetch, `block_register` the one where the local DDM keeps
    what it knows of data blocks: one that is not there is not mounted.
    """

    @property
    def queues(self) -> Mapping[str, Queue]: ...
    @property
    def sites(self) -> Mapping[str, Site]: ...
    @property
    def storages(self) -> Mapping[str, Storage]: ...
    @property
    def network(self) -> Mapping[str, Network]: ...
    @property
    def transformations(self) -> str | None: ...
    @property
    def block_register(self) -> str | None: ...
    def status_at(self, name: str, now: datetime) -> Status | None:
        """What counts for a queue then; None: there is no such queue."""

    def downtimes_of(self, queue: Queue) -> tuple[Downtime, ...]:
        """Its own, and those of its site."""


class Sites(BaseModel):
    """One snapshot: it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    queues: dict[str, Queue] = Field(default_factory=dict)
    sites: dict[str, Site] = Field(default_factory=dict)
    storages: dict[str, Storage] = Field(default_factory=dict)
    network: dict[str, Network] = Field(default_factory=dict)
    transformations: str | None = None
    block_register: str | None = None

    @classmethod
    def of(cls, facts: Mapping[tuple[Kind, str], Fact]) -> Self:
        """A snapshot of what was read one by one, and looked at then."""
        found: dict[Kind, dict[str, Any]] = {kind: {} for kind in Kind}
        for (kind, name), fact in facts.items():
            found[kind][name] = fact
        folders = {name: folder.path for name, folder in found[Kind.FOLDER].items()}
        return cls.model_construct(
            queues=found[Kind.QUEUE], sites=found[Kind.SITE], storages=found[Kind.STORAGE],
            network=found[Kind.NETWORK], transformations=folders.get("transformations"),
            block_register=folders.get("block_register"),
        )  # fmt: skip

    def status_at(self, name: str, now: datetime) -> Status | None:
        """What counts for a queue then; None: there is no such queue."""
        queue = self.queues.get(name)
        return None if queue is None else queue.status_at(now, self.downtimes_of(queue))

    def downtimes_of(self, queue: Queue) -> tuple[Downtime, ...]:
        """Its own, and those of its site."""
        site = self.sites.get(queue.site)
        return queue.downtimes if site is None else (*queue.downtimes, *site.downtimes)


class Known:
    """The newest snapshot that this process has: a thread swaps it, everybody else reads.

    `version` is that of the database; 0: what the sites file says, for nothing was imported yet. `is_known`: whether
    anybody could be asked yet. Until then all else raises TransientError: that there is no such queue nobody can say.
    """

    def __init__(self, now: Sites | None = None) -> None:
        self._held = now or Sites(), 0
        self._facts: dict[tuple[Kind, str], Fact] = {}
        self.is_known = now is not None

    def swap(self, now: Sites) -> None:
        """The sites file says so, for nothing was imported yet. Who reads meanwhile reads the one or the other."""
        self._facts = {}
        self._held = now, 0
        self.is_known = True

    def learn(self, changed: Mapping[tuple[Kind, str], Fact | None], version: int, *, is_all: bool) -> None:
        """The database says so; None: it is known no more. `is_all`: there is nothing else."""
        facts = {} if is_all else dict(self._facts)
        for key, fact in changed.items():
            if fact is None:
                facts.pop(key, None)
            else:
                facts[key] = fact
        self._facts = facts
        self._held = Sites.of(facts), version
        self.is_known = True

    @property
    def now(self) -> Sites:
        if not self.is_known:
            raise TransientError(
                "which queues and storages there are is not known yet: the database could not be asked"
            )
        return self._held[0]

    @property
    def version(self) -> int:
        return self._held[1]

    @property
    def queues(self) -> Mapping[str, Queue]:
        return self.now.queues

    @property
    def sites(self) -> Mapping[str, Site]:
        return self.now.sites

    @property
    def storages(self) -> Mapping[str, Storage]:
        return self.now.storages

    @property
    def network(self) -> Mapping[str, Network]:
        return self.now.network

    @property
    def transformations(self) -> str | None:
        return self.now.transformations

    @property
    def block_register(self) -> str | None:
        return self.now.block_register

    def status_at(self, name: str, now: datetime) -> Status | None:
        return self.now.status_at(name, now)

    def downtimes_of(self, queue: Queue) -> tuple[Downtime, ...]:
        return self.now.downtimes_of(queue)
