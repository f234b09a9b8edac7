"""Retention: what grows has an end. One duty a kind of row, each with its own age and its own transactions."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from panda_fsm.errors import SystemicError
from periodic.schedule import Duty, Memory, Portion

log = structlog.get_logger()

_PERIOD_S = 900.0
_SLICE = 500
_MARK = ".sandboxes"
"""Tells an emptied folder from one that is not mounted. No sandbox has such a name, nor is any served by it."""


class Retention(Protocol):
    """The database side of one kind."""

    def forget(self, days: int, limit: int) -> int:
        """Delete at most `limit` rows older than `days`; returns how many."""

    def close(self) -> None: ...


class Sandboxes(Protocol):
    """The database side of what has files too."""

    def forget(self, days: int, limit: int, after: str, remove: Callable[[Sequence[str]], list[str]]) -> list[str]:
        """Look at the next `limit` names beyond `after` that are older than `days`; those whose files `remove` says are
        gone are forgotten. Returns the names looked at, in order."""

    def close(self) -> None: ...


def duty(kind: str, retention: Retention, days: int) -> Duty:
    """Forget one kind of row."""
    portion = Portion(_SLICE)

    def run() -> bool:
        with portion.taken() as size:
            gone = retention.forget(days, size)
        if gone:
            log.info("forgotten", kind=kind, rows=gone)
        return gone >= size

    what = f"Forgets rows of the kind {kind} that are older than {days} days."
    return Duty(f"forget_{kind}", _PERIOD_S, what, run, alone=True, rest=retention.close)


def sandboxes(retention: Sandboxes, days: int, folder: Path) -> Duty:
    """Forget uploaded sandboxes: the file in the `folder` goes before its row; one that cannot go stops no other."""
    portion = Portion(_SLICE)
    after = Memory("")

    def run() -> bool:
        with portion.taken() as size:
            names = retention.forget(days, size, after.now, remove)
        more = len(names) >= size
        after.now = names[-1] if more else ""  # those that cannot go are tried again in the next round
        return more

    def remove(names: Sequence[str]) -> list[str]:
        if names and not _is_there(folder, names):
            raise SystemicError(f"the folder of sandboxes {folder} is not there, or empty: nothing is forgotten")
        gone, trouble = [], {}
        for name in names:
            try:
                if name == Path(name).name and name != _MARK:
                    (folder / name).unlink(missing_ok=True)
                gone.append(name)
            except OSError as error:
                trouble[name] = str(error)
        for name, why in list(trouble.items())[:1]:
            log.warning("not_removed", kind="sandboxes", files=len(trouble), name=name, error=why)
        if gone:
            log.info("forgotten", kind="sandboxes", rows=len(gone))
        return gone

    what = f"Removes uploaded sandboxes that are older than {days} days."
    return Duty("forget_sandboxes", _PERIOD_S, what, run, alone=True, rest=retention.close, memory=after)


def _is_there(folder: Path, names: Sequence[str]) -> bool:
    """A folder that is not mounted is missing, or there and empty. One that we empty ourselves is marked before."""
    if (folder / _MARK).exists():
        return True
    here = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not here.isdisjoint(names):
        with suppress(OSError):  # a disk that is too full for it is emptied all the same
            (folder / _MARK).touch()
    return bool(here)
