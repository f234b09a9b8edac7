"""The rule of appointments: what the daemon says of a job in each state, and when it looks again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.blocks.states import BlockKind
from panda_fsm.codes import Verdict
from panda_fsm.jobs.appointments import (
    Appointed,
    Due,
    Ended,
    Way,
    appoint,
    archive_at,
    first_end,
    overdue_by,
)
from panda_fsm.jobs.deadlines import Deadline, Since
from panda_fsm.jobs.facts import FACTS, FINAL, LIVE, WITH_PILOT, Replay, TableLimits, in_phases, span
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, FileType, Phase, State
from panda_fsm.messages import DeadlinePassed, JobEvent, OutputsAdded, TransferRequested
from tests import factories

S = State
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVER = datetime.fromtimestamp(0, UTC)
LIMITS = TableLimits({}, {})
HOUR, DAY = 3600, 86400
DECLARED = {S.HOLDING, S.TRANSFERRING}
NOT_TAKEN = in_phases(Phase.PREPARING, Phase.READY)
REMINDED = sorted(state for state in State if FACTS[state].remind_s is not None)
SILENT_FOR_GOOD = sorted(LIVE - set(REMINDED))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_job(state: State, **fields: Any) -> Job:
    """A job that entered its state long enough ago to be reminded of, well before its deadline.

    One whose outputs are to be merged has reported.
    """
    remind_s = FACTS[state].remind_s or 60
    times = {"entered_at": ago(remind_s), "created_at": ago(DAY), "deadline_at": later(1000)}
    return factories.job(state, **({"has_report": state is S.MERGING} | times | fields))


def met(job: Job, grace_until: datetime = EVER, ways: tuple[Way, ...] = (), at_once: bool = False) -> Appointed:
    """What is done of a job that the daemon meets."""
    asked = frozenset({job.job_id} if at_once else set())
    return appoint(job, Due({job.job_id: job}, {way.block: way for way in ways}, NOW, grace_until, asked), LIMITS)


def moving(status: FileStatus, block: str) -> list[Any]:
    """Two files of a job on their way in a block, one that is there already, and one of another block."""
    return [
        factories.file(0, FileType.INPUT, "a", status, block=block, size=3),
        factories.file(1, FileType.INPUT, "b", status, block=block),
        factories.file(2, FileType.INPUT, "c", FileStatus.READY, block=block),
        factories.file(3, FileType.INPUT, "d", status, block="another"),
    ]


def test_a_defined_job_is_announced_again() -> None:
    done = met(a_job(S.DEFINED))
    (event,) = done.messages
    assert isinstance(event, JobEvent)
    assert (event.routing_key, event.version, event.site, event.vo) == (
        "job.defined", 5, factories.QUEUE, factories.VO
    )  # fmt: skip
    assert (done.look_at, done.overdue, done.ended) == (later(120), False, False)


def test_a_holding_job_is_announced_to_the_adder_or_its_verdict_to_the_finisher() -> None:
    assert met(a_job(S.HOLDING)).messages == (), "its pilot has not said its last words: nobody can go on"
    (event,) = met(a_job(S.HOLDING, has_report=True)).messages
    assert isinstance(event, JobEvent)
    assert event.routing_key == "job.holding"
    (added,) = met(a_job(S.HOLDING, has_report=True, verdict=Verdict.FAILED)).messages
    assert isinstance(added, OutputsAdded)
    assert (added.verdict, added.version) == ("failed", 5)


@pytest.mark.parametrize(
    ("state", "status", "kind"),
    [
        (S.ASSIGNED, FileStatus.PENDING, BlockKind.DISPATCH),
        (S.TRANSFERRING, FileStatus.TRANSFERRING, BlockKind.SUB),
    ],
)
def test_files_under_way_are_asked_for_again(state: State, status: FileStatus, kind: BlockKind) -> None:
    job = a_job(state, files=moving(status, "one"))
    (asked,) = met(job, ways=(Way("one", kind, "FROM", "TO"),)).messages
    assert isinstance(asked, TransferRequested)
    assert (asked.block, asked.kind, asked.source, asked.destination) == ("one", kind, "FROM", "TO")
    assert [(file.lfn, file.size) for file in asked.files] == [("a", 3), ("b", 0)]


def test_a_block_that_does_not_say_from_where_to_where_is_not_asked_for() -> None:
    """The DDM would answer that it does not know the storage "", and the job would fail for it."""
    job = a_job(S.ASSIGNED, files=moving(FileStatus.PENDING, "one"))
    assert met(job, ways=(Way("one", BlockKind.DISPATCH, "", "TO"),)).messages == ()
    assert met(job, ways=(Way("one", BlockKind.DISPATCH, "FROM", ""),)).messages == ()
    assert met(job).messages == (), "nobody knows its block"


@pytest.mark.parametrize("state", SILENT_FOR_GOOD)
def test_what_only_the_outside_can_move_is_looked_at_when_its_time_is_up(state: State) -> None:
    assert FACTS[state].replay is Replay.NOTHING
    assert met(a_job(state)) == Appointed((), later(1000))


@pytest.mark.parametrize("state", REMINDED)
def test_a_job_that_came_here_a_moment_ago_is_not_reminded_of(state: State) -> None:
    """The appointment is one of an earlier state; the message is just on its way, and twice the work if sent twice."""
    remind_s = FACTS[state].remind_s or 0
    fresh = a_job(state, entered_at=ago(1), has_report=True)
    assert met(fresh) == Appointed((), later(remind_s - 1))
    assert met(a_job(state, entered_at=ago(1), deadline_at=later(5))).look_at == later(5), "its deadline comes first"


@pytest.mark.parametrize("state", [S.DEFINED, S.HOLDING])
def test_a_job_that_waits_for_something_is_reminded_of_when_it_asked_to_be(state: State) -> None:
    fresh = a_job(state, entered_at=ago(1), has_report=True, waits_for="the storage is away")
    assert len(met(fresh).messages) == 1


@pytest.mark.parametrize("state", [S.DEFINED, S.HOLDING])
def test_an_operator_who_wants_it_now_gets_it_now(state: State) -> None:
    fresh = a_job(state, entered_at=ago(1), has_report=True)
    assert len(met(fresh, at_once=True).messages) == 1


@pytest.mark.parametrize(("waited", "pause"), [(120, 120), (240, 240), (400, 400), (10_000, 480)])
def test_reminders_come_ever_later(waited: float, pause: float) -> None:
    """A service with a long queue must not have it fed every two minutes."""
    job = a_job(S.DEFINED, entered_at=ago(waited), deadline_at=later(10_000))
    assert met(job).look_at == later(pause)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_deadline_that_passed_is_announced(state: State) -> None:
    job = a_job(state, deadline_at=NOW)
    done = met(job)
    (passed,) = done.messages
    assert isinstance(passed, DeadlinePassed)
    assert (passed.job_id, passed.state, passed.version) == (1, state, 5)
    assert passed.schema_version == (2 if state in (S.WAITING, S.THROTTLED, S.MERGING) else 1), "for programs of before"
    assert done.overdue
    assert overdue_by(job, NOW, LIMITS) is not None


@pytest.mark.parametrize(("since", "pause"), [(0, 60), (59, 60), (200, 200), (10_000, 900)])
def test_a_deadline_that_nobody_acts_upon_is_announced_ever_later(since: float, pause: float) -> None:
    """A minute apart at first; a quarter of an hour once the Watcher's queue is that long."""
    assert met(a_job(S.SENT, deadline_at=ago(since))).look_at == later(pause)


