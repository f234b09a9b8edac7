"""The headroom of the gateways: A × R against M × W, as they showed themselves last."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from panda_fsm.views.workers import WorkerNow

GATEWAY = "gateway"
_LOW, _NONE = 1.3, 1.1
"""Below the first another gateway is wanted, as the alert says, below the second requests soon queue up."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What live gateways need together. `busy` is A × R: so many of their event loops, each of which is one core."""

    machines: int
    gateways: int
    per_s: float
    busy: float

    @property
    def request_s(self) -> float | None:
        """A: the mean processor time of a request; of none nothing is known."""
        return self.busy / self.per_s if self.per_s else None

    @property
    def part(self) -> float:
        """A × R of M × W."""
        return self.busy / self.gateways

    @property
    def headroom(self) -> float | None:
        """So many times the present load they could take; None: there is none to speak of."""
        return self.gateways / self.busy if self.busy > self.gateways / 1000 else None

    @property
    def tone(self) -> Literal["", "warn", "bad"]:
        """How it stands."""
        left = self.headroom
        if left is None or left >= _LOW:
            return ""
        return "bad" if left < _NONE else "warn"


def capacity(workers: Iterable[WorkerNow]) -> Capacity | None:
    """Of the gateways that have been measured; None: there is none yet."""
    measured = [(one, one.busy) for one in workers if one.service == GATEWAY and one.is_alive and one.busy is not None]
    if not measured:
        return None
    machines = {one.host for one, _ in measured}
    return Capacity(len(machines), len(measured), sum(one.per_s for one, _ in measured), sum(b for _, b in measured))
