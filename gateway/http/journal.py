"""One line for each request that was refused or failed; a flood of them is counted."""

import time
from collections.abc import MutableMapping
from typing import Any

import structlog

log = structlog.get_logger()

_MOST_A_SECOND = 100


class Journal:
    """Who was refused what, why, and how long it took. Neither query, nor header, nor body: they may hold secrets."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0
        self._left = 0

    def refused(self, scope: MutableMapping[str, Any], status: int, reason: str, began: float) -> None:
        """`began` by the monotonic clock."""
        self.note(
            scope.get("client"), status, reason,
            method=scope.get("method", ""), path=str(scope.get("path", ""))[:200],
            duration_ms=round((time.monotonic() - began) * 1000, 1),
        )  # fmt: skip

    def answered(self, scope: MutableMapping[str, Any], status: int, began: float) -> None:
        """Any request, where that is wanted; as many lines as there are requests."""
        peer = scope.get("client")
        log.info(
            "request", method=scope.get("method", ""), path=str(scope.get("path", ""))[:200], status=status,
            peer=f"{peer[0]}:{peer[1]}" if peer else "", duration_ms=round((time.monotonic() - began) * 1000, 1),
        )  # fmt: skip

    def refused_in_part(self, scope: MutableMapping[str, Any], reason: str) -> None:
        """The same of a part of what was asked, where the answer as a whole is none."""
        path = str(scope.get("path", ""))[:200]
        self.note(scope.get("client"), 200, reason, method=scope.get("method", ""), path=path)

    def note(self, peer: tuple[str, int] | None, status: int, reason: str, **fields: Any) -> None:
        """The same of what was no request yet."""
        now = int(time.monotonic())
        if now != self._second:
            if self._left:
                log.warning("more_requests_refused", requests=self._left)
            self._second, self._lines, self._left = now, 0, 0
        self._lines += 1
        if self._lines > _MOST_A_SECOND:
            self._left += 1
            return
        say = log.warning if status >= 500 else log.info
        say(
            "request_refused", status=status, reason=reason[:500], peer=f"{peer[0]}:{peer[1]}" if peer else "", **fields
        )


JOURNAL = Journal()
"""Of this process."""