def test_outputs_that_are_still_looked_at_are_not_the_job_s_fault() -> None:
    job = a_job(S.HOLDING, has_report=True, deadline_at=ago(1), entered_at=ago(200_000))
    done = met(job)
    (event,) = done.messages
    assert isinstance(event, JobEvent)
    assert not done.overdue
    assert done.look_at == later(480)
    assert overdue_by(job, NOW, LIMITS) is None


@pytest.mark.parametrize("state", sorted(LIVE))
def test_only_a_job_that_a_pilot_has_lives_by_being_heard_of(state: State) -> None:
    """Whoever acknowledged a report wrote down when; the report itself may wait in a queue."""
    job = a_job(state, deadline_at=ago(1), heard_at=ago(60))
    alive = met(job)
    limit_s = span(LIMITS, state, job.kind, 0).deadline_s
    assert job.awaits_last_words == (state in WITH_PILOT | DECLARED)
    if job.awaits_last_words:
        assert (alive.messages, alive.overdue) == ((), False)
        assert when(job) == later(limit_s - 60)
    else:
        assert alive.overdue
    gone = met(a_job(state, deadline_at=ago(1), heard_at=ago(limit_s), created_at=ago(10 * DAY)))
    assert gone.overdue, "that was too long ago"
    assert gone.silent == job.awaits_last_words


def when(job: Job) -> datetime:
    """When a job is overdue."""
    end = first_end(job, LIMITS)
    assert end is not None
    return end[0]


@pytest.mark.parametrize("state", sorted(DECLARED))
def test_what_its_pilot_declared_lives_by_heartbeats_until_the_last_words(state: State) -> None:
    for label in ("user", "managed"):
        declared = a_job(state, label=label, deadline_at=ago(1), heard_at=NOW)
        assert when(declared) == later(span(LIMITS, state, declared.kind, 0).deadline_s)
        reported = a_job(state, label=label, deadline_at=ago(1), heard_at=NOW, has_report=True)
        assert when(reported) == ago(1), "no pilot has it any more: nothing that one says counts"


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_silence_that_was_ours_fails_nobody(state: State) -> None:
    job = a_job(state, deadline_at=ago(7000))
    done = met(job, grace_until=later(2100))
    if job.awaits_last_words:
        assert not done.overdue
        assert done.look_at <= later(2100)
        assert met(job, grace_until=NOW).overdue, "a silence that lasts is its own"
    else:
        assert done.overdue, "it does not wait for a pilot"


