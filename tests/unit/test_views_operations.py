"""How far an operation is: of as many as were counted, or of nobody knows how many."""

from __future__ import annotations

import pytest

from panda_fsm.views.operations import Operation


@pytest.mark.parametrize(
    ("total", "is_at_least", "status", "done", "share", "said"),
    [
        (200, False, "running", 50, 0.25, "50 of 200"), (200, False, "done", 190, 1.0, "190 of 200"),
        (0, False, "running", 0, 0.0, "0 of 0"), (50_000, True, "running", 81_000, None, "81,000, of more than 50,000"),
        (50_000, True, "cancelled", 81_000, None, "81,000, of more than 50,000"),
        (50_000, True, "done", 100_000, 1.0, "100,000"),
    ],
)  # fmt: skip
def test_progress_promises_no_more_than_is_known(
    total: int, is_at_least: bool, status: str, done: int, share: float | None, said: str
) -> None:
    one = Operation("id", "a", "a", "kill", {}, {}, "r", [""], total, is_at_least, status, done)
    assert (one.share, one.progress) == (share, said)
