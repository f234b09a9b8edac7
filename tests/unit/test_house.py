"""The house rules that a program can check: sizes, names, who may know of an experiment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SERVING = ("panda_fsm", "engine", "consumers", "periodic", "plugins", "broker", "sql", "gateway", "jedi", "command")
AROUND = ("lab", "bench", "tests", "examples")
MODULE_LINES, FUNCTION_LINES = 300, 40
# Names that say nothing of what is inside.
EMPTY_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "base"}
EXPERIMENTS = "atlas|cms|lhcb|alice|lsst|rubin|belle|belle2|compass|amber|sphenix|epic|dune|icecube|ams"
NAMES_EXPERIMENT = re.compile(rf"(?<![a-z])(?:{EXPERIMENTS})(?![a-z])", re.IGNORECASE)


def sources(*folders: str) -> list[Path]:
    """All modules of the folders, as paths from the project's root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found)


@cache
def tree(module: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse((ROOT / module).read_text(), filename=str(module))


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


EVERY = sources(*SERVING, *AROUND)
"""Looked at in one test a rule: a test a module and rule would be a quarter of all tests."""


def test_there_is_something_to_check() -> None:
    assert len(sources(*SERVING)) > 10


def test_modules_fit_their_budget() -> None:
    sizes = {str(module): len((ROOT / module).read_text().splitlines()) for module in EVERY}
    long = {module: lines for module, lines in sizes.items() if lines > MODULE_LINES}
    assert not long, "split a module by what its parts are about"


def test_functions_fit_their_budget() -> None:
    sizes = {
        f"{module}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in EVERY
        for node in functions(module)
    }
    assert not {function: size for function, size in sizes.items() if size > FUNCTION_LINES}


def test_modules_say_their_role_in_their_first_line() -> None:
    firsts = {str(module): (ast.get_docstring(tree(module), clean=False) or "").split("\n")[0] for module in EVERY}
    silent = [module for module, first in firsts.items() if not first.strip()]
    assert not silent, "the first line of a module's docstring says what it is for"


def test_names_of_modules_say_what_is_inside() -> None:
    assert not [str(module) for module in EVERY if EMPTY_NAMES.intersection({*module.parts[:-1], module.stem})]


@pytest.mark.parametrize("folder", [folder for folder in SERVING if folder != "plugins"])
def test_only_plugins_know_of_experiments(folder: str) -> None:
    files = (path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".sql", ".html", ".js"})
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(files)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if NAMES_EXPERIMENT.search(line)
    ]
    assert not found, "an experiment is a plugin; the core knows none:\n" + "\n".join(found)


def test_nobody_else_owns_our_import_names() -> None:
    owners = packages_distributions()
    ours = [*(name for name in SERVING if (ROOT / name).is_dir()), *AROUND]
    taken = {name: set(owners.get(name, [])) - {"panda-fsm"} for name in ours}
    taken["panda_fsm_jedi"] = set(owners.get("panda_fsm_jedi", [])) - {"panda-fsm-jedi"}
    assert not {name: others for name, others in taken.items() if others}
