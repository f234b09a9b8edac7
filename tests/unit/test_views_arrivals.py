"""The age of the oldest message: told from samples alone, and never further off than the looks are apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_fsm.views import arrivals
from panda_fsm.views.arrivals import Arrivals, Oldest

looks = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 50), st.integers(0, 60)), min_size=1, max_size=60)
"""Between two looks: seconds, messages that come evenly in them, and at most so many that go."""


def life(steps: list[tuple[int, int, int]]) -> Iterator[tuple[float, int, int, float | None, float]]:
    """A queue as it really is: time, ready, handled, when the oldest came, and when it was looked at before that."""
    waiting: deque[tuple[float, float]] = deque()
    now, handled = 0.0, 0
    for seconds, come, go in steps:
        waiting.extend((now + seconds * n / come, now) for n in range(1, come + 1))
        now += seconds
        for _ in range(min(go, len(waiting))):
            waiting.popleft()
            handled += 1
        oldest, looked = waiting[0] if waiting else (None, 0.0)
        yield now, len(waiting), handled, oldest, looked


@given(looks)
def test_what_comes_evenly_is_dated_exactly(steps: list[tuple[int, int, int]]) -> None:
    queue = Arrivals()
    queue.note(0.0, 0, 0)
    for now, ready, handled, oldest, _ in life(steps):
        found = queue.note(now, ready, handled)
        assert (found is None) == (oldest is None)
        if found is not None:
            assert not found.was_there
            assert found.at == pytest.approx(oldest)


@given(looks)
def test_where_others_read_it_is_no_older_than_said(steps: list[tuple[int, int, int]]) -> None:
    queue = Arrivals()
    queue.note(0.0, 0, None)
    for now, ready, _, oldest, _ in life(steps):
        found = queue.note(now, ready, None)
        if found is not None and oldest is not None:
            assert found.at <= oldest + 1e-6


@given(looks, st.integers(0, 59))
def test_who_begins_to_look_later_knows_it_or_says_that_it_was_there(steps: list[tuple[int, int, int]], n: int) -> None:
    queue = Arrivals()
    first: float | None = None
    for number, (now, ready, handled, oldest, _) in enumerate(life(steps)):
        if number < n:
            continue
        first = now if first is None else first
        found = queue.note(now, ready, handled)
        if found is not None and oldest is not None:
            assert found.at == pytest.approx(oldest) if not found.was_there else found.at == first >= oldest


@given(looks, st.lists(st.integers(0, 5), min_size=60, max_size=60))
def test_late_counts_make_no_message_older_than_the_queue_was_empty(
    steps: list[tuple[int, int, int]], late: list[int]
) -> None:
    """Processes tell every few seconds what they handled; whatever is missing, an empty queue has no past."""
    queue, told, empty = Arrivals(), 0, 0.0
    queue.note(0.0, 0, 0)
    for (now, ready, handled, _, _), missing in zip(life(steps), late, strict=False):
        told = max(told, handled - missing)
        found = queue.note(now, ready, handled if ready == 0 else told)
        told = handled if ready == 0 else told
        empty = now if ready == 0 else empty
        assert found is None or found.at >= empty


def test_a_queue_that_was_purged_begins_anew() -> None:
    queue = Arrivals()
    queue.note(0, 0, 0)
    assert _age(queue.note(10, 100, 0)) == pytest.approx(0.1)
    assert queue.note(20, 0, 0) is None
    assert _age(queue.note(30, 10, 0)) == pytest.approx(21)


def _age(found: Oldest | None) -> float | None:
    """Of one that came while somebody looked."""
    return None if found is None or found.was_there else found.at


def test_days_without_a_consumer_are_remembered_in_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_MOST", 20)
    queue = Arrivals()
    queue.note(0, 0, 0)
    for number in range(1, 1000):
        assert _age(queue.note(10 * number, number, 0)) == pytest.approx(10)
    assert len(queue._points) <= 20
