"""Signs of life: what a process shows, when it counts as silent, and when that is no news any more."""

from dataclasses import dataclass

SIGN_S = 5.0
"""A process shows itself so often, and at each change of its condition."""
_SILENT_S = 4 * SIGN_S
"""Who has shown nothing for so long is silent."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process as it shows itself; ages in seconds."""

    service: str
    host: str
    pid: int
    up_s: float
    silent_s: float
    trouble: str | None = None
    trouble_s: float | None = None

    @property
    def name(self) -> str:
        """Which process it is."""
        return f"{self.service} ({self.host}, {self.pid})"

    @property
    def is_alive(self) -> bool:
        """Whether it showed itself of late."""
        return self.silent_s <= _SILENT_S


def replaces(one: ProcessRow, silent: ProcessRow) -> bool:
    """Whether it was started after the other one fell silent: whoever killed that one, somebody saw to it."""
    return (one.service, one.host) == (silent.service, silent.host) and one.up_s < silent.silent_s