# state, what the job is, seconds of the deadline that is its first after entry, as which kill it acts.
BY_KIND: list[tuple[State, dict[str, Any], int, int | None]] = [
    (S.PENDING, {}, HOUR, 4),
    (S.DEFINED, {"label": "managed"}, 4 * HOUR, 51), (S.DEFINED, {"label": "test"}, 4 * HOUR, 51),
    (S.DEFINED, {"label": "managed", "task_id": 0}, 4 * HOUR, 2), (S.DEFINED, {"label": "panda"}, 4 * HOUR, 2),
    (S.ASSIGNED, {"label": "managed"}, 12 * HOUR, 51), (S.ASSIGNED, {"label": "test"}, 7 * DAY, 2),
    (S.ACTIVATED, {"label": "managed"}, 2 * DAY, 51), (S.ACTIVATED, {"label": "user"}, 7 * DAY, 2),
    (S.ACTIVATED, {"label": "managed", "no_reassign": True}, 7 * DAY, 2),
    (S.ASSIGNED, {"label": "managed", "no_reassign": True}, 12 * HOUR, 51),
    (S.SENT, {}, HOUR // 2, None), (S.STARTING, {"label": "managed"}, 2 * HOUR, None), (S.RUNNING, {}, 2 * HOUR, None),
    (S.HOLDING, {"label": "user"}, 3 * HOUR, None), (S.HOLDING, {"label": "panda"}, 3 * HOUR, None),
    (S.HOLDING, {"label": "managed", "priority": 801}, 3 * HOUR, None),
    (S.HOLDING, {"label": "managed", "priority": 800}, 48 * HOUR, None),
    (S.TRANSFERRING, {"has_report": True, "priority": 800}, 2 * DAY, None),
    (S.TRANSFERRING, {"has_report": True, "priority": 799}, 6 * DAY, None),
    (S.TRANSFERRING, {"label": "user"}, 2 * HOUR, None),
    (S.TRANSFERRING, {"label": "managed", "priority": 799}, 6 * DAY, None),
]  # fmt: skip


@pytest.mark.parametrize(("state", "fields", "lasts", "kill"), BY_KIND)
def test_deadlines_by_kind(state: State, fields: dict[str, Any], lasts: int, kill: int | None) -> None:
    """What is written at entry is what is overdue then, and not a moment before."""
    kind = a_job(state, **fields).kind
    assert span(LIMITS, state, kind, 0).deadline_s == lasts
    job = a_job(state, entered_at=ago(lasts), created_at=ago(lasts - 1), deadline_at=NOW, **fields)
    passed = overdue_by(job, NOW, LIMITS)
    assert passed is not None
    assert (passed.seconds, passed.kill) == (lasts, kill)
    job.deadline_at = later(1)
    assert overdue_by(job, NOW, LIMITS) is None


FROM_ELSEWHERE: list[tuple[State, dict[str, Any], Since, int]] = [
    (S.STARTING, {"label": "managed", "entered_at": ago(48 * HOUR)}, Since.ENTERED, 51),
    *((state, {"created_at": ago(7 * DAY)}, Since.CREATED, 2) for state in sorted(NOT_TAKEN)),
    *((state, {"created_at": ago(21 * DAY)}, Since.CREATED, 2) for state in sorted(LIVE - NOT_TAKEN)),
]


@pytest.mark.parametrize(("state", "fields", "since", "kill"), FROM_ELSEWHERE)
def test_no_heartbeat_puts_off_what_counts_from_elsewhere(
    state: State, fields: dict[str, Any], since: Since, kill: int
) -> None:
    job = a_job(state, heard_at=NOW, **fields)
    passed = overdue_by(job, NOW, LIMITS)
    assert isinstance(passed, Deadline)
    assert (passed.since, passed.kill) == (since, kill)
    done = met(job, grace_until=later(100))
    assert (done.overdue, done.silent) == (True, False), "nobody is to blame for a silence"
    assert overdue_by(job, ago(1), LIMITS) is None


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_ended_job_is_the_archive_s(state: State) -> None:
    assert met(a_job(state)) == Appointed((), later(1000), ended=True)


def test_an_ended_job_goes_to_the_archive_once_its_time_is_up_and_its_blocks_are_closed() -> None:
    assert archive_at(Ended(1, S.FINISHED, later(5), awaits_closing=False), NOW) == later(5)
    assert archive_at(Ended(1, S.FINISHED, NOW, awaits_closing=False), NOW) is None
    assert archive_at(Ended(1, S.FINISHED, NOW, awaits_closing=True), NOW) == later(60)


@pytest.mark.parametrize("state", sorted(LIVE))
@pytest.mark.parametrize("age", [0.0, 1.0, 100.0, 10_000.0, 1_000_000.0])
def test_the_next_look_is_always_still_to_come(state: State, age: float) -> None:
    """Else a job would be met again and again, and nobody else."""
    for deadline_at in (ago(age), NOW, later(0.5), later(age + 1)):
        for grace_until in (EVER, later(30)):
            job = a_job(state, entered_at=ago(age), deadline_at=deadline_at, has_report=True)
            assert met(job, grace_until).look_at > NOW
