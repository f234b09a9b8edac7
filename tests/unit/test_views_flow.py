"""Percentiles of counted steps, and what is called worse or growing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as some

from panda_fsm.views.causes import BadEnd, counted, masked
from panda_fsm.views.flow import FIRST, FlowNow, HopNow, bucket_of, hops, percentile

SECONDS = some.lists(some.floats(min_value=0.0015, max_value=10**7), min_size=1, max_size=60)
NOW = datetime(2026, 11, 26, 14, 2, tzinfo=UTC)


@given(SECONDS, some.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_right_to_the_width_of_a_bucket(lasted: list[float], part: float) -> None:
    found = percentile(Counter(map(bucket_of, lasted)), part)
    assert found is not None
    width = sqrt(2) * (1 + 1e-9)
    assert sum(one <= found * width for one in lasted) >= part * len(lasted) - 1e-6
    assert sum(one >= found / width for one in lasted) >= (1 - part) * len(lasted) - 1e-6


@given(SECONDS, some.floats(0, 1), some.floats(0, 1))
def test_percentiles_grow_with_their_part(lasted: list[float], one: float, other: float) -> None:
    counts = Counter(map(bucket_of, lasted))
    low, high = (percentile(counts, part) for part in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high * (1 + 1e-9)


@given(some.floats(min_value=0, max_value=10**12), some.floats(min_value=0, max_value=10**12))
def test_buckets_are_in_the_order_of_times(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= bucket_of(low) <= bucket_of(high) <= 80


@pytest.mark.parametrize(
    ("counts", "found"),
    [({}, None), ({FIRST: 5}, None), ({20: 0}, None), ({0: 10}, 0.0005), ({20: 10}, 1.024 / sqrt(sqrt(2)))],
)
def test_the_median_of_nothing_and_of_one_bucket(counts: dict[int, int], found: float | None) -> None:
    assert percentile(counts, 0.5) == (found and pytest.approx(found))


@pytest.mark.parametrize(
    ("jobs", "bucket", "was", "worse"),
    [(50, 40, 36, True), (50, 40, 39, False), (19, 40, 20, False), (50, 13, 6, False), (50, 40, FIRST, False),
     (50, FIRST, 20, False)],
)  # fmt: skip
def test_worse_is_said_where_enough_jobs_say_it_and_somebody_notices(
    jobs: int, bucket: int, was: int, worse: bool
) -> None:
    (one,) = hops([("sent", "running", False, bucket, jobs), ("sent", "running", True, was, 30)], 10, ())
    assert one.is_worse is worse
    assert (one.factor is not None) == (jobs >= 20 and FIRST not in (bucket, was))


def test_a_state_grows_when_more_come_in_than_leave_by_more_than_chance() -> None:
    into = HopNow("holding", "transferring", 2, 600, factor=1.0)
    out = HopNow("transferring", "finished", 1, 300, p95=50, factor=5.5, is_worse=True)
    assert FlowNow(NOW, 3, 300, (into, out)).is_growing("transferring")
    assert FlowNow(NOW, 3, 300, (into, out)).slow_hop("transferring") is out
    assert not FlowNow(NOW, 3, 5, (into, out)).is_growing("transferring"), "five jobs are chance"
    assert not FlowNow(NOW, 3, 300, (into, out)).is_growing("holding")


def test_steps_of_one_pair_of_states_are_one_hop_in_the_order_of_life() -> None:
    rows = [
        ("running", "holding", False, 20, 3), (None, "defined", False, FIRST, 9), ("running", "holding", False, 20, 2),
        ("running", "holding", True, 10, 4), ("running", "failed", False, 20, 1),
    ]  # fmt: skip
    found = hops(rows, 10, ("defined", "running", "holding", "failed"))
    assert [(one.source, one.destination, one.jobs, one.per_s) for one in found] == [
        (None, "defined", 9, 0.9), ("running", "holding", 5, 0.5), ("running", "failed", 1, 0.1),
    ]  # fmt: skip
    assert [one.before_jobs for one in found] == [0, 4, 0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Failed 12 of 13 at /CN=Ana Lab/x", "Failed # of # at /CN=<user> Lab/x"),
        ("ana could not read user.bob.12", "<user> could not read user.<user>.#"),
        ("a" * 400, "a" * 299 + "…"),
    ],
)
def test_numbers_and_users_are_masked(text: str, shown: str) -> None:
    assert masked(text, "ana") == shown


def test_errors_of_an_odd_shape_are_an_error_without_a_name() -> None:
    ends = [BadEnd(n, NOW, "v", "s", None, errors) for n, errors in enumerate([{"pilot": 3}, None, {}])]
    (row,) = counted(ends)
    assert (row["component"], row["code"], row["jobs"], row["sample_job"]) == ("", 0, 3, 2)
