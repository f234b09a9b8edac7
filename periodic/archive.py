"""The archive: jobs that ended a while ago leave the live tables, so that a job's cost does not grow with history."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from panda_fsm.jobs.appointments import Archived, Ended, archive_at
from periodic.schedule import Duty, Memory, Portion

log = structlog.get_logger()

_PERIOD_S = 5.0
_SLICE = 500


class Archive(Protocol):
    """The database side."""

    def keep(self, limit: int, when: Callable[[Ended, datetime], datetime | None]) -> Archived:
        """Archive those of at most `limit` ended jobs of which `when` says so."""

    def close(self) -> None: ...


def duty(archive: Archive) -> Duty:
    """Every few seconds, and at once again while a whole slice was due. Any number of daemons may do it at once."""
    portion = Memory(Portion(_SLICE))

    def run() -> bool:
        with portion.now.taken() as size:
            done = archive.keep(size, archive_at)
        if done.gone:
            log.info("archived", jobs=done.gone)
        if done.held:
            log.warning("held_by_others", jobs=done.held)
        for job_id, reason in done.trouble.items():
            log.error("cannot_be_archived", job_id=job_id, reason=reason)
        return done.due >= size

    what = "Moves jobs that ended a while ago from the live tables into the archive."
    return Duty("archive", _PERIOD_S, what, run, alone=False, rest=archive.close, memory=portion)
