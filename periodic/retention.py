"""Retention: what grows has an end. One duty a kind of row, each with its own age and its own transactions."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from periodic.schedule import Duty, Portion

log = structlog.get_logger()

_PERIOD_S = 900.0
_SLICE = 500


class Retention(Protocol):
    """The database side of one kind."""

    def forget(self, days: int, limit: int, also: Callable[[str], object] | None = None) -> int:
        """Delete at most `limit` rows older than `days`, calling `also` with the name of each; returns how many."""

    def close(self) -> None: ...


def duty(kind: str, retention: Retention, days: int, folder: Path | None = None) -> Duty:
    """Forget one kind of row; with a `folder`, the file that each row names goes before it."""
    portion = Portion(_SLICE)

    def run() -> bool:
        with portion.taken() as size:
            gone = retention.forget(days, size, None if folder is None else remove)
        if gone:
            log.info("forgotten", kind=kind, rows=gone)
        return gone >= size

    def remove(name: str) -> None:
        if folder is not None and name == Path(name).name:
            (folder / name).unlink(missing_ok=True)

    return Duty(f"forget {kind}", _PERIOD_S, run, retention.close)
