"""What fails, since when, and whose fault it is: the errors of jobs that ended badly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum

from panda_fsm.codes import Component, DdmCode, DispatcherCode, SupCode, TaskBufferCode
from panda_fsm.views.redaction import redacted

BY = ("code", "site")
_NAMES: Mapping[str, type[IntEnum]] = {
    Component.TASK_BUFFER: TaskBufferCode, Component.KILL: TaskBufferCode, Component.JOB_DISPATCHER: DispatcherCode,
    Component.SUP: SupCode, Component.DDM: DdmCode,
}  # fmt: skip
"""The codes that we give ourselves; those of pilots and payloads are theirs."""
_KILL, _SERVER, _PILOT, _DDM = "who ended it", "server", "pilot", "DDM"
_WHOSE: Mapping[str, str] = {
    Component.PILOT: _PILOT, Component.EXE: "payload", Component.TRANS: "payload", Component.SUP: "worker",
    Component.DDM: _DDM, Component.BROKERAGE: "brokerage", Component.JOB_DISPATCHER: _PILOT,
    Component.TASK_BUFFER: _SERVER, Component.KILL: _KILL,
}  # fmt: skip
_OTHERS: Mapping[tuple[str, int], str] = {
    (Component.JOB_DISPATCHER, DispatcherCode.TRANSFERRING_TIMEOUT): _DDM,
    (Component.JOB_DISPATCHER, DispatcherCode.HOLDING_TIMEOUT): _SERVER,
    (Component.TASK_BUFFER, TaskBufferCode.TRANSFER): _DDM,
    **{
        (Component.TASK_BUFFER, code): _KILL
        for code in TaskBufferCode
        if code not in (TaskBufferCode.TRANSFER, TaskBufferCode.MERGE_FAILED, TaskBufferCode.EXPIRED)
    },
}


def whose(component: str, code: int) -> str:
    """At whose door it lies, in a word; nobody's where no error was noted."""
    return _OTHERS.get((component, code)) or _WHOSE.get(component, "nobody said")


def code_name(component: str, code: int) -> str:
    """What a code of ours is called; nothing of others."""
    codes = _NAMES.get(component)
    return codes(code).name.lower().replace("_", " ") if codes is not None and code in set(codes) else ""


@dataclass(frozen=True, slots=True)
class ErrorsWanted:
    """Since when, where, and whether each queue is told apart."""

    since: datetime
    by: str = "code"
    site: str | None = None
    vo: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error, of one queue or of all.

    `lately`: jobs in the hour that is not over and the one before it; `share`: of all jobs that ended, None where none
    is known. `sites`: where it is met most. `sample`: what was said last, nobody is named in it.
    """

    component: str
    code: int
    site: str | None
    jobs: int
    lately: int
    first_at: datetime
    last_at: datetime
    sites: Sequence[str]
    sample: str
    sample_job_id: int
    name: str = ""
    whose: str = ""
    share: float | None = None

    @property
    def label(self) -> str:
        """As the filter of jobs has it."""
        return f"{self.component}:{self.code}" if self.component else ""


@dataclass(frozen=True, slots=True)
class ErrorsView:
    """The page: how many jobs `ended` since then (None: nobody counts those of a VO), and the most frequent errors."""

    since: datetime
    by: str
    ended: int | None
    rows: tuple[ErrorRow, ...]
    is_cut: bool
    """There are more."""

    @property
    def by_whom(self) -> tuple[tuple[str, int], ...]:
        """Errors by whose they are, the most frequent first."""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.whose] = counts.get(row.whose, 0) + row.jobs
        return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def judged(rows: Iterable[ErrorRow], ended: Mapping[str | None, int]) -> tuple[ErrorRow, ...]:
    """The rows with names and shares; `ended`: jobs by queue, None: all of them."""
    return tuple(
        replace(
            row,
            sample=redacted(row.sample),
            name=code_name(row.component, row.code),
            whose=whose(row.component, row.code),
            share=min(1.0, row.jobs / ended[row.site]) if ended.get(row.site) else None,
        )
        for row in rows
    )
