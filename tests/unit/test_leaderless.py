"""When a queue that cannot be consumed is made anew: after failures in a row, whatever else is made anew meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pika.exceptions import ConnectionClosedByBroker

from broker.leaderless import PATIENCE_S, Streak
from broker.reasons import INTERNAL_ERROR, NotDeclaredError

INTERNAL = ConnectionClosedByBroker(INTERNAL_ERROR, "INTERNAL_ERROR")
OTHERS = NotDeclaredError("the topology cannot be declared")
AWAY = ConnectionClosedByBroker(320, "CONNECTION_FORCED")

LOSSES: dict[str, tuple[Sequence[BaseException | str], bool]] = {
    "four in a row": ([INTERNAL] * 4, True),
    "three in a row": ([INTERNAL] * 3, False),
    "another queue is made anew meanwhile": ([INTERNAL, OTHERS, INTERNAL, OTHERS, OTHERS, INTERNAL, INTERNAL], True),
    "that alone says nothing": ([INTERNAL] * 3 + [OTHERS] * 4, False),
    "the broker was away": ([INTERNAL] * 3 + [AWAY, INTERNAL], False),
    "the broker did not answer": ([INTERNAL] * 3 + ["does not answer", INTERNAL], False),
    "away, then long enough": ([INTERNAL, AWAY] + [INTERNAL] * 4, True),
}


@pytest.mark.parametrize("case", LOSSES)
def test_which_losses_say_that_there_is_no_leader(case: str) -> None:
    reasons, is_leaderless = LOSSES[case]
    times = iter(number * PATIENCE_S / 3 for number in range(20))
    streak = Streak(lambda: next(times))
    *before, last = [streak.lost(reason) for reason in reasons]
    assert not any(before)
    assert last is is_leaderless


def test_failures_within_a_moment_may_be_an_election() -> None:
    streak = Streak(lambda: 0.0)
    assert not any(streak.lost(INTERNAL) for _ in range(40))
