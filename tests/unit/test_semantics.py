"""The tables of docs/semantics.md say what the code says."""

from __future__ import annotations

import re
from itertools import product

import pytest

from panda_fsm.codes import Component, DdmCode, DispatcherCode, SupCode, TaskBufferCode
from panda_fsm.jobs import kills
from panda_fsm.jobs.appointments import lives_by_reports
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import DEADLINE_TRIGGER, JOB
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
    for cell, _, becomes, error, manager, forced in rows("1.3"):
        code = int(cell) if cell.isdigit() else SOME_OTHER_CODE
        assert kills.trigger(code).value == becomes, cell
        assert int(kills.error_code(code)) == int(error), cell
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


def test_timeouts() -> None:
    told = {cells[0]: cells[1:] for cells in rows("4.3")}
    assert told.keys() == {state.value for state, facts in FACTS.items() if facts.deadline}
    for name, (deadline, heartbeats, reminder, becomes, error) in told.items():
        state = State(name)
        facts = FACTS[state]
        assert facts.deadline is not None
        assert seconds(deadline) == facts.deadline.seconds, name
        assert seconds(reminder) == facts.remind_s, name
        assert (heartbeats == "yes") == lives_by_reports(state), name
        assert JOB.leads(DEADLINE_TRIGGER[state], state) == becomes, name
        assert error == f"{facts.deadline.component} {int(facts.deadline.code)}", name


def test_ten_rules() -> None:
    assert len(re.findall(r"^\d+\. \*\*", section(PAGE, "5"), re.MULTILINE)) == 10
