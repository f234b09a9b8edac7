"""docs/daemon.md finds every script of PanDA's daemon again: its tests, duties and deadlines are there, and no duty is
left out."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from command import compose, duties
from command.settings import Settings
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.states import State
from panda_fsm.trouble import Condition
from sql.duty import WorkerSession
from tests.pages import ROOT, tables

PAGE = (ROOT / "docs/daemon.md").read_text()
SCRIPTS = {
    "add_main",
    "add_sub",
    "configurator",
    "copyArchive",
    "datasetManager",
    "panda_activeusers_query",
    "tmpwatch",
}
SECONDS = {"min": 60, "h": 3600, "d": 86400}
_, *PARTS, OURS = tables(PAGE)
ROWS = [row for part in PARTS for row in part]
WORDS = ("event: ", "reminder", "deadline: ", "duty `", "not here: ")
DEADLINE = re.compile(r"deadline: (.*), (\d+) (min|h|d)(?:, kill (\d+))?")


def duty_names() -> set[str]:
    """All duties of the daemon, with those that only some installations have."""
    config = Settings(  # type: ignore[call-arg]  # the others have defaults
        database_url="postgresql://nobody", broker_url="amqp://nobody", metrics_port=9100
    )
    worker = WorkerSession(config.database_url, config.statement_timeout_s)
    return {duty.name for duty in duties.duties(config, Condition(), worker, compose.NAMES)}


@cache
def defined_in(path: str) -> set[str]:
    file = ROOT / "tests" / path
    assert file.exists(), path
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_script_has_its_table_and_every_part_its_place() -> None:
    assert set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == SCRIPTS
    assert all(len(row) == 4 and row[0] for row in [*ROWS, *OURS])
    assert not [row for row in ROWS if not row[1].startswith(WORDS)]
    assert len({(row[0], row[1]) for row in ROWS}) == len(ROWS)


def test_every_part_that_is_here_is_in_the_code_and_has_a_test() -> None:
    for part, here, where, shown_by in [*ROWS, *OURS]:
        named = re.findall(r"`([\w/.]+)::(\w+)`", shown_by)
        if here.startswith("not here: "):
            assert not (where or shown_by), part
            continue
        assert all((ROOT / path).is_file() for path in re.findall(r"`([^`]+)`", where)), part
        assert where and named, part
        assert not [name for path, name in named if name not in defined_in(path)], part


@pytest.mark.parametrize(("part", "here"), [row[:2] for row in ROWS if row[1].startswith("deadline")])
def test_each_deadline_is_one_here(part: str, here: str) -> None:
    """So long, and as that kill, in each of the states that the part is about."""
    found = DEADLINE.fullmatch(here)
    assert found, part
    states, number, unit, kill = found.groups()
    wanted = int(number) * SECONDS[unit], int(kill) if kill else None
    for state in map(State, re.findall(r"`(\w+)`", states)):
        assert wanted in {(one.seconds, one.kill) for one in FACTS[state].deadlines}, (state, here)


def test_every_deadline_is_found_in_the_page() -> None:
    told = set()
    for _, here, *_ in ROWS:
        if found := DEADLINE.fullmatch(here):
            states, number, unit, kill = found.groups()
            for state in re.findall(r"`(\w+)`", states):
                told.add((state, int(number) * SECONDS[unit], int(kill) if kill else None))
    assert told == {(state, one.seconds, one.kill) for state, facts in FACTS.items() for one in facts.deadlines}


def test_every_duty_is_named_and_no_other() -> None:
    told = {name for _, here, *_ in ROWS if "duty `" in here for name in re.findall(r"`([a-z_]+)`", here)}
    told |= {name for names, *_ in OURS for name in re.findall(r"`([a-z_]+)`", names)}
    assert told == duty_names()
