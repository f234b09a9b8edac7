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


def test_there_is_something_to_check() -> None:
    assert len(sources(*SERVING)) > 10


@pytest.mark.parametrize("module", sources(*SERVING, *AROUND), ids=str)
def test_module_fits_its_budget(module: Path) -> None:
    lines = len((ROOT / module).read_text().splitlines())
    assert lines <= MODULE_LINES, f"{module} has {lines} lines: split it by what its parts are about"


@pytest.mark.parametrize("module", sources(*SERVING, *AROUND), ids=str)
def test_functions_fit_their_budget(module: Path) -> None:
    sizes = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(module)}
    assert not {name: size for name, size in sizes.items() if size > FUNCTION_LINES}


@pytest.mark.parametrize("module", sources(*SERVING, *AROUND), ids=str)
def test_module_says_its_role_in_its_first_line(module: Path) -> None:
    docstring = ast.get_docstring(tree(module), clean=False) or ""
    assert docstring.split("\n")[0].strip(), f"{module}: the first line of the docstring says what it is for"


@pytest.mark.parametrize("module", sources(*SERVING, *AROUND), ids=str)
def test_module_name_says_what_is_inside(module: Path) -> None:
    assert not EMPTY_NAMES.intersection({*module.parts[:-1], module.stem})


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
