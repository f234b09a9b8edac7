"""Temporary files: what was left by programs that died, and cached files that nobody knows, go when they are old."""

import os
import stat
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from panda_fsm.errors import SystemicError
from periodic.schedule import Duty

log = structlog.get_logger()

_PERIOD_S = 1800.0
_SELDOM_S = 6 * 3600.0
"""Each sandbox is looked at, and they are many; what is sought is weeks old."""
_SLICE = 500


class Place(NamedTuple):
    """Files directly in a folder, of names that match a pattern as in a shell, not written for so long. A folder that
    is `made_later` is not missed."""

    folder: Path
    pattern: str
    age_s: float
    made_later: bool = False

    def names(self) -> list[str]:
        """What has such a name. A folder that is not there is not mounted, which is not the same as empty: OSError."""
        try:
            there = os.listdir(self.folder)  # noqa: PTH208  # names are enough, and there may be many
        except FileNotFoundError:
            if self.made_later:
                return []
            raise
        is_hidden = self.pattern.startswith(".")
        return [name for name in there if fnmatchcase(name, self.pattern) and name.startswith(".") == is_hidden]

    def is_old(self, name: str) -> bool:
        """Whether it is a regular file of ours, and old enough. No link is followed."""
        found = (self.folder / name).lstat()
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        return is_ours and found.st_mtime < time.time() - self.age_s


class Records(Protocol):
    """The database side of the sandbox cache."""

    def any(self) -> bool:
        """Whether there is a sandbox."""

    def strangers(self, names: Sequence[str]) -> AbstractContextManager[Collection[str]]:
        """Those of the files that no sandbox has. Nobody uploads one of them until the context ends."""

    def close(self) -> None: ...


class Round:
    """Through places, a slice at a time. A folder that cannot be read stops no other, and is said at the end.

    What is left of it is no memory of the duty, for there may be many names: a worker that has none begins anew.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._left: list[tuple[Place, list[str]]] = []
        self._trouble: list[str] = []

    def next(self) -> tuple[Place, list[str]] | None:
        """Some names of one place; None: there is nothing."""
        if not self._left:
            self._begin()
        if not self._left:
            return None
        place, names = self._left.pop()
        if len(names) > _SLICE:
            self._left.append((place, names[_SLICE:]))
        return place, names[:_SLICE]

    def goes_on(self) -> bool:
        """Whether there is more. At the end raises SystemicError if somebody must mend something."""
        if self._left:
            return True
        trouble, self._trouble = self._trouble, []
        if trouble:
            raise SystemicError(f"temporary files stay: {'; '.join(trouble)}")
        return False

    def _begin(self) -> None:
        for place in self._places:
            try:
                names = place.names()
            except OSError as error:
                self._trouble.append(f"{place.folder}: {error.strerror or error}")
                continue
            if names:
                self._left.append((place, names))


def duty(places: Sequence[Place]) -> Duty:
    """Every half hour, on each machine: its folders are its own."""
    through = Round(places)

    def run() -> bool:
        found = through.next()
        if found is not None:
            remove(*found)
        return through.goes_on()

    what = "Removes old files that programs of this machine left when they died."
    return Duty("temporary_files", _PERIOD_S, what, run, alone=False)


def unrecorded(records: Records, folder: Path, age_s: float) -> Duty:
    """Files in the `folder` of sandboxes without a record: what uploaded them died before that was written."""
    place = Place(folder, "*", age_s, made_later=True)
    through = Round([place])

    def run() -> bool:
        found = through.next()
        old = [name for name in found[1] if _is_old(place, name)] if found is not None else []
        if old:
            with records.strangers(old) as strangers:
                remove(place, sorted(strangers))
        more = through.goes_on()
        if found is None and not _is_there(folder) and records.any():
            raise SystemicError(f"the folder of sandboxes {folder} is not there, or empty: is it mounted?")
        return more

    what = "Removes old files from the folder of sandboxes of which there is no record."
    return Duty("unrecorded_sandboxes", _SELDOM_S, what, run, alone=True, rest=records.close)


def remove(place: Place, names: Sequence[str]) -> None:
    """Remove those that are old; one that cannot go stops no other."""
    gone, trouble = 0, {}
    for name in names:
        try:
            if place.is_old(name):
                (place.folder / name).unlink()
                gone += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            trouble[name] = str(error)
    for name, why in list(trouble.items())[:1]:
        log.warning("not_removed", folder=str(place.folder), files=len(trouble), name=name, error=why)
    if gone:
        log.info("removed", folder=str(place.folder), pattern=place.pattern, files=gone)


def _is_old(place: Place, name: str) -> bool:
    """The same; what is gone meanwhile is not."""
    try:
        return place.is_old(name)
    except FileNotFoundError:
        return False


def _is_there(folder: Path) -> bool:
    """One that is not mounted is missing, or there and empty; one that was emptied has a mark."""
    return folder.is_dir() and any(folder.iterdir())
