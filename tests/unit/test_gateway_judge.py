"""Which reports are news, which are repeats, and which pilots are ghosts; who may kill what."""

from __future__ import annotations

from typing import Any

import pytest

from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.kills import Killer, is_forced, may_kill
from panda_fsm.jobs.states import State
from panda_fsm.messages import PilotReport

NEWS, HEARD, REPEAT, GHOST = Judgement.NEWS, Judgement.HEARD, Judgement.ALREADY_DONE, Judgement.GHOST
HOLDER = "issuer|pilot"


def row(state: State, **fields: Any) -> JobRow:
    """A job as it is read before a report is judged."""
    values: dict[str, Any] = {
        "job_id": 1, "attempt_nr": 1, "owner": "issuer|user", "holder": HOLDER, "label": "user", "command": None,
        "batch_id": None, "has_report": False,
    }  # fmt: skip
    return JobRow(state=state, **(values | fields))


def report(state: Any, **fields: Any) -> PilotReport:
    """What a pilot says."""
    return PilotReport(job_id=1, state=state, **({"attempt_nr": 1} | fields))


TABLE: list[tuple[State, bool, str, Judgement]] = [
    (State.ACTIVATED, False, "running", GHOST),
    (State.SENT, False, "starting", NEWS),
    (State.SENT, False, "finished", NEWS),
    (State.STARTING, False, "running", NEWS),
    (State.RUNNING, False, "starting", NEWS),
    (State.RUNNING, False, "running", NEWS),
    (State.RUNNING, False, "failed", NEWS),
    (State.HOLDING, False, "finished", NEWS),
    (State.HOLDING, True, "finished", REPEAT),
    (State.HOLDING, True, "running", REPEAT),
    (State.HOLDING, False, "holding", HEARD),
    (State.HOLDING, False, "running", HEARD),
    (State.TRANSFERRING, True, "finished", REPEAT),
    (State.TRANSFERRING, True, "running", REPEAT),
    (State.FINISHED, True, "finished", REPEAT),
    (State.FAILED, True, "failed", REPEAT),
    (State.FINISHED, True, "running", GHOST),
    (State.CLOSED, False, "finished", GHOST),
    (State.CANCELLED, False, "running", GHOST),
    (State.FAILED, False, "finished", GHOST),
]


@pytest.mark.parametrize(("state", "has_report", "said", "judgement"), TABLE)
def test_report_by_state(state: State, has_report: bool, said: str, judgement: Judgement) -> None:
    assert judge(report(said), row(state, has_report=has_report), True) is judgement


def test_ghosts() -> None:
    running = row(State.RUNNING, batch_id="host.12.a")
    assert judge(report("running"), None, True) is GHOST
    assert judge(report("running", attempt_nr=2), running, True) is GHOST
    assert judge(report("running"), running, False) is GHOST
    foreign = report("running", attributes={"batch_id": "host.13.a"})
    assert judge(foreign, running, True) is Judgement.FOREIGN_BATCH
    assert judge(foreign, row(State.FAILED, batch_id="host.12.a"), True) is GHOST, "nothing is noted of what is over"


def test_without_an_attempt_none_is_compared() -> None:
    assert judge(report("running", attempt_nr=None), row(State.RUNNING), True) is NEWS


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("12", "13"),
        ("1234.0", "1235.0"),
        ("a", "13"),
        ("12", "b"),
        (None, "b"),
        ("a", "a"),
        ("a", ""),
        ("1.2.3", "1.2.4"),
        (".5", "a"),
    ],
)
def test_batch_ids_that_prove_nothing(known: str | None, said: str) -> None:
    running = row(State.RUNNING, batch_id=known)
    assert judge(report("running", attributes={"batch_id": said}), running, True) is NEWS


OWNER, STRANGER, MANAGER = Killer(True, False), Killer(False, False), Killer(False, True)


@pytest.mark.parametrize(
    ("who", "label", "code", "may", "forced"),
    [
        (OWNER, "user", 0, True, False),
        (OWNER, "user", 99, True, False),
        (OWNER, "managed", 9, True, False),
        (STRANGER, "user", 0, False, False),
        (STRANGER, "managed", 9, False, False),
        (MANAGER, "user", 0, False, False),
        (MANAGER, "user", 91, True, False),
        (MANAGER, "user", 99, True, True),
        (MANAGER, "user", 9, True, False),
        (MANAGER, "managed", 0, True, False),
        (MANAGER, "managed", 9, True, True),
        (MANAGER, "test", 52, True, True),
    ],
)
def test_who_may_kill_what(who: Killer, label: str, code: int, may: bool, forced: bool) -> None:
    assert may_kill(who, label, code) is may
    assert is_forced(who, label, code) is forced
