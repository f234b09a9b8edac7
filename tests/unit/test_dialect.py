"""The page of the dialect is complete and shown by tests: every key that pilots read or send has its row."""

from __future__ import annotations

import ast
import re

import pytest

from gateway.wire.pilot_job import pilot_job
from gateway.wire.pilot_report import READERS
from panda_fsm.specs.names import snake
from tests.pages import ROOT, code, section
from tests.unit.test_gateway_pilot_job import TAGS
from tests.wire import described, whole_job

PAGE = (ROOT / "docs/dialect.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)))


def keys(number: str) -> set[str]:
    """What stands in code in a section."""
    return {word for span in code(section(PAGE, number)) for word in re.findall(r"\w+", span)}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_shows_a_rule_exists(path: str, name: str) -> None:
    file = ROOT / path if path.startswith("tests/") else ROOT / "tests" / path
    functions = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
    assert not name or name in functions


def test_every_key_of_the_job_has_a_row() -> None:
    job = described(whole_job(specialHandling=",".join(TAGS), container_name="image", reqID=1))
    assert pilot_job(job, "S").keys() - keys("4") == set()


def test_every_key_of_a_report_has_a_row() -> None:
    known = {snake(key) for key in keys("5")} | {"meta_data"}
    diagnostics = {name for name in READERS if name.endswith("_error_diag")}
    assert READERS.keys() - known - diagnostics == set()
