"""Outcomes folded into what one transaction writes: each message of a batch sees what those before it did."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from panda_fsm.blocks.states import BlockKind
from panda_fsm.codes import Component, Verdict
from panda_fsm.effects import Effects
from panda_fsm.errors import IllegalTransitionError
from panda_fsm.jobs.appointments import overdue_by
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.jobs.table import JOB, Trigger
from panda_fsm.machine import Ignored, Step
from panda_fsm.messages import FileToMove, TransferRequested
from panda_fsm.messages.envelope import LONGEST_REASON
from panda_fsm.outcomes import Changes, FileChange, JobError, NewBlock
from panda_fsm.steps import step_event
from panda_fsm.transfers import FILES_PER_REQUEST
from tests import factories


@pytest.fixture
def effects() -> Effects:
    """Nothing yet."""
    return Effects()


def test_three_reports_of_one_job_in_one_batch_are_three_steps_and_one_row(effects: Effects) -> None:
    job = factories.job(State.SENT)
    for trigger in (Trigger.PILOT_STARTING, Trigger.PILOT_RUNNING, Trigger.PILOT_ENDED):
        effects.step(job, trigger, "cause", None)
    assert [(row.version, row.step.source, row.step.destination) for row in effects.history] == [
        (6, State.SENT, State.STARTING), (7, State.STARTING, State.RUNNING), (8, State.RUNNING, State.HOLDING),
    ]  # fmt: skip
    (row,) = effects.jobs.values()
    assert (row["expected"], row["version"], row["state"]) == (5, 8, "holding")
    assert {key: count for key, count in effects.counts.items() if count} == {
        ("sent", job.site, job.vo): -1, ("holding", job.site, job.vo): 1,
    }  # fmt: skip
    told = [json.loads(message.body) for message in effects.outgoing]
    assert [(event["state"], event["version"]) for event in told] == [("starting", 6), ("running", 7), ("holding", 8)]


@pytest.mark.parametrize(("event", "source", "destination"), [row[:3] for row in JOB.rows() if row[1] is not None])
def test_programs_of_before_wait_for_what_they_cannot_read(event: str, source: str, destination: str) -> None:
    """They would bury a message that names a state which they do not know, had it their own schema."""
    step = Step(Trigger(event), State(source), State(destination))
    told = step_event(1, 2, step, "cause", site="s", vo="v", task_id=1)
    is_new = not {"waiting", "throttled", "merging"}.isdisjoint((source, destination))
    assert told.schema_version == (2 if is_new else 1)


def test_illegal_step_changes_nothing(effects: Effects) -> None:
    job = factories.job(State.ACTIVATED)
    with pytest.raises(IllegalTransitionError, match="not possible in state activated"):
        effects.step(job, Trigger.PILOT_RUNNING, "cause", None)
    assert (job.state, job.version) == (State.ACTIVATED, 5)
    assert not (effects.history or effects.jobs or effects.outgoing or effects.counts)


def test_late_step_changes_nothing(effects: Effects) -> None:
    job = factories.job(State.FINISHED)
    assert isinstance(effects.step(job, Trigger.PILOT_RUNNING, "cause", None), Ignored)
    assert not (effects.history or effects.jobs or effects.outgoing or effects.counts)


@pytest.mark.parametrize(
    ("trigger", "fails"),
    [(Trigger.OUTPUTS_DONE, False), (Trigger.OUTPUTS_FAILED, True), (Trigger.CANCELLED, True), (Trigger.LOST, True)],
)
def test_every_end_settles_the_outputs_that_nobody_settled(effects: Effects, trigger: Trigger, fails: bool) -> None:
    job = factories.job(State.TRANSFERRING)
    statuses = [FileStatus.UNKNOWN, FileStatus.TRANSFERRING, FileStatus.READY, FileStatus.NO_OUTPUT]
    job.files = [factories.file(seq, FileType.OUTPUT, f"out.{seq}", status) for seq, status in enumerate(statuses)]
    job.files.append(factories.file(9, FileType.INPUT, "in", FileStatus.UNKNOWN))
    effects.step(job, trigger, "cause", None)
    failed = {seq for (_, seq), change in effects.files.items() if change.status is FileStatus.FAILED}
    assert failed == {0, 1}, "or their block never closes"
    assert bool(effects.jobs[1].get("fail_files")) is fails, "what is not in memory is failed by its statement"


def test_waiting_jobs_are_put_in_and_taken_out(effects: Effects) -> None:
    came, went = factories.job(State.ASSIGNED, job_id=1), factories.job(State.ACTIVATED, job_id=2)
    effects.step(came, Trigger.INPUTS_ARRIVED, "cause", None)
    effects.step(went, Trigger.CANCELLED, "cause", None)
    assert (effects.activated, effects.deactivated) == ({1}, {2})


def test_a_job_that_comes_and_goes_within_a_batch_is_neither_put_in_nor_taken_out(effects: Effects) -> None:
    """Its row is there, or is not, as before: it cannot be inserted twice, and must not be missing in the end."""
    held, back = factories.job(State.ACTIVATED, job_id=1), factories.job(State.THROTTLED, job_id=2)
    for trigger in (Trigger.THROTTLED, Trigger.UNTHROTTLED):
        effects.step(held, trigger, "cause", None)
    for trigger in (Trigger.UNTHROTTLED, Trigger.THROTTLED):
        effects.step(back, trigger, "cause", None)
    assert (held.state, back.state) == (State.ACTIVATED, State.THROTTLED)
    assert not (effects.activated or effects.deactivated)


@pytest.mark.parametrize(
    ("source", "trigger", "starts"),
    [
        (State.SENT, Trigger.PILOT_STARTING, False), (State.SENT, Trigger.PILOT_RUNNING, True),
        (State.STARTING, Trigger.PILOT_RUNNING, True), (State.SENT, Trigger.PILOT_ENDED, True),
        (State.STARTING, Trigger.PILOT_ENDED, True), (State.STARTING, Trigger.PILOT_HOLDING, True),
        (State.STARTING, Trigger.PILOT_TRANSFERRING, True), (State.STARTING, Trigger.LOST, False),
        (State.SENT, Trigger.CANCELLED, False), (State.RUNNING, Trigger.PILOT_ENDED, False),
    ],
)  # fmt: skip
def test_a_job_has_started_whether_or_not_its_pilot_said_that_it_runs(
    effects: Effects, source: State, trigger: Trigger, starts: bool
) -> None:
    job = factories.job(source)
    effects.step(job, trigger, "cause", None)
    assert effects.started_at == ({job.site} if starts else set())


def test_changes_are_merged_and_seen_by_the_next_message(effects: Effects) -> None:
    job = factories.job()
    job.files = [factories.file(0, FileType.OUTPUT, "out")]
    block = NewBlock("block", BlockKind.SUB)
    first = FileChange(0, FileStatus.TRANSFERRING, "block", "GUID", 5, "ad:00000001")
    effects.record(job, Changes(files=(first,), blocks=(block,), pilot={"node": "n1", "pilot_id": "p"}))
    effects.record(job, Changes(files=(FileChange(0, FileStatus.READY),), blocks=(block,), pilot={"node": "n2"}))
    errors = (JobError(Component.PILOT, 1, "one"), JobError(Component.EXE, 2, "two"))
    effects.record(job, Changes(errors=errors, command="tobekilled", verdict=Verdict.FAILED, report={"job_id": 1}))
    assert job.files[0].status is FileStatus.READY
    assert effects.files[1, 0] == FileChange(0, FileStatus.READY, "block", "GUID", 5, "ad:00000001")
    assert list(effects.blocks) == ["block"]
    assert (job.command, job.verdict, job.has_report) == ("tobekilled", "failed", True)
    row = effects.jobs[1]
    assert row["pilot"] == {"node": "n2", "pilot_id": "p"}
    assert row["errors"] == {"pilot": {"code": 1, "diag": "one"}, "exe": {"code": 2, "diag": "two"}}
    assert row["version"] == row["expected"] == 5


def test_a_heartbeat_counts_for_a_deadline_in_the_same_batch(effects: Effects) -> None:
    """What the daemon announced before the pilot spoke again comes behind its report."""
    now, limits = datetime.now(UTC), TableLimits({}, {})
    job = factories.job(State.RUNNING, deadline_at=now - timedelta(seconds=1))
    assert overdue_by(job, now, limits)
    effects.record(job, Changes(), renews=True)
    assert overdue_by(job, now, limits) is None


def test_a_job_submitted_twice_in_one_batch_is_born_once(effects: Effects) -> None:
    for cause in ("first", "second"):
        effects.created.append(("me", Trigger.SUBMITTED, factories.draft(1), cause))
    effects.announce_created({1})
    assert [(row.version, row.message_id) for row in effects.history] == [(1, "first")]
    assert len(effects.outgoing) == 1
    assert sum(effects.counts.values()) == 1


def test_jedi_is_told_of_each_step_of_its_jobs_in_order_and_of_others_never(effects: Effects) -> None:
    job, other = factories.job(State.SENT, is_jedis=True), factories.job(State.SENT, job_id=2)
    for trigger in (Trigger.PILOT_STARTING, Trigger.PILOT_RUNNING):
        effects.step(job, trigger, "cause", None)
        effects.step(other, trigger, "cause", None)
    effects.created = [("me", Trigger.SUBMITTED, factories.draft(i, is_jedis=i == 3), "cause") for i in (3, 4)]
    effects.announce_created({3, 4})
    assert [(one.job_id, one.version, one.before, one.state) for one in effects.jedi.values()] == [
        (1, 6, State.SENT, State.STARTING), (1, 7, State.STARTING, State.RUNNING), (3, 1, None, State.DEFINED),
    ]  # fmt: skip


def test_a_change_of_a_jedi_job_is_told_once_and_with_its_step(effects: Effects) -> None:
    job = factories.job(State.ACTIVATED, is_jedis=True, priority=10)
    effects.record(job, Changes(priority=10))
    assert effects.jedi == {}
    effects.record(job, Changes(priority=20))
    effects.changed(job, gshare="Upgrade")
    effects.changed(job)
    assert [(one.version, one.before, one.state, one.gshare) for one in effects.jedi.values()] == [
        (5, State.ACTIVATED, State.ACTIVATED, "Upgrade")
    ]
    effects.step(job, Trigger.REASSIGNED, "cause", None)
    effects.record(job, Changes(priority=30))
    assert [(one.version, one.state) for one in effects.jedi.values()] == [(5, "activated"), (6, "defined")]
    effects.changed(factories.job(State.ACTIVATED, job_id=2), gshare="Upgrade")
    assert len(effects.jedi) == 2


def test_files_of_one_block_are_asked_for_once(effects: Effects) -> None:
    """21 jobs that share 20 inputs are one request, and a request never grows beyond what a broker takes."""
    for number in range(FILES_PER_REQUEST + 1):
        files = [FileToMove(lfn="shared", scope="s"), FileToMove(lfn=f"own.{number}", scope="s")]
        effects.send(TransferRequested(block="b_dis1", kind="dispatch", source="A", destination="B", files=files))
    effects.send(TransferRequested(block="b_dis2", kind="dispatch", source="A", destination="B", files=files))
    effects.gather()
    sent = [json.loads(message.body) for message in effects.outgoing]
    assert [(one["block"], len(one["files"])) for one in sent] == [
        ("b_dis1", FILES_PER_REQUEST), ("b_dis1", 2), ("b_dis2", 2)
    ]  # fmt: skip
    assert len({one["message_id"] for one in sent}) == 3


def test_blocks_that_files_join_are_noted_and_those_they_are_in_are_not(effects: Effects) -> None:
    job = factories.job(State.DEFINED)
    job.files = [factories.file(0, FileType.OUTPUT, "out"), factories.file(1, FileType.LOG, "log", block="old")]
    changes = (FileChange(0, FileStatus.UNKNOWN, "new"), FileChange(1, FileStatus.UNKNOWN, "old"))
    effects.record(job, Changes(files=changes))
    assert effects.joined == {"new": {1}}


def test_who_settles_outputs_says_so_once_a_block(effects: Effects) -> None:
    """The Closer looks at a block once a batch, however many jobs have their outputs in it."""
    for number in (1, 2):
        job = factories.job(State.HOLDING, job_id=number)
        job.files = [
            factories.file(0, FileType.INPUT, "in", block="dis"),
            factories.file(1, FileType.OUTPUT, "out", block="sub"),
            factories.file(2, FileType.OUTPUT, "moves", block="other"),
            factories.file(3, FileType.OUTPUT, "homeless"),
            factories.file(4, FileType.OUTPUT, "is to come", block="open"),
            factories.file(5, FileType.OUTPUT, "arrives", FileStatus.TRANSFERRING, block="moved"),
        ]
        job.files[3].destination_block = "top"
        ready = [FileChange(seq, FileStatus.READY) for seq in (0, 1, 3, 5)]
        moving = FileChange(2, FileStatus.TRANSFERRING, "way home")
        effects.record(job, Changes(files=(*ready, moving, FileChange(4, FileStatus.UNKNOWN, "open"))))
    assert effects.outgoing == [], "not before all is decided"
    effects.gather()
    told = [json.loads(message.body) for message in effects.outgoing]
    assert [(one["msg_type"], one["block"], one["job_id"]) for one in told] == [
        ("check_block", name, 1) for name in ("sub", "top", "way home")
    ]


def test_a_long_reason_is_cut_where_it_is_made(effects: Effects) -> None:
    job = factories.job()
    effects.defer(job, "x" * 10_000, 60)
    effects.record(job, Changes(errors=(JobError(Component.DDM, 1, "y" * 10_000),)))
    effects.step(job, Trigger.LOST, "cause", "z" * 10_000)
    assert len(effects.jobs[1]["waits_for"]) == len(effects.jobs[1]["errors"]["ddm"]["diag"]) == LONGEST_REASON
    assert len(effects.history[0].detail or "") == LONGEST_REASON
