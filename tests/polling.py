"""Waiting for a condition with a deadline, the only way a test may wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Return the first true answer of `condition`; fail with `what` and its last answer after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what} (last answer: {answer!r})")
        time.sleep(0.05)
