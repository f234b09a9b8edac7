"""Messages on the wire: what is sent is what is read, and what no rule allows is refused with a reason."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_fsm import bindings, messages
from panda_fsm.errors import NewerSchemaError, PoisonError
from panda_fsm.jobs import drafts
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, Message, decode
from panda_fsm.messages.envelope import JobMessage
from panda_fsm.messages.pilots import LARGE_REPORT
from tests import factories

ids = st.integers(1, 2**63 - 1)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=60)
lfns = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,60}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
files = st.builds(
    drafts.FileDraft, type=st.sampled_from(["input", "pseudo_input", "output", "log"]), lfn=lfns, dataset=names
)
jobs = st.builds(
    drafts.JobDraft, job_id=ids, site=st.just("LAB_B"), name=names, priority=st.integers(-(2**31), 2**31 - 1),
    spec=st.dictionaries(names, json_values, max_size=3), files=st.lists(files, max_size=3),
)  # fmt: skip
kinds = st.sampled_from(["dispatch", "sub"])
moved = st.builds(messages.FileToMove, lfn=lfns, scope=st.just("user.lab"), size=st.integers(0, 2**62))


def sent(message: type[Message], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Messages of a kind; their ids too come from hypothesis, which wants no randomness but its own."""
    return st.builds(message, message_id=st.uuids().map(str), **fields)


