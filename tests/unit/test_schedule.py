"""The schedule: every duty in its own loop, none of which can stop another; and how many losses there may be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from panda_fsm.errors import SystemicError, TooSlowError, TransientError
from panda_fsm.trouble import Condition
from periodic.deadlines import Losses
from periodic.schedule import Duty, Portion, Schedule
from tests.polling import wait_until

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@contextmanager
def running(*duties: Duty, condition: Condition | None = None) -> Iterator[Schedule]:
    """A schedule at work."""
    schedule = Schedule(duties, condition or Condition())
    thread = threading.Thread(target=schedule.run, daemon=True)
    thread.start()
    try:
        yield schedule
    finally:
        schedule.end()
        thread.join(20)
        assert not thread.is_alive(), "the schedule does not end"


class Counted:
    """A duty that counts its slices."""

    def __init__(self, answer: Callable[[int], bool], period_s: float = 3600.0, name: str = "counted") -> None:
        self.slices = 0
        self.rests = 0
        self._answer = answer
        self.duty = Duty(name, period_s, "Counts.", self._run, alone=False, rest=self._rest)

    def _run(self) -> bool:
        self.slices += 1
        return self._answer(self.slices)

    def _rest(self) -> None:
        self.rests += 1


def failing(error: Exception) -> Callable[[int], bool]:
    def fail(_slice: int) -> bool:
        raise error

    return fail


def test_a_duty_goes_on_without_a_pause_while_more_is_due_and_then_rests() -> None:
    duty = Counted(lambda slices: slices < 5)
    with running(duty.duty):
        wait_until(lambda: duty.rests == 1, "the rest")
        assert duty.slices == 5


def test_a_duty_with_a_short_period_keeps_its_connection_until_the_end() -> None:
    duty = Counted(lambda _: False, period_s=0.01)
    with running(duty.duty):
        wait_until(lambda: duty.slices > 3, "slices")
        assert duty.rests == 0
    assert duty.rests == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), TransientError("away"), SystemicError("no such table")])
def test_a_duty_that_fails_stops_no_other(error: Exception) -> None:
    bad, good = Counted(failing(error), name="bad"), Counted(lambda _: True, name="good")
    with running(bad.duty, good.duty):
        wait_until(lambda: bad.slices >= 2 and good.slices > 1000, "slices of both")


def test_a_duty_that_hangs_stops_no_other() -> None:
    hang = threading.Event()
    bad, good = Counted(lambda _: hang.wait(60), name="bad"), Counted(lambda _: True, name="good")
    with running(bad.duty, good.duty):
        wait_until(lambda: bad.slices and good.slices > 1000, "slices of the good one")
        hang.set()


class UnspeakableError(Exception):
    """Cannot even be told."""

    def __str__(self) -> str:
        raise OSError("no space left on device")


@pytest.mark.parametrize("error", [UnspeakableError(), SystemExit(3)])
def test_a_loop_that_ends_ends_the_process(error: BaseException) -> None:
    """Whoever supervises it starts it anew; a daemon without one of its duties would be noticed much later."""

    def run(_slice: int) -> bool:
        raise error

    bad, good = Counted(run, name="bad"), Counted(lambda _: False, name="good")
    with pytest.raises(RuntimeError, match="a duty's loop has ended"):
        Schedule([bad.duty, good.duty], Condition()).run()
    assert good.rests == 1


def test_trouble_that_lasts_is_shown_and_goes_when_the_duty_works() -> None:
    mended = threading.Event()

    def run(_slice: int) -> bool:
        if not mended.is_set():
            raise TransientError("the database is away")
        return False

    condition, duty = Condition(), Counted(run, period_s=0.01, name="archive")
    with running(duty.duty, condition=condition):
        wait_until(lambda: condition.trouble, "the trouble")
        assert condition.trouble == "archive: TransientError: the database is away"
        assert duty.slices >= 3, "a hiccup is not worth an alarm"
        mended.set()
        wait_until(lambda: condition.trouble is None, "no trouble")


def test_what_somebody_must_mend_is_shown_at_once() -> None:
    condition = Condition()
    duty = Counted(failing(SystemicError("no such table")), name="archive")
    with running(duty.duty, condition=condition):
        wait_until(lambda: condition.trouble, "the trouble")
        assert duty.slices == 1


def test_a_duty_that_is_too_slow_takes_less_and_then_more_again() -> None:
    portion, taken = Portion(500), []
    for slow in (True, True, False, False, False):
        try:
            with portion.taken() as size:
                taken.append(size)
                if slow:
                    raise TooSlowError("statement timeout")
        except TooSlowError:
            pass
    assert taken == [500, 250, 125, 250, 500]


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_more_jobs_are_called_lost_than_were_agreed() -> None:
    watch = Watch()
    losses = Losses(10, watch)
    assert sum(losses.allowed() for _ in range(100)) == 10
    watch.now = 0.5
    assert sum(losses.allowed() for _ in range(100)) == 5
    watch.now = 1000.0
    assert sum(losses.allowed() for _ in range(100)) == 10, "what was not used is not saved up"


def test_those_put_off_get_a_place_in_the_line() -> None:
    """Else a million silent jobs would be asked about every second."""
    watch = Watch()
    losses = Losses(10, watch)
    turns = [losses.turn(NOW) for _ in range(1000) if losses.allowed() is False]
    assert turns[0] - NOW == timedelta(seconds=1.1)
    assert turns[-1] - NOW == timedelta(seconds=1 + 0.1 * len(turns))
    assert losses.waiting == len(turns) == 990
    watch.now = 1.0
    assert sum(losses.allowed() for _ in range(10)) == 10
    assert losses.waiting == 980
    watch.now = 200.0
    assert losses.waiting == 0, "their turn came and nobody needed it: they were heard of"
