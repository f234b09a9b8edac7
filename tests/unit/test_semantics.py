"""The tables of docs/semantics.md say what the code says."""

from __future__ import annotations

import re
from itertools import product

import pytest

from panda_fsm.codes import Component, DdmCode, DispatcherCode, SupCode, TaskBufferCode, error_of_kill
from panda_fsm.jobs import kills
from panda_fsm.jobs.deadlines import Since
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.kills import deadline_trigger
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB
from panda_fsm.messages import PilotReport
from tests.pages import ROOT, section, tables

PAGE = (ROOT / "docs/semantics.md").read_text()
SECONDS = {"min": 60, "h": 3600, "d": 86400}
CODES = {
    Component.TASK_BUFFER: TaskBufferCode, Component.JOB_DISPATCHER: DispatcherCode, Component.DDM: DdmCode,
    Component.SUP: SupCode,
}  # fmt: skip
PRODUCTION = kills.Killer(is_owner=False, is_production=True)
SOME_OTHER_CODE = 77


def rows(number: str, table: int = 0) -> list[list[str]]:
    return tables(section(PAGE, number))[table]


def names(cell: str) -> list[State]:
    return [State(name.strip()) for name in cell.split(",")]


def seconds(cell: str) -> int | None:
    if not cell:
        return None
    number, unit = cell.split()
    return int(number) * SECONDS[unit]


def test_states_and_phases() -> None:
    assert {name: phase for name, phase, _ in rows("1.1")} == {s.value: f.phase.value for s, f in FACTS.items()}


def test_kill_codes() -> None:
    for cell, _, becomes, error, sub_status, manager, forced, repeated in rows("1.3"):
        code = int(cell) if cell.isdigit() else SOME_OTHER_CODE
        assert kills.trigger(code).value == becomes, cell
        assert int(error_of_kill(code)) == int(error), cell
        assert (kills.sub_status(code) or "") == sub_status, cell
        again = kills.effect(State.RUNNING, kills.TO_BE_KILLED, code, forced=False)
        assert (again is kills.Kill.ASK_PILOT) == (repeated == "yes"), cell
        assert kills.may_kill(PRODUCTION, "user", code) == (manager == "yes"), cell
        assert kills.may_kill(PRODUCTION, "managed", code)
        labels = {label for label in ("managed", "test", "user") if kills.is_forced(PRODUCTION, label, code)}
        assert labels == {"": set(), "any": {"managed", "test", "user"}}.get(forced, set(forced.split(", "))), cell


def test_error_codes() -> None:
    told = {(component, int(code)) for component, code, _ in rows("2.1")}
    assert told == {(component.value, int(code)) for component, codes in CODES.items() for code in codes}


CASES = [
    (state, came, said, cell)
    for states, before, *cells in rows("3.4")
    for state, came in product(names(states), {"no": [False], "yes": [True], "either": [False, True]}[before])
    for reports, cell in zip(
        (("starting", "running"), ("holding", "transferring"), ("finished", "failed")), cells, strict=True
    )
    for said in reports
]


@pytest.mark.parametrize(("state", "came", "said", "answer"), CASES)
def test_reports_by_state(state: State, came: bool, said: str, answer: str) -> None:
    job = JobRow(1, state, 1, "owner", "pilot", "user", None, None, came)
    report = PilotReport.model_validate({"job_id": 1, "attempt_nr": 1, "state": said})
    assert judge(report, job, True) is Judgement[answer.upper().replace(" ", "_")]


def test_every_report_has_an_answer() -> None:
    assert len(CASES) == len({(state, came, said) for state, came, said, _ in CASES})
    assert {(state, came) for state, came, _, _ in CASES} >= {(s, c) for s in State for c in (True, False)}


SINCE = {"heard": Since.HEARD, "entry": Since.ENTERED, "creation": Since.CREATED}


def test_timeouts() -> None:
    told = [
        (name, jobs, seconds(deadline), SINCE[since], kill, becomes, error)
        for name, jobs, deadline, since, kill, becomes, error in rows("4.3")
    ]
    assert told == [
        (state, one.jobs, one.seconds, one.since, "" if one.kill is None else str(one.kill),
         JOB.leads(deadline_trigger(one), state), f"{one.component} {int(one.code)}")
        for state, facts in FACTS.items()
        for one in facts.deadlines
    ]  # fmt: skip


def test_reminders() -> None:
    told = {name: seconds(reminder) for name, reminder in rows("4.3", 1)}
    assert told == {state: facts.remind_s for state, facts in FACTS.items() if facts.remind_s is not None}


def test_a_deadline_that_acts_as_a_kill_ends_as_the_kill_does() -> None:
    """What JEDI makes of a job must not depend on who killed it."""
    for state, facts in FACTS.items():
        for one in facts.deadlines:
            if one.kill is not None:
                assert (one.component, one.code) == (Component.TASK_BUFFER, error_of_kill(one.kill))
                assert JOB.leads(deadline_trigger(one), state) == JOB.leads(kills.trigger(one.kill), state)


def test_ten_rules() -> None:
    assert len(re.findall(r"^\d+\. \*\*", section(PAGE, "5"), re.MULTILINE)) == 10
