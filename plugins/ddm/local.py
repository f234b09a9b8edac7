"""The local DDM: copies the files of a block between local storages, checks them, and says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from panda_fsm.messages import FilesArrived, FilesFailed, FileToMove, TransferRequested
from panda_fsm.handler import Item, Service
from panda_fsm.outcomes import Emit, Outcome, Reject, Wait
from panda_fsm.sites import Sites
from plugins.ddm.storage import copy, matches, replica_path

log = structlog.get_logger()

TRIES = 3


@dataclass(slots=True)
class _Moved:
    """What became of one request: files that arrived, and files that did not with the reason."""

    arrived: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class LocalDdm(Service):
    """Copying again what is there already and right is a comparison only, so requests may be repeated."""

    name = "ddm"
    asks_outside = True
    needs_jobs = False

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    def prepare(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item.message, TransferRequested):
                item.plan = self._move(item.message)

    def decide(self, item: Item) -> Outcome:
        request, moved = item.message, item.plan
        if not isinstance(request, TransferRequested):
            return Reject(f"the DDM does not handle {request.msg_type}")
        if moved.failed and item.delivery.retries < TRIES:
            return Wait("; ".join(sorted(set(moved.failed.values())))[:500], TRIES + 1)
        answers: list[FilesArrived | FilesFailed] = []
        if moved.arrived:
            answers.append(FilesArrived(block=request.block, kind=request.kind, lfns=moved.arrived))
        if moved.failed:
            reason = "; ".join(sorted(set(moved.failed.values())))[:4000]
            answers.append(
                FilesFailed(block=request.block, kind=request.kind, lfns=sorted(moved.failed), reason=reason)
            )
        return Emit(tuple(answers))

    def _move(self, request: TransferRequested) -> _Moved:
        moved = _Moved()
        source, destination = self._root(request.source), self._root(request.destination)
        for file in request.files:
            problem = (
                "unknown storage" if source is None or destination is None else _move_file(file, source, destination)
            )
            if problem is None:
                moved.arrived.append(file.lfn)
            else:
                log.warning("not_moved", block=request.block, lfn=file.lfn, problem=problem)
                moved.failed[file.lfn] = problem
        return moved

    def _root(self, storage: str) -> Path | None:
        known = self._sites.storages.get(storage)
        return known.path if known else None


def _move_file(file: FileToMove, source: Path, destination: Path) -> str | None:
    """Copy one file and check the copy; None, or what went wrong."""
    here, there = (replica_path(root, file.scope, file.lfn) for root in (source, destination))
    try:
        if there.is_file() and matches(there, file.size, file.checksum):
            return None
        if not here.is_file():
            return f"{file.lfn} is not at the source"
        copy(here, there)
        if not matches(there, file.size, file.checksum):
            there.unlink()
            return f"{file.lfn} is not what the catalogue says (size or checksum)"
    except OSError as error:
        return f"{file.lfn}: {error.strerror or error}"
    return None
