"""Jobs and files to be, and the limits of every value in a message: what is stored was checked here."""

import re
from importlib import import_module
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from panda_fsm.jobs.deadlines import Kind
from panda_fsm.resources import resource_type

_parse = import_module("re._parser").parse
"""The first half of `re.compile`. It is private to `re`, which offers no other way to read without compiling."""
PATTERN = "regex|"
"""How an output begins that is declared by a regular expression for its names."""
MOST_UPSTREAM = 20
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Priority = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Text = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
BlockName = Annotated[str, StringConstraints(max_length=320, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A sub block is called after its destination block, with a number more."""
Storable = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Free text; PostgreSQL refuses NUL."""
Lfn = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f/\\.][^\x00-\x1f\x7f/\\]*$")
]
DeclaredLfn = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=256,
        pattern=r"^(regex\|[^\x00-\x1f\x7f/]+|[^\x00-\x1f\x7f/\\.][^\x00-\x1f\x7f/\\]*)$",
    ),
]
"""An LFN, or an output's pattern for the LFNs that there will be (`regex|...`)."""
Scope = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_\-]*(\.[A-Za-z0-9_\-]+)*$")]


class FileDraft(BaseModel):
    """A file of a job to be."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["input", "pseudo_input", "output", "log"]
    lfn: DeclaredLfn
    scope: Scope = ""
    dataset: Name = ""
    destination_block: Name = ""
    destination: Name = ""
    guid: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9\-]*$")] = ""
    size: Annotated[int, Field(ge=0, le=2**62)] = 0
    checksum: Annotated[str, StringConstraints(pattern=r"^((ad|md|md5):[0-9a-fA-F]{8,32})?$")] = ""
    status: Literal["unknown", "ready", "cached"] = "unknown"
    token: Name = ""
    place_token: Name = ""
    """Where an output is to be put, or that it is to be merged; the same of an input."""

    @model_validator(mode="after")
    def _to_come(self) -> Self:
        """Of an output nothing is true before its pilot says it: what was declared would pass for what is confirmed."""
        if self.type in ("output", "log"):
            self.size, self.checksum, self.status = 0, "", "unknown"
        return self

    @model_validator(mode="after")
    def _declared(self) -> Self:
        """Patterns are for outputs, and can be read as such."""
        if self.lfn.startswith(PATTERN):
            if self.type not in ("output", "log"):
                raise ValueError("lfn: only an output may be declared by a pattern")
            try:
                # Only read: 250 characters can say what takes a quarter second to compile.
                _parse(self.lfn.removeprefix(PATTERN))
            except (re.error, OverflowError, RecursionError):
                raise ValueError("lfn: is not a regular expression") from None
        return self


class JobDraft(BaseModel):
    """A job to be. Sizes: min_ram and max_disk in MB, max_walltime in seconds. `spec` keeps what no rule reads."""

    model_config = ConfigDict(extra="ignore")
    job_id: Id
    job_definition_id: Count = 0
    jobset_id: Count = 0
    task_id: Annotated[int, Field(ge=0, le=2**62)] = 0
    attempt_nr: Annotated[int, Field(ge=0, le=32767)] = 0
    name: Name = ""
    vo: Annotated[str, StringConstraints(max_length=32, pattern=r"^[A-Za-z0-9_.\-]*$")] = ""
    site: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.\-]+$")]
    label: Name = "user"
    user: Name = ""
    priority: Priority = 0
    core_count: Count = 1
    min_ram: Count = 0
    max_disk: Count = 0
    max_walltime: Count = 0
    resource_type: Name = ""
    destination: Name = ""
    processing_type: Name = ""
    special_handling: Name = ""
    transfer_type: Name = ""
    is_jedis: bool = False
    is_background: bool = False
    no_reassign: bool = False
    upstream: Annotated[list[Id], Field(max_length=MOST_UPSTREAM)] | None = None
    """Jobs that make what this one reads, and that it waits for."""
    spec: dict[str, Any] = Field(default_factory=dict)
    files: list[FileDraft] = Field(default_factory=list, max_length=2000)

    @model_validator(mode="after")
    def _typed(self) -> Self:
        """A job without a resource type gets the one of its cores and memory: pilots ask for types."""
        if not self.resource_type:
            self.resource_type = resource_type(self.core_count, self.min_ram)
        return self

    @property
    def kind(self) -> Kind:
        """What the deadlines of the new job depend on."""
        return Kind.of(self.label, self.priority, self.task_id, self.processing_type, no_reassign=self.no_reassign)
