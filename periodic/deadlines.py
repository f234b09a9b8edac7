"""Deadlines and reminders: each live job whose time has come is asked about, and its pending message is sent again."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from panda_fsm.jobs.appointments import Appointed, Due, appoint
from panda_fsm.jobs.facts import Limits
from panda_fsm.log_ids import few
from panda_fsm.trouble import Condition
from periodic.schedule import Duty, Memory, Portion

log = structlog.get_logger()

_PERIOD_S = 0.5
"""With the relay's own pause and the Watcher's work, a deadline is acted upon within two seconds."""
_SLICE = 500


class Appointments(Protocol):
    """The database side."""

    def keep(self, limit: int, decide: Callable[[Due], Mapping[int, Appointed]]) -> int:
        """Take jobs that are due, and do what `decide` says of them; returns how many were due."""

    def close(self) -> None: ...


class Losses:
    """How many jobs may be called lost now. More than a few a second is no loss of pilots but trouble of ours."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = max(1.0, per_s)
        self._at = self._last_turn = clock()
        self._waiting = 0

    def allowed(self) -> bool:
        """Whether one more may be called lost now."""
        now = self._clock()
        self._left = min(max(1.0, self._per_s), self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        self._waiting = max(0, self.waiting - 1)
        return True

    def turn(self, now: datetime) -> datetime:
        """When it is the turn of one that is put off: behind all who wait already, so that nobody is asked in vain."""
        self._waiting = self.waiting + 1
        turn_s = 1.0 + self._waiting / self._per_s
        self._last_turn = self._clock() + turn_s
        return now + timedelta(seconds=turn_s)

    @property
    def waiting(self) -> int:
        """Jobs that were put off, and not called lost since; whose turn was long ago must have been heard of."""
        return self._waiting if self._clock() < self._last_turn + 2.0 else 0


class Deadlines:
    """What is decided of the jobs that are due."""

    def __init__(self, appointments: Appointments, limits: Limits, losses_per_s: float, condition: Condition) -> None:
        self._appointments = appointments
        self._limits = limits
        self._condition = condition
        self._portion = Portion(_SLICE)
        self.losses = Memory(Losses(losses_per_s))

    def run(self) -> bool:
        """One slice."""
        with self._portion.taken() as size:
            more = self._appointments.keep(size, self._decide) >= size
        waiting = self.losses.now.waiting
        self._condition.note("losses", f"{waiting} silent jobs wait to be called lost" if waiting else None)
        return more

    def _decide(self, due: Due) -> dict[int, Appointed]:
        put_off = 0
        appointed = {job_id: appoint(job, due, self._limits) for job_id, job in due.jobs.items()}
        for job_id, one in appointed.items():
            if one.silent and not self.losses.now.allowed():
                appointed[job_id] = replace(one, messages=(), look_at=self.losses.now.turn(due.now), overdue=False)
                put_off += 1
        self._say(due, appointed, put_off)
        return appointed

    def _say(self, due: Due, appointed: Mapping[int, Appointed], put_off: int) -> None:
        overdue = [due.jobs[job_id] for job_id, one in appointed.items() if one.overdue]
        if overdue:
            states = sorted({job.state.value for job in overdue})
            log.info("deadlines_passed", jobs=len(overdue), states=states, job_ids=few(job.job_id for job in overdue))
        if put_off:
            log.error("too_many_losses", put_off=put_off, waiting=self.losses.now.waiting)


def duty(appointments: Appointments, limits: Limits, losses_per_s: float, condition: Condition) -> Duty:
    """Twice a second, and at once again while a whole slice was due."""
    deadlines = Deadlines(appointments, limits, losses_per_s, condition)
    what = "Keeps the appointment with each job: says its pending message again, announces its deadline."
    return Duty(
        "deadlines", _PERIOD_S, what, deadlines.run,
        alone=True, rest=appointments.close, memory=deadlines.losses, is_vital=True,
    )  # fmt: skip
