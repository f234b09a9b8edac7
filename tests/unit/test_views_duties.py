"""What is to be thought of a duty of the daemon, by its last run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.views.duties import DutyRow, judged

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
WELL = DutyRow(
    "flow", "Counts.", "4.0", True, False, 60.0, None, None, None, None, "m", 7, NOW, NOW, "done", 0.1, None, NOW,
    NOW + timedelta(seconds=3), None, None, 800, 1, NOW, NOW,
)  # fmt: skip


def ago(**passed: float) -> datetime:
    return NOW - timedelta(**passed)


@pytest.mark.parametrize(
    ("changes", "level", "word", "says"),
    [
        ({}, "ok", "done", "Counts."),
        ({"outcome": None, "done_at": None}, "ok", "not yet", "Counts."),
        ({"outcome": "failed", "error": "no such table"}, "bad", "failed", "no such table"),
        ({"outcome": "ended over its limit", "error": None}, "bad", "ended over its limit", "Counts."),
        ({"done_at": ago(minutes=5)}, "ok", "done", "Counts."),
        ({"done_at": ago(minutes=6)}, "bad", "not done", "not been done with success for 6 min"),
        ({"done_at": None, "told_at": ago(days=1)}, "bad", "not done", "does a daemon live?"),
        ({"done_at": ago(days=1), "every": "30 3 * * *"}, "ok", "done", "Counts."),
        ({"done_at": ago(days=6), "every": "30 3 * * *"}, "bad", "not done", "for 6 d"),
        (
            {"paused_at": ago(days=1), "paused_by": "ana", "paused_why": "harm", "outcome": "failed"},
            "ok", "paused", "by ana since 2026-01-01 12:00:00 UTC: harm",
        ),
    ],
)  # fmt: skip
def test_a_duty_is_well_or_says_why_not(changes: dict[str, Any], level: str, word: str, says: str) -> None:
    found = judged(replace(WELL, **changes))
    assert (found.level, found.word) == (level, word)
    assert says in found.says


def test_its_times_are_counted_from_now() -> None:
    row = replace(WELL, ended_at=ago(seconds=9), running_since=ago(seconds=4), every="5 * * * *")
    found = judged(row)
    assert (found.ago_s, found.running_s, found.next_s, found.spoken) == (9, 4, 3, "at 5 * * * *")
