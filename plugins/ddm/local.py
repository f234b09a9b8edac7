"""The local DDM: copies the files of a block between local storages, checks them, and says so."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from panda_fsm.handler import Item, Service
from panda_fsm.messages import FilesArrived, FilesFailed, FileToMove, TransferRequested, cut, new_message_id
from panda_fsm.outcomes import Emit, Outcome, Reject, Wait
from panda_fsm.sites import SitesNow
from panda_fsm.trouble import Condition
from plugins.ddm.storage import NO_SUCH_NAME, Roots, copy, is_reachable, matches, replica_path

log = structlog.get_logger()

COPIES_AT_ONCE = 4
BATCH_S = 120.0
"""Copies begin within so long of a batch's start; what is left is asked for again, and what arrived is said."""
_MARGIN_S = 3600.0
"""The end of waiting is an answer, which is given before the engine would bury the request."""


class Problem(Enum):
    """What kept a file from arriving; its value: for how many seconds it is tried again."""

    STORAGE = 86400.0
    """A storage is away, full or broken: that says nothing of the file."""
    FILE = 60.0
    """The file is not there, or not what the catalogue says; it may be on its way."""
    NEVER = 0.0
    """No time will mend it."""
    TURN = float("inf")
    """There was no time for it in this batch."""


@dataclass(slots=True)
class Moved:
    """What became of the files of one request: those that arrived, and what kept the others from it."""

    arrived: list[str] = field(default_factory=list)
    problems: dict[str, tuple[Problem, str]] = field(default_factory=dict)

    def left(self, waited_s: float) -> dict[str, tuple[Problem, str]]:
        """Files that are worth another try."""
        return {lfn: problem for lfn, problem in self.problems.items() if waited_s < problem[0].value}


class _Errand(NamedTuple):
    """One file's way; equal ones of a batch are done once."""

    source: str
    destination: str
    scope: str
    lfn: str
    size: int
    checksum: str


class LocalDdm(Service[Moved]):
    """Copying again what is there already and right is a comparison only, so requests may be repeated."""

    name = "ddm"
    asks_outside = True
    needs_jobs = False
    batch_limit = 20

    def __init__(
        self, sites: SitesNow, condition: Condition | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`condition` is told of storages that cannot be reached."""
        self._roots = Roots(sites)
        self._condition = condition or Condition()
        self._clock = clock
        self._away: set[str] = set()
        self._pool = ThreadPoolExecutor(COPIES_AT_ONCE, "copy")

    def prepare(self, items: Sequence[Item[Moved]]) -> None:
        requests = [item.message for item in items if isinstance(item.message, TransferRequested)]
        errands = dict.fromkeys(_errand(request, file) for request in requests for file in request.files)
        self._look_at({name for errand in errands for name in (errand.source, errand.destination)})
        move = partial(self._move, until=self._clock() + BATCH_S)
        problems = dict(zip(errands, self._pool.map(move, errands), strict=True))
        for item in items:
            if isinstance(item.message, TransferRequested):
                item.prepared = _sorted_out(item.message, problems)

    def decide(self, item: Item[Moved]) -> Outcome:
        request, moved = item.message, item.prepared
        if not isinstance(request, TransferRequested) or moved is None:
            return Reject(f"the DDM does not handle {request.msg_type}")
        left = moved.left(item.delivery.waited_s)
        failed = {lfn: why for lfn, (_, why) in moved.problems.items() if lfn not in left}
        answers = tuple(_answers(request, moved.arrived, failed))
        if not left:
            return Emit(answers)
        if any(problem is Problem.TURN for problem, _ in left.values()):
            files = [file for file in request.files if file.lfn in left]
            return Emit((*answers, request.model_copy(update={"files": files, "message_id": new_message_id()})))
        give_up_s = max(problem.value for problem, _ in left.values())
        return Wait(_reason(why for _, why in left.values()), give_up_s + _MARGIN_S, answers)

    def _look_at(self, names: set[str]) -> None:
        """Say which storages are away, and which are back."""
        roots = self._roots.now()
        away = {name for name in (names | self._away) & roots.keys() if not is_reachable(roots[name])}
        for name in sorted(away - self._away):
            log.warning("storage_unreachable", storage=name, path=str(roots[name]))
        for name in sorted(self._away - away):
            log.info("storage_back", storage=name)
        self._away = away
        self._condition.note("storages", f"cannot be reached: {', '.join(sorted(away))}" if away else None)

    def _move(self, errand: _Errand, until: float) -> tuple[Problem, str] | None:
        """Copy one file and check the copy; None, or what went wrong."""
        if self._clock() > until:
            return Problem.TURN, "it was not its turn"
        roots = self._roots.now()
        source, destination = roots.get(errand.source), roots.get(errand.destination)
        if source is None or destination is None:
            return Problem.NEVER, "unknown storage"
        try:
            return _copied(errand, source, destination)
        except OSError as error:
            kind = Problem.NEVER if error.errno in NO_SUCH_NAME else Problem.STORAGE
            return kind, f"{errand.lfn}: {error.strerror or error}"


def _copied(errand: _Errand, source: Path, destination: Path) -> tuple[Problem, str] | None:
    here, there = (replica_path(root, errand.scope, errand.lfn) for root in (source, destination))
    if not is_reachable(destination):  # copying would make the root of a storage that is not mounted
        return Problem.STORAGE, f"storage {errand.destination} cannot be reached"
    if there.is_file() and matches(there, errand.size, errand.checksum):
        return None
    if not here.is_file():
        if is_reachable(source):
            return Problem.FILE, f"{errand.lfn} is not at the source"
        return Problem.STORAGE, f"storage {errand.source} cannot be reached"
    copy(here, there)
    if not matches(there, errand.size, errand.checksum):
        there.unlink()
        return Problem.FILE, f"{errand.lfn} is not what the catalogue says (size or checksum)"
    return None


def _errand(request: TransferRequested, file: FileToMove) -> _Errand:
    return _Errand(request.source, request.destination, file.scope, file.lfn, file.size, file.checksum)


def _sorted_out(request: TransferRequested, problems: dict[_Errand, tuple[Problem, str] | None]) -> Moved:
    moved = Moved()
    for file in request.files:
        problem = problems[_errand(request, file)]
        if problem is None:
            moved.arrived.append(file.lfn)
        else:
            moved.problems[file.lfn] = problem
    if moved.problems:
        why = _reason(why for _, why in moved.problems.values())
        files = {"files": len(moved.problems), "of": len(request.files)}
        log.warning("not_moved", block=request.block, **files, why=why, message_id=request.message_id)
    return moved


def _answers(
    request: TransferRequested, arrived: list[str], failed: dict[str, str]
) -> Iterable[FilesArrived | FilesFailed]:
    if arrived:
        yield FilesArrived(block=request.block, kind=request.kind, lfns=arrived)
    if failed:
        yield FilesFailed(block=request.block, kind=request.kind, lfns=sorted(failed), reason=_reason(failed.values()))


def _reason(whys: Iterable[str]) -> str:
    return cut("; ".join(sorted(set(whys))))
