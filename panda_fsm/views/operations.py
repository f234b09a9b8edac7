"""Operations: one act on all jobs that a filter finds; beforehand to which it would be done, and how far it is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panda_fsm.jobs.acts import ACTS, Order, out_of_reach
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State
from panda_fsm.views.cursors import Cursors, Key
from panda_fsm.views.job_list import ErrorCode, JobsWanted
from panda_fsm.views.words import number

BULK = ("kill", "reassign", "priority", "release")
"""What is done to many jobs at once."""
CONFIRMED_ABOVE = 100
CURSORS = Cursors("operations", datetime, str)
_SAMPLE = 5
_WORDS, _TIMES = ("state", "site", "vo", "user"), ("since", "until")


def as_filter(wanted: JobsWanted) -> dict[str, str]:
    """The filter as it stands in an address, times in full."""
    found = {name: str(getattr(wanted, name)) for name in (*_WORDS, "task") if getattr(wanted, name) is not None}
    if wanted.code is not None:
        found["code"] = (
            f"{wanted.code.component}:{wanted.code.code}" if wanted.code.component else str(wanted.code.code)
        )
    times = {name: getattr(wanted, name) for name in _TIMES}
    return found | {name: value.isoformat() for name, value in times.items() if value is not None}


def wanted_of(kept: Mapping[str, str]) -> JobsWanted:
    """The filter that was written so."""
    values: dict[str, Any] = {name: kept[name] for name in _WORDS if name in kept}
    if "task" in kept:
        values["task"] = int(kept["task"])
    if "code" in kept:
        values["code"] = ErrorCode.read(kept["code"])
    return JobsWanted(**values | {name: datetime.fromisoformat(kept[name]) for name in _TIMES if name in kept})


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that are alike in all that decides what may be done with them."""

    state: str
    vo: str
    label: str
    command: str | None
    has_report: bool
    is_jedis: bool
    task_is_held: bool
    jobs: int
    sample: Sequence[int]

    @property
    def as_row(self) -> JobRow:
        """One of them."""
        return JobRow(
            self.sample[0], State(self.state), 0, "", None, self.label, self.command, None, self.has_report, self.vo,
            is_jedis=self.is_jedis, task_is_held=self.task_is_held,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Jobs with which it would not be done, and why."""

    why: str
    jobs: int
    sample: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BulkRun:
    """What an act would come to now. `is_cut`: so many jobs were looked at that there are others."""

    eligible: int
    sample: tuple[int, ...]
    rows: tuple[LeftOut, ...]
    is_cut: bool

    @property
    def is_confirmed_by_typing(self) -> bool:
        """Whether it is so much that the number is to be typed."""
        return self.eligible > CONFIRMED_ABOVE or self.is_cut


def why_not(job: JobRow, order: Order, vos: frozenset[str]) -> str | None:
    """Why the order is not done with the job."""
    return out_of_reach(job, vos) or ACTS[order.act].why_not(job, order)


def dry_run(groups: Iterable[Group], order: Order, vos: frozenset[str], is_cut: bool) -> BulkRun:
    """With how many it would be done, with how many not, and why."""
    eligible, samples = 0, list[int]()
    refused: Counter[str] = Counter()
    examples: defaultdict[str, list[int]] = defaultdict(list)
    for group in groups:
        why = why_not(group.as_row, order, vos)
        if why is None:
            eligible += group.jobs
            samples += group.sample
        else:
            refused[why] += group.jobs
            examples[why] += group.sample
    rows = (LeftOut(why, jobs, tuple(examples[why][:_SAMPLE])) for why, jobs in refused.most_common())
    return BulkRun(eligible, tuple(samples[:_SAMPLE]), tuple(rows), is_cut)


@dataclass(frozen=True, slots=True)
class Operation:
    """One that was asked for. `filter` as in an address; `vos`: where its actor operates the system, "" everywhere."""

    operation_id: str
    actor: str
    actor_name: str
    act: str
    filter: Mapping[str, str]
    wishes: Mapping[str, Any]
    reason: str
    vos: Sequence[str]
    total: int
    is_at_least: bool
    status: str = "running"
    done: int = 0
    skipped: int = 0
    why_not: Mapping[str, int] = field(default_factory=dict)
    cursor: int = 0
    last_job_id: int = 0
    created_at: datetime | None = None
    worked_at: datetime | None = None
    finished_at: datetime | None = None
    cancelled_by: str | None = None
    trouble: str | None = None

    @property
    def order(self) -> Order:
        """What is asked of each job; its reason leads back to here."""
        reason = f"{self.reason} (operation {self.operation_id})"
        return Order(self.act, self.actor_name, self.actor, reason, **self.wishes)

    @property
    def wanted(self) -> JobsWanted:
        """Which jobs."""
        return wanted_of(self.filter)

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; None: nobody has counted of how many, for they were too many."""
        if self.status == "done":
            return 1.0
        if self.is_at_least:
            return None
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def progress(self) -> str:
        """The same in numbers."""
        if self.is_at_least:
            many = number(self.done)
            return many if self.status == "done" else f"{many}, of more than {number(self.total)}"
        return f"{number(self.done)} of {number(self.total)}"

    @property
    def tone(self) -> str:
        """How its status is shown."""
        return {"done": "ok", "failed": "bad", "cancelled": "warn"}.get(self.status, "")


def begun(operation_id: str, order: Order, wanted: JobsWanted, vos: frozenset[str], run: BulkRun) -> Operation:
    """What is asked for by somebody who operates the system in these VOs, once it was seen what it would come to."""
    wishes = {name: getattr(order, name) for name in ACTS[order.act].wishes}
    return Operation(
        operation_id, order.actor_key, order.actor, order.act, as_filter(wanted), wishes, order.reason, sorted(vos),
        run.eligible, run.is_cut,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperationsWanted:
    """Which operations."""

    status: str | None = None
    actor: str | None = None
    after: Key | None = None
    limit: int = 50
