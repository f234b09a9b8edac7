"""Queues and storages: which queue is at which site, and which storage it reads and writes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Storage(BaseModel):
    """A storage element. A local one has a path; another DDM may know it by name only.

    A path below the mount point vanishes with the mount, so an unmounted storage is known as unreachable. With `verify`
    outputs that their pilot stored here are compared with what it reported before they are registered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    site: str
    path: str | None = None
    verify: bool = False


class Queue(BaseModel):
    """A PanDA queue. `queuedata` is what its pilots read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    site: str
    storage: str
    status: str = "online"
    queuedata: dict[str, Any] = Field(default_factory=dict)


class Sites(BaseModel):
    """The whole configuration of queues and storages. `transformations` is the folder of scripts that pilots fetch,
    `block_register` the one where the local DDM keeps what it knows of data blocks: one that is not
    there is not mounted."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    queues: dict[str, Queue] = Field(default_factory=dict)
    storages: dict[str, Storage] = Field(default_factory=dict)
    transformations: str | None = None
    block_register: str | None = None
