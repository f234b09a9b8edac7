"""The duties of the daemon, as operators see them: what each does, when it ran last and next, and how that went."""

from dataclasses import dataclass
from datetime import UTC, datetime

from panda_fsm.duty_runs import Outcome
from panda_fsm.periods import Every, period_s, spoken
from panda_fsm.views.words import duration, moment

MISSED = 5
"""A duty that has not succeeded for so many periods, and some minutes more, is looked after."""
_MORE_S = 300.0


@dataclass(frozen=True, slots=True)
class DutyRow:
    """A duty with its last run, as the database has it."""

    name: str
    what: str
    every: str
    is_alone: bool
    is_vital: bool
    limit_s: float
    paused_at: datetime | None
    paused_by: str | None
    paused_why: str | None
    asked_at: datetime | None
    host: str | None
    pid: int | None
    began_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    seconds: float | None
    error: str | None
    done_at: datetime | None
    next_at: datetime | None
    running_host: str | None
    running_since: datetime | None
    runs: int
    failures: int
    told_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class DutyNow:
    """The same with what is to be thought of it."""

    name: str
    what: str
    spoken: str
    is_alone: bool
    limit_s: float
    level: str
    word: str
    says: str
    host: str | None
    pid: int | None
    began_at: datetime | None
    ago_s: float | None
    seconds: float | None
    error: str | None
    next_s: float | None
    running_s: float | None
    runs: int
    failures: int
    paused_at: datetime | None
    paused_by: str | None
    paused_why: str | None


@dataclass(frozen=True, slots=True)
class DutiesNow:
    """All of them."""

    rows: tuple[DutyNow, ...]


def every_of(text: str) -> Every:
    """As it is written in the database."""
    try:
        return float(text)
    except ValueError:
        return text


def judged(row: DutyRow) -> DutyNow:
    """With its word, and a sentence: what it does, or what is wrong."""
    every = every_of(row.every)
    level, word, says = _verdict(row, every)
    return DutyNow(
        row.name, row.what, spoken(every), row.is_alone, row.limit_s, level, word, says, row.host, row.pid,
        row.began_at, _since(row, row.ended_at), row.seconds, row.error,
        None if row.next_at is None else max(0.0, (row.next_at - row.now).total_seconds()),
        _since(row, row.running_since), row.runs, row.failures, row.paused_at, row.paused_by, row.paused_why,
    )  # fmt: skip


def _since(row: DutyRow, at: datetime | None) -> float | None:
    return None if at is None else max(0.0, (row.now - at).total_seconds())


def _verdict(row: DutyRow, every: Every) -> tuple[str, str, str]:
    if row.paused_at is not None:
        return "ok", "paused", f"by {row.paused_by} since {moment(row.paused_at)} UTC: {row.paused_why}"
    if row.outcome is not None and row.outcome != Outcome.DONE:
        return "bad", row.outcome, row.error or row.what
    silent_s = _since(row, row.done_at or row.told_at) or 0.0
    if silent_s > MISSED * period_s(every, row.now.astimezone(UTC)) + _MORE_S:
        return "bad", "not done", f"it has not been done with success for {duration(silent_s)}: does a daemon live?"
    return "ok", row.outcome or "not yet", row.what
