"""Queues and storages: which queue is at which site, and which storage it reads and writes."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from panda_fsm.errors import SettingsError


class Storage(BaseModel):
    """A storage element. A local one has a path; another DDM may know it by name only."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    site: str
    path: Path | None = None


class Queue(BaseModel):
    """A PanDA queue. `queuedata` is what its pilots read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    site: str
    storage: str
    status: str = "online"
    queuedata: dict[str, Any] = Field(default_factory=dict)


class Sites(BaseModel):
    """The whole configuration of queues and storages, read from one JSON file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    queues: dict[str, Queue] = Field(default_factory=dict)
    storages: dict[str, Storage] = Field(default_factory=dict)
    transformations: Path | None = None

    @classmethod
    def load(cls, path: Path | None) -> "Sites":
        """Read `path`; no path means no queues. Raises SettingsError that says what is wrong where."""
        return _load(path) if path else cls()


@lru_cache(maxsize=4)
def _load(path: Path) -> Sites:
    try:
        return Sites.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise SettingsError(f"PANDA_FSM_SITES_FILE={path}: {error}") from error
