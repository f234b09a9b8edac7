"""Whose turn it is in the daemon, by a clock that the test moves; and how many losses there may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.duty_runs import Outcome, Run, Standing
from panda_fsm.errors import TooSlowError
from panda_fsm.periods import checked
from periodic.deadlines import Losses
from periodic.schedule import Duty, Portion
from periodic.turns import Turn, Turns

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Line:
    """The line of some duties: a worker takes them, and the test says what became of it."""

    def __init__(self, **every: float | str) -> None:
        self.watch = Watch()
        duties = [Duty(name, often, "Plays.", bool, alone=True) for name, often in every.items()]
        self.turns = Turns(duties, self.watch, lambda: NOW + timedelta(seconds=self.watch.now))

    def due(self) -> list[str]:
        return [turn.duty.name for turn in self.turns.due()]

    def take(self, name: str) -> Turn:
        (turn,) = [turn for turn in self.turns.due() if turn.duty.name == name]
        self.turns.begun(turn, 0, 7)
        return turn

    def does(self, name: str, seconds: float = 0.0) -> Run:
        """A run of one slice, that takes so long."""
        turn = self.take(name)
        self.watch.now += seconds
        return self.turns.done(turn, seconds)

    def wants(self, *paused: str, **asked: datetime) -> None:
        self.turns.hear(Standing(frozenset(paused), asked))


def test_all_are_due_at_first_and_then_each_after_its_period() -> None:
    line = Line(a=1.0, b=10.0)
    assert line.due() == ["a", "b"]
    line.does("a")
    line.does("b")
    assert (line.due(), line.turns.next_s()) == ([], 1.0)
    line.watch.now = 1.0
    assert line.due() == ["a"]


def test_a_run_longer_than_its_period_delays_the_next_without_a_pile() -> None:
    line = Line(a=1.0)
    line.does("a", seconds=5.5)
    line.does("a", seconds=0.25)
    assert [line.due(), line.turns.next_s()] == [[], 0.75], "as if it had been due then, and no run is made up for"


def test_what_has_no_end_waits_behind_what_is_due() -> None:
    line = Line(endless=1.0, other=1.0)
    turn = line.take("endless")
    line.watch.now = 0.5
    assert line.turns.more(turn, 0.5) is None
    assert line.due() == ["other", "endless"]
    line.does("other", seconds=0.6)
    assert line.due() == ["endless", "other"]
    line.turns.more(line.take("endless"), 0.5)
    line.watch.now = 70.0
    found = line.turns.more(line.take("endless"), 0.5)
    assert found is not None
    assert (found.slices, found.seconds) == (3, 1.5), "what takes a minute is written down, and goes on"
    assert line.due() == ["other", "endless"]


def test_a_cron_expression_is_waited_for_by_the_wall_clock() -> None:
    line = Line(night="30 3 * * *")
    assert line.due() == []
    assert line.turns.next_s() == 60.0, "somebody may set the clock"
    line.watch.now = 3.5 * 3600 - 0.5
    assert line.due() == []
    assert line.turns.next_s() == 0.5
    line.watch.now = 3.5 * 3600
    line.does("night")
    assert line.due() == []
    line.watch.now += 86_400
    assert line.due() == ["night"]


def test_what_fails_is_tried_again_ever_later_also_before_its_period_is_over() -> None:
    line, waits = Line(a=3600.0), []
    for _ in range(12):
        found = line.turns.failed(line.take("a"), 0.1, Outcome.FAILED, "no")
        waits.append(line.turns.next_s())
        line.watch.now += waits[-1]
    assert found.outcome is Outcome.FAILED
    assert waits[0] <= 0.5
    assert 20 < waits[-1] <= 30
    line.does("a")
    assert line.turns.next_s() > 3000


def test_what_another_daemon_does_is_not_done_here_and_no_run() -> None:
    line = Line(a=10.0)
    line.turns.elsewhere(line.take("a"))
    assert (line.due(), line.turns.next_s()) == ([], 10.0)


def test_what_is_paused_waits_but_for_who_asks_and_goes_on_at_once() -> None:
    line = Line(a=1.0, b=1.0)
    line.wants("a")
    assert line.due() == ["b"]
    line.watch.now = 100.0
    line.wants("a", a=NOW)
    assert line.due() == ["a", "b"]
    assert line.does("a").asked_at == NOW
    line.wants("a", a=NOW)
    assert line.due() == ["b"], "a wish is granted once"
    line.watch.now = 200.0
    line.wants()
    assert sorted(line.due()) == ["a", "b"]
    assert line.does("a").asked_at is None


def test_who_asks_for_what_is_paused_gets_all_slices_of_the_run() -> None:
    line = Line(a=1.0)
    line.wants("a", a=NOW)
    line.turns.more(line.take("a"), 0.5)
    line.wants("a", a=NOW)
    found = line.does("a")
    assert (found.slices, found.asked_at) == (2, NOW)
    line.watch.now = 100.0
    assert line.due() == [], "it is paused still"


def test_who_asks_while_it_runs_gets_a_run_of_his_own() -> None:
    line = Line(a=100.0)
    turn = line.take("a")
    line.wants(a=NOW)
    assert line.turns.done(turn, 1.0).asked_at is None
    assert line.does("a").asked_at == NOW
    assert line.due() == []


@pytest.mark.parametrize("wrong", ["", "* * * *", "61 * * * *", "0 0 31 2 *", 0, -1, float("inf"), float("nan"), 1e9])
def test_a_period_that_cannot_be_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"cron expression|must be from"):
        checked(wrong)


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
