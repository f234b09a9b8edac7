"""Signs of life: when a process counts as silent, and when that is no news any more."""

from typing import Protocol

SIGN_S = 5.0
"""A process shows itself so often, and at each change of its condition."""
SILENT_S = 4 * SIGN_S
"""Who has shown nothing for so long is silent."""


class Sign(Protocol):
    """What a process shows of itself; ages in seconds."""

    @property
    def service(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def up_s(self) -> float: ...
    @property
    def silent_s(self) -> float: ...


def replaces(one: Sign, silent: Sign) -> bool:
    """Whether it was started after the other one fell silent: whoever killed that one, somebody saw to it."""
    return (one.service, one.host) == (silent.service, silent.host) and one.up_s < silent.silent_s
