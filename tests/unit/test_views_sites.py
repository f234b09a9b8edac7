"""What is wrong with a queue, in words; the worst comes first."""

from __future__ import annotations

from typing import Any

import pytest

from panda_fsm.views.sites import AskRow, NodeRow, SiteCounts, site_row, worst_first

GOOD: dict[str, Any] = {
    "asks": 600,
    "jobs": 500,
    "empty": 100,
    "silent_s": 1.0,
    "finished": 400,
    "states": {"running": 50},
}
WAITS: dict[str, Any] = {"states": {"activated": 7}}
HOLE = (NodeRow("wn-118", 9, 31), NodeRow("wn-1", 50, 10))
PILOT, PAYLOAD = ("pilot", 1305), ("exe", 65)


@pytest.mark.parametrize(
    ("counts", "tone", "state"),
    [
        (GOOD, "ok", "good"),
        ({}, "", "idle"),
        ({"states": {"finished": 3}, "silent_s": 90_000.0}, "", "idle"),
        ({"status": "offline", **WAITS}, "", "offline"),
        (GOOD | {"is_paused": True, "failed": 300}, "warn", "paused"),
        (GOOD | {"failed": 100}, "bad", "failing"),
        (GOOD | {"failed": 100, "errors": {PILOT: 60, PAYLOAD: 40}}, "bad", "failing: pilot"),
        (GOOD | {"failed": 100, "errors": {PILOT: 30, PAYLOAD: 30, ("ddm", 200): 40}}, "bad", "failing"),
        (GOOD | {"failed": 30, "errors": {PAYLOAD: 30}}, "warn", "many fail: payload"),
        (GOOD | {"finished": 9, "failed": 9}, "ok", "good"),
        (GOOD | {"failed": 20}, "ok", "good"),
        (GOOD | {"failed": 41, "nodes": HOLE}, "warn", "black hole wn-118"),
        (GOOD | {"failed": 100, "finished": 100, "nodes": HOLE[:1]}, "bad", "failing"),
        (GOOD | {"failed": 85, "nodes": HOLE}, "bad", "black hole wn-118"),
        (GOOD | {"failed": 9, "nodes": (NodeRow("wn-2", 0, 9),)}, "ok", "good"),
        (WAITS | {"silent_s": 10_800.0}, "warn", "no pilots 3 h"),
        (WAITS, "warn", "no pilots"),
        (WAITS | {"silent_s": 60.0, "asks": 30, "empty": 30}, "warn", "no job fits its pilots"),
        (WAITS | {"silent_s": 60.0, "asks": 30, "empty": 29, "jobs": 1}, "ok", "good"),
    ],
)
def test_what_is_wrong_in_words(counts: dict[str, Any], tone: str, state: str) -> None:
    row = site_row(SiteCounts("Q", **counts))
    assert (row.tone, row.state) == (tone, state)


def test_rates_and_shares_are_of_the_last_hour() -> None:
    row = site_row(SiteCounts("Q", **GOOD, failed=100, given=50, waited_s=500.0, errors={PILOT: 3, ("", 0): 1}))
    assert (row.asks_per_min, row.no_job_share, row.failed_share, row.waited_s) == (10, 100 / 600, 0.2, 10)
    assert (row.running, row.top_error) == (50, "pilot:1305")
    nothing = site_row(SiteCounts("Q"))
    assert (nothing.no_job_share, nothing.failed_share, nothing.waited_s, nothing.top_error) == (None, None, None, "")


def test_the_worst_comes_first() -> None:
    kinds: dict[str, dict[str, Any]] = {
        "fine": GOOD,
        "empty": {},
        "dead": GOOD | {"failed": 400},
        "bad": GOOD | {"failed": 200},
        "lost": WAITS,
    }
    rows = worst_first(site_row(SiteCounts(name, **counts)) for name, counts in kinds.items())
    assert [row.name for row in rows] == ["dead", "bad", "lost", "fine", "empty"]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({}, "anything"),
        ({"labels": ["user", "panda"], "memory": 2000, "disk": None}, "labels user or panda, memory 2,000"),
        ({"task_id": None, "background": False}, "anything"),
        ({"background": True, "resource_type": "SCORE"}, "background True, resource type SCORE"),
    ],
)  # fmt: skip
def test_what_pilots_can_take_in_words(filters: dict[str, Any], told: str) -> None:
    assert AskRow(filters, 1, 1, 1).told == told
