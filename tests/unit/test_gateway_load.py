"""How much of a gateway its load takes: A and R over a minute, and how many times as much it could take."""

from __future__ import annotations

import pytest

from gateway.work.load import Load
from panda_fsm import figures


def test_mean_rate_and_headroom_are_those_of_the_last_minute() -> None:
    now, spent = 0.0, 0.0
    load = Load(lambda: now, lambda: spent)
    load.tick()
    for second in range(1, 121):
        now, spent = float(second), spent + (0.8 if second <= 60 else 0.25)
        figures.REQUESTS.add(("test_gateway_load", "200"), 50)
        load.tick()
    assert [one.values()[()] for one in (figures.RATE, figures.MEAN, figures.BUSY, figures.HEADROOM)] == [
        pytest.approx(50), pytest.approx(0.005), pytest.approx(0.25), pytest.approx(4)
    ]  # fmt: skip


def test_a_late_turn_is_a_lag() -> None:
    before = figures.LOOP_LAG.rows().get((), ([], 0.0))[1]
    turns = iter((1.0, 1.1, 3.2))
    load = Load(lambda: next(turns), lambda: 0.0)
    for _ in range(3):
        load.tick()
    assert figures.LOOP_LAG.rows()[()][1] - before == pytest.approx(2.0)
