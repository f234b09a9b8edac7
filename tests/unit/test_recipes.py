"""What a recipe of CONTRIBUTING.md asks for and no other test would miss: nothing stands there without being used."""

from __future__ import annotations

import ast
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from command import compose
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB
from plugins.experiments.registry import GROUP

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSED = (ROOT / "command/duties.py").read_text()
ENTRIES: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]


def defined(path: Path, kind: type[ast.AST]) -> set[str]:
    """Names of the functions or classes of a module."""
    return {getattr(node, "name", "") for node in ast.parse(path.read_text()).body if isinstance(node, kind)}


def test_every_state_is_entered_by_some_step() -> None:
    assert {destination for _, _, destination, _ in JOB.rows()} == {state.value for state in State}


DUTIES = sorted(
    path.stem for path in (ROOT / "periodic").glob("*.py") if "duty" in defined(path, ast.FunctionDef)
)  # fmt: skip


@pytest.mark.parametrize("name", DUTIES)
def test_every_duty_is_done_by_the_daemon(name: str) -> None:
    assert f"{name}.duty(" in COMPOSED


def test_every_plugin_has_its_entry_point() -> None:
    made = {
        f"plugins.experiments.{path.stem}:{name}"
        for path in (ROOT / "plugins/experiments").glob("*.py")
        for name in defined(path, ast.ClassDef)
        if name.endswith("Plugin")
    }
    assert made == set(ENTRIES.values())


def test_what_is_installed_is_what_is_written() -> None:
    """`make setup` reads entry points anew."""
    ours = {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.value.startswith("plugins.")}
    assert ours == ENTRIES


def test_every_service_is_served() -> None:
    services = {path.stem for path in (ROOT / "consumers").glob("*.py") if "(Service[" in path.read_text()}
    assert services
    assert services <= set(compose.QUEUES)