MESSAGES: dict[type[Message], st.SearchStrategy[Any]] = {
    messages.SubmitJobs: sent(messages.SubmitJobs, owner=names, jobs=st.lists(jobs, min_size=1, max_size=3)),
    messages.ReleaseJobs: sent(messages.ReleaseJobs, jobs=st.lists(ids, min_size=1, max_size=3)),
    messages.ReassignJob: sent(messages.ReassignJob, job_id=ids, actor=names),
    messages.ThrottleJobs: sent(
        messages.ThrottleJobs, jobs=st.lists(ids, min_size=1, max_size=3), throttle=st.booleans(), actor=names
    ),
    messages.SetPriority: sent(
        messages.SetPriority, jobs=st.lists(ids, min_size=1, max_size=3), priority=st.integers(-(2**31), 2**31 - 1)
    ),
    messages.SetShare: sent(messages.SetShare, jobs=st.lists(ids, min_size=1, max_size=3), gshare=names),
    messages.PilotReport: sent(
        messages.PilotReport,
        job_id=ids,
        state=st.sampled_from(["starting", "running", "finished"]),
        heartbeat=st.booleans(),
        output_report=st.none() | names,
        attributes=st.dictionaries(names, names, max_size=3),
    ),
    messages.KillJob: sent(messages.KillJob, job_id=ids, code=st.integers(0, 999), reason=names),
    messages.TellPilot: sent(
        messages.TellPilot, job_id=ids, command=st.none() | names, debug=st.none() | st.booleans(), actor=names
    ),
    messages.SetPause: sent(
        messages.SetPause,
        kind=st.sampled_from(["queue", "site"]),
        name=st.just("adder"),
        is_paused=st.booleans(),
        actor=names,
        reason=names,
        until=st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    messages.HoldTask: sent(messages.HoldTask, task_id=ids, is_held=st.booleans(), actor=names, reason=names),
    messages.DeadlinePassed: sent(
        messages.DeadlinePassed, job_id=ids, state=st.sampled_from(State), version=st.integers(1, 2**31)
    ),
    messages.FilesArrived: sent(
        messages.FilesArrived, block=names, kind=kinds, lfns=st.none() | st.lists(lfns, max_size=3)
    ),
    messages.FilesFailed: sent(messages.FilesFailed, block=names, kind=kinds, reason=names),
    messages.JobEvent: sent(
        messages.JobEvent,
        job_id=ids,
        version=st.integers(1, 2**31),
        state=st.sampled_from(State),
        trigger=st.just("lost"),
        at=st.floats(0, 2e9),
    ),
    messages.OutputsAdded: sent(
        messages.OutputsAdded,
        job_id=ids,
        version=st.integers(1, 2**31),
        verdict=st.sampled_from(["finished", "failed"]),
    ),
    messages.TransferRequested: sent(
        messages.TransferRequested, block=names, kind=kinds, source=names, destination=names, files=st.lists(moved)
    ),
    messages.CheckBlock: sent(messages.CheckBlock, job_id=ids),
    messages.SettleBlock: sent(messages.SettleBlock, block=names, status=st.sampled_from(["closed", "deleted"])),
    messages.BlockClosed: sent(messages.BlockClosed, block=names),
}


def test_every_message_type_is_tried_here() -> None:
    families = JobMessage, messages.JobsOfTask, messages.Foreign
    known = {*Message.__subclasses__(), *JobMessage.__subclasses__(), *messages.JobsOfTask.__subclasses__()}
    assert set(MESSAGES) == known.difference(families)


@given(st.one_of(*MESSAGES.values()))
def test_what_is_sent_is_what_is_read(message: AnyMessage) -> None:
    again = decode(message.encode())
    assert type(again) is type(message)
    assert again == message
    assert again.routing_key == message.routing_key
    assert message.exchange == bindings.exchange_of(message.routing_key)


def test_every_key_that_a_service_waits_for_is_sent_by_somebody() -> None:
    bound = set().union(*bindings.bindings().values())
    states = {f"job.{state.value}" for state in State}
    reports = {f"report.{state}" for state in ("starting", "running", "holding", "transferring", "finished", "failed")}
    others = {
        "submit", "release", "reassign", "throttle", "unthrottle", "priority", "share", "kill", "tell", "deadline",
        "heartbeat", "large.report", "job.outputs_added", "block.check", "block.settle", "block.requested",
        "ddm.arrived.dispatch", "ddm.failed.dispatch", "ddm.arrived.sub", "ddm.failed.sub",
        "pause", "hold",
    }  # fmt: skip
    assert bound <= states | reports | others


def test_a_large_report_goes_where_few_are_held_at_a_time() -> None:
    """Hundreds of reports of 10 MB would fill the memory of a service; a heartbeat is never large."""
    text = "x" * (LARGE_REPORT + 1)
    assert factories.report(1, "finished", output_report=text).routing_key == "large.report"
    assert factories.report(1, "running", attributes={"metadata": text}).routing_key == "large.report"
    assert factories.report(1, "finished").routing_key == "report.finished"


def test_fields_of_a_newer_program_are_ignored() -> None:
    """During a rolling upgrade old and new processes work side by side."""
    submit = json.loads(factories.submit(factories.draft(1)).encode())
    submit["colour"] = submit["jobs"][0]["colour"] = submit["jobs"][0]["files"][0]["colour"] = "red"
    assert isinstance(decode(json.dumps(submit).encode()), messages.SubmitJobs)
    assert isinstance(decode(body_of(KILL, colour="red")), messages.KillJob)


def test_what_a_message_does_not_say_is_not_sent() -> None:
    """The release before refuses fields that it does not know: those added since go only where they say something."""
    assert not json.loads(factories.report(1, "running").encode()).keys() & {"returns", "foreign_batch", "told"}
    assert "actor_key" not in json.loads(messages.KillJob(job_id=1, actor="somebody").encode())


def test_a_newer_schema_is_no_poison() -> None:
    with pytest.raises(NewerSchemaError, match="newer"):
        decode(body_of(KILL, schema_version=3, job_id={"new": "form"}))


@given(st.binary(max_size=200))
def test_garbage_is_poison_and_nothing_else(body: bytes) -> None:
    with pytest.raises(PoisonError, match="not a message of schema 2"):
        decode(body)


def body_of(message: Message, **fields: Any) -> bytes:
    """The body with some fields made wrong."""
    return json.dumps(json.loads(message.encode()) | fields).encode()


KILL = messages.KillJob(job_id=1)
JOB: dict[str, Any] = json.loads(factories.submit(factories.draft(1)).encode())["jobs"][0]
BAD: dict[str, tuple[Message, dict[str, Any], str]] = {
    "schema 0": (KILL, {"schema_version": 0}, "schema_version"),
    "schema of words": (KILL, {"schema_version": "new"}, "schema_version"),
    "no type": (KILL, {"msg_type": None}, "body"),
    "unknown type": (KILL, {"msg_type": "make_coffee"}, "body"),
    "job 0": (KILL, {"job_id": 0}, "job_id"),
    "negative job": (KILL, {"job_id": -1}, "job_id"),
    "job beyond bigint": (KILL, {"job_id": 2**63}, "job_id"),
    "job of words": (KILL, {"job_id": "one"}, "job_id"),
    "message id": (KILL, {"message_id": "1; DROP TABLE job"}, "message_id"),
    "NUL in the actor": (KILL, {"actor": "a\x00b"}, "actor"),
    "line break in the reason": (KILL, {"reason": "a\nb"}, "reason"),
    "endless reason": (KILL, {"reason": "x" * 5000}, "reason"),
    "code beyond": (KILL, {"code": 1000}, "code"),
    "state": (factories.report(1, "running"), {"state": "flying"}, "state"),
    "attempt": (factories.report(1, "running"), {"attempt_nr": 32768}, "attempt_nr"),
    "attributes": (factories.report(1, "running"), {"attributes": {"a": []}}, "attributes"),
    "no job": (factories.submit(factories.draft(1)), {"jobs": []}, "jobs"),
    "10,001 jobs": (factories.submit(factories.draft(1)), {"jobs": [JOB] * 10_001}, "jobs"),
    "path in a file name": (
        factories.submit(factories.draft(1)), {"jobs": [JOB | {"files": [{"type": "input", "lfn": "../etc"}]}]}, "lfn"
    ),
    "slash in a file name": (
        factories.submit(factories.draft(1)), {"jobs": [JOB | {"files": [{"type": "input", "lfn": "a/b"}]}]}, "lfn"
    ),
    "control in a file name": (
        factories.submit(factories.draft(1)), {"jobs": [JOB | {"files": [{"type": "log", "lfn": "a\x07"}]}]}, "lfn"
    ),
    "path in a scope": (
        factories.submit(factories.draft(1)),
        {"jobs": [JOB | {"files": [{"type": "log", "lfn": "a", "scope": "a/../b"}]}]}, "scope",
    ),
    "path in a moved file": (messages.FilesArrived(block="b", kind="sub"), {"lfns": ["a/b"]}, "lfns"),
    "control in a site": (factories.submit(factories.draft(1)), {"jobs": [JOB | {"site": "A\x00"}]}, "site"),
    "priority beyond": (factories.submit(factories.draft(1)), {"jobs": [JOB | {"priority": 2**31}]}, "priority"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_values_beyond_their_limits_are_refused_by_name(name: str) -> None:
    message, fields, where = BAD[name]
    with pytest.raises(PoisonError, match=where):
        decode(body_of(message, **fields))


@pytest.mark.parametrize("fields", [{"output_report": "a\x00"}, {"attributes": {"node": "a\x00"}}], ids=str)
def test_text_that_no_database_takes_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PoisonError, match=next(iter(fields))):
        decode(body_of(factories.report(1, "finished"), **fields))


def test_message_ids_are_unique_and_ordered_by_time() -> None:
    made = [messages.new_message_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made), "of two it is known which is the newer one"


def test_a_block_with_a_long_name_can_be_moved_and_closed() -> None:
    """A sub block is called after its destination block and has a number more."""
    longest = drafts.FileDraft(type="log", lfn="a", destination_block="x" * 256).destination_block
    closed = messages.BlockClosed(block=f"{longest}_sub{2**63 - 1}")
    assert decode(closed.encode()) == closed
