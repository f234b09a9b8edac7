"""The dry run over dead letters: what a replay would do, by the table and the states of jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panda_fsm.codes import Verdict
from panda_fsm.jobs.states import State
from panda_fsm.messages import (
    CheckBlock,
    FilesArrived,
    JobEvent,
    KillJob,
    Message,
    OutputsAdded,
    ReleaseJobs,
    SetPriority,
    TransferRequested,
)
from panda_fsm.views.replaying import DryRun, Judgement, Prospect, Standing, judge, read
from tests import factories

P = Prospect
JOB, OTHER = 7, 8
RUNNING, ACTIVATED, FINISHED = Standing(State.RUNNING, 5), Standing(State.ACTIVATED, 3), Standing(State.FINISHED, 9)
ARCHIVED = Standing(None)
HOLDING = Standing(State.HOLDING, 6)
DONE = Standing(State.HOLDING, 6, has_report=True)


def report(state: str, **fields: Any) -> Message:
    return factories.report(JOB, state, **fields)


def holding(version: int) -> JobEvent:
    return JobEvent(job_id=JOB, version=version, state=State.HOLDING, trigger="pilot_ended")


def arrived(kind: Any = "dispatch") -> FilesArrived:
    return FilesArrived(block="a.block", kind=kind)


SUBMISSION = factories.submit(factories.draft(JOB), factories.draft(OTHER))
ENDED = JobEvent(job_id=JOB, version=9, state=State.FAILED, trigger="lost")
MOVE = TransferRequested(block="a.block", kind="sub", source="A", destination="B", files=[])
# Queue, message, the jobs and blocks that there are, and what is to be expected.
CASES: tuple[tuple[str, Message, dict[int, Standing], dict[str, list[int]], Prospect, str], ...] = (
    ("watcher", KillJob(job_id=JOB), {JOB: RUNNING}, {}, P.APPLIES, "job 7 is running"),
    ("watcher", KillJob(job_id=JOB), {JOB: FINISHED}, {}, P.FINAL, "job 7 is finished"),
    ("watcher", KillJob(job_id=JOB), {JOB: ARCHIVED}, {}, P.FINAL, "job 7 is in the archive"),
    ("watcher", KillJob(job_id=JOB), {}, {}, P.UNKNOWN, "no job 7"),
    ("watcher", report("running"), {JOB: ACTIVATED}, {}, P.REFUSED, "pilot_running is not possible in state activated"),
    ("watcher", report("running"), {JOB: Standing(State.SENT, 4)}, {}, P.APPLIES, "job 7 is sent"),
    ("watcher", report("running"), {JOB: RUNNING}, {}, P.LATE, "job 7 is running"),
    ("watcher", report("running", attempt_nr=2), {JOB: Standing(State.SENT, 4, 1)}, {}, P.LATE, "went on to sent"),
    ("watcher", report("finished"), {JOB: HOLDING}, {}, P.APPLIES, "job 7 is holding"),
    ("watcher", report("finished"), {JOB: DONE}, {}, P.LATE, "job 7 went on to holding"),
    ("adder", holding(6), {JOB: DONE}, {}, P.APPLIES, "job 7 is holding"),
    ("adder", holding(5), {JOB: DONE}, {}, P.LATE, "job 7 went on to holding"),
    ("adder", holding(6), {JOB: Standing(State.TRANSFERRING, 7)}, {}, P.LATE, "job 7 went on to transferring"),
    ("setupper", holding(6), {JOB: DONE}, {}, P.REFUSED, "setupper takes no job.holding"),
    ("a.queue.of.before", holding(6), {JOB: DONE}, {}, P.APPLIES, "job 7 is holding"),
    ("finisher", OutputsAdded(job_id=JOB, version=6, verdict=Verdict.FINISHED), {JOB: DONE}, {}, P.APPLIES, "holding"),
    ("finisher", OutputsAdded(job_id=JOB, version=5, verdict=Verdict.FINISHED), {JOB: DONE}, {}, P.LATE, "holding"),
    ("closer", ENDED, {JOB: FINISHED}, {}, P.APPLIES, "job 7 is finished"),
    ("x", JobEvent(job_id=JOB, version=4, state=State.SENT, trigger="acquired"), {}, {}, P.LATE, "no service waits"),
    ("setupper.submissions", SUBMISSION, {JOB: RUNNING}, {}, P.APPLIES, "job 8 is new"),
    ("setupper.submissions", SUBMISSION, {JOB: RUNNING, OTHER: ARCHIVED}, {}, P.LATE, "there already"),
    ("watcher.large", SetPriority(jobs=[JOB, OTHER], priority=1), {JOB: ACTIVATED}, {}, P.APPLIES, "job 7"),
    ("watcher.large", SetPriority(jobs=[JOB, OTHER], priority=1), {JOB: FINISHED}, {}, P.UNKNOWN, "no job 8"),
    ("setupper", ReleaseJobs(jobs=[JOB]), {JOB: RUNNING}, {}, P.LATE, "job 7 is running"),
    ("activator", arrived(), {JOB: Standing(State.ASSIGNED, 2)}, {"a.block": [JOB]}, P.APPLIES, "job 7 is assigned"),
    ("activator", arrived(), {JOB: FINISHED}, {"a.block": [JOB]}, P.FINAL, "job 7 is finished"),
    ("activator", arrived(), {}, {"a.block": []}, P.LATE, "no live job has files in a.block"),
    ("activator", arrived(), {}, {}, P.UNKNOWN, "no block a.block"),
    ("ddm", MOVE, {}, {"a.block": []}, P.APPLIES, "block a.block is there"),
    ("closer", CheckBlock(block="a.block"), {}, {"a.block": [JOB]}, P.APPLIES, "block a.block is there"),
    ("closer", CheckBlock(job_id=JOB), {}, {}, P.UNKNOWN, "no job 7"),
)


@pytest.mark.parametrize(("queue", "message", "jobs", "blocks", "prospect", "why"), CASES)
def test_what_a_replay_would_do(
    queue: str, message: Message, jobs: dict[int, Standing], blocks: dict[str, list[int]], prospect: Prospect, why: str
) -> None:
    found = judge(read(1, queue, message.encode()), jobs, blocks)
    assert (found.prospect, why in found.why) == (prospect, True), found


NEWER = json.dumps(json.loads(KillJob(job_id=JOB).encode()) | {"schema_version": 99}).encode()


@pytest.mark.parametrize(
    ("queue", "body", "prospect", "why"),
    [
        ("watcher", b"\x00", P.UNREADABLE, "not a message"),
        ("watcher", NEWER, P.NEWER, "a newer program"),
        ("jedi.requests", b"\x1f\x8b", P.ASKED, "answers who sent it"),
        ("jedi.status.lab.0", b'{"msg_type": "job_status"}', P.UNREADABLE, "JEDI asks for that"),
    ],
)
def test_what_is_no_message_of_ours(queue: str, body: bytes, prospect: Prospect, why: str) -> None:
    letter = read(1, queue, body)
    found = judge(letter, {}, {})
    assert (letter.job_ids, found.prospect, why in found.why) == ((), prospect, True), found


def test_a_dry_run_is_told_in_a_sentence() -> None:
    found = DryRun([Judgement(n, P.APPLIES, "") for n in range(13)] + [Judgement(13, P.FINAL, "")])
    assert found.sentence == "13 would apply, 1 job is final already"
    assert (found.eligible, [one.letter_id for one in found.exceptions]) == (14, [13])
    found.judged.append(Judgement(14, P.UNREADABLE, ""))
    found.is_whole = False
    assert found.sentence == "of the first 15: 13 would apply, 1 job is final already, 1 cannot be read: it stays"
    assert found.eligible == 14
    assert DryRun().sentence == "no letter is open that is meant"
