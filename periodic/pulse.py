"""The daemon's pulse: after a gap, and while nobody listens to pilots, a silence is ours and nobody is lost."""

from typing import Protocol

from panda_fsm.jobs.facts import HEARTBEAT_PERIOD_S
from panda_fsm.trouble import Condition
from periodic.schedule import Duty

_PERIOD_S = 1.0


class Pulse(Protocol):
    """The database side."""

    def tick(self, grace_s: float) -> None:
        """The daemon is at work; after a gap nobody is lost for `grace_s`."""

    def silent(self) -> list[tuple[str, float]]:
        """Who has not ticked for too long, and for how many seconds."""

    def close(self) -> None: ...


def duty(pulse: Pulse, condition: Condition) -> Duty:
    """Tick, and say who does not."""

    def run() -> bool:
        pulse.tick(HEARTBEAT_PERIOD_S)
        silent = pulse.silent()
        said = ", ".join(f"{name} for {seconds / 60:.0f} min" for name, seconds in silent)
        condition.note("grace", f"no job is called lost while nobody listens to pilots: {said}" if silent else None)
        return False

    what = "Says that the daemon lives: while nobody does, no job is called lost."
    return Duty("pulse", _PERIOD_S, what, run, alone=False, limit_s=60.0, rest=pulse.close, is_vital=True)
