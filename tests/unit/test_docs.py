"""What our pages name exists: sections, tests, paths, links, make targets, commands, settings, constants."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import typer

from command.main import app
from command.settings import Settings
from gateway.http.decode import MAX_FIELDS
from gateway.http.protocol import MOST_URL
from gateway.http.route import KB, MB
from gateway.table import ROUTES
from gateway.wire import pilot_requests, user_requests
from gateway.work import upload
from lab.services import DOORS
from panda_fsm.plans import Plan
from tests.pages import ROOT, code, section, tables

PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TODAY = [page for page in PAGES if page.parent.name != "adr" and page.name != "CHANGELOG.md"]
"""Pages that speak of the present; decisions and changes may name what is gone."""
SEMANTICS = (ROOT / "docs/semantics.md").read_text()
FOLDERS = (
    "panda_fsm", "engine", "consumers", "periodic", "plugins", "broker", "sql", "gateway", "jedi", "command", "lab",
    "bench", "tests",
)  # fmt: skip
MADE = tuple(line.lstrip("/") for line in (ROOT / ".gitignore").read_text().split())
"""What is made while working, and not kept in git."""
PATH = re.compile(r"[\w.*-]+/[\w./*-]*|[\w-]+\.(md|toml|lock|py|sql|json)|Makefile")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
CONSTANT = re.compile(r"[A-Z_]{3,} = [0-9_.]+")


def read(page: Path) -> str:
    return (ROOT / page).read_text()


@cache
def sources() -> dict[Path, str]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".sql"})
    return {path.relative_to(ROOT): path.read_text() for path in sorted(found)}


def rule_rows() -> list[list[str]]:
    return tables(section(SEMANTICS, "6"))[0]


def named_tests() -> set[tuple[str, str]]:
    return {found for row in rule_rows() for found in re.findall(r"`([\w/.]+)::(\w+)`", row[-1])}


def test_sections_that_are_cited_exist() -> None:
    headings = set(re.findall(r"^#+ ([0-9.]+?)\.? ", SEMANTICS, re.MULTILINE))
    headings |= {f"5.{number}" for number in range(1, 11)}
    cited = {
        (str(path), number)
        for path, text in sources().items()
        for group in re.findall(r"semantics\.md ((?:,? ?§[0-9.]*[0-9])+)", text)
        for number in re.findall(r"§([0-9.]*[0-9])", group)
    }
    assert not {place for place in cited if place[1] not in headings}


def test_only_pages_of_this_tree_are_cited() -> None:
    texts = [*sources().items(), *((page, read(page)) for page in PAGES)]
    cited = {(path, name) for path, text in texts for name in re.findall(r"\b[\w/-]+\.md\b", text)}
    assert not {
        (path, name)
        for path, name in cited
        if not any((at / name).exists() for at in (ROOT, ROOT / path.parent, ROOT / "docs"))
    }


@pytest.mark.parametrize(("path", "name"), sorted(named_tests()))
def test_a_test_that_shows_a_rule_exists(path: str, name: str) -> None:
    file = ROOT / "tests" / path
    assert file.exists()
    functions = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_every_section_of_rules_has_a_test() -> None:
    ruled = set(re.findall(r"^### ([1-4]\.\d) ", SEMANTICS, re.MULTILINE)) | {f"5.{n}" for n in range(1, 11)}
    assert {row[0] for row in rule_rows()} >= ruled
    assert all("::" in row[-1] for row in rule_rows())


@pytest.mark.parametrize("page", TODAY, ids=str)
def test_paths_exist(page: Path) -> None:
    text = re.sub(r"\w+/test_\w+\.py::\w+", "", read(page))
    named = {word.rstrip(".,:;") for line in code(text) for word in line.split() if "://" not in word}
    paths = {word for word in named if PATH.fullmatch(word) and not word.startswith(MADE)}
    missing = {path for path in paths if not any(ROOT.glob(path)) and not any((ROOT / page).parent.glob(path))}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert not {link for link in LINK.findall(read(page)) if not ((ROOT / page).parent / link).exists()}


@pytest.mark.parametrize("page", TODAY, ids=str)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(Path("Makefile")), re.MULTILINE))
    assert {name for line in code(read(page)) for name in re.findall(r"\bmake ([a-z-]+)", line)} <= targets


@pytest.mark.parametrize("page", TODAY, ids=str)
def test_commands_exist(page: Path) -> None:
    known = commands()
    for line in code(read(page)):
        for first, second in re.findall(r"(?:^|\s)panda-fsm ([a-z-]+)(?: ([a-z-]+))?", line):
            assert first in known, line
            assert not second or not known[first] or second in known[first], line


def commands() -> dict[str, set[str]]:
    """What `panda-fsm` can do; groups with what is in them."""
    groups = {str(group.name): group.typer_instance for group in app.registered_groups}
    inside = {name: set(names_of(group)) for name, group in groups.items() if group is not None}
    return {name: set[str]() for name in names_of(app)} | inside


def names_of(group: typer.Typer) -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield command.name or command.callback.__name__.replace("_", "-")
    yield from (str(inner.name) for inner in group.registered_groups)


@pytest.mark.parametrize("page", TODAY, ids=str)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"PANDA_FSM_([A-Z_]*[A-Z])\b", read(page)))
    doors = {name.removeprefix("PANDA_FSM_") for name in DOORS}
    assert named <= {name.upper() for name in Settings.model_fields} | doors


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_constants_are_those_of_the_code(page: Path) -> None:
    lines = {line.strip() for text in sources().values() for line in text.splitlines()}
    assert {span for span in code(read(page)) if CONSTANT.fullmatch(span)} <= lines


def test_tables_exist() -> None:
    made = {
        name
        for path, text in sources().items()
        if path.suffix == ".sql"
        for name in re.findall(r"CREATE TABLE (\w+)", text)
    }
    named = re.findall(r"`(\w+)`", read(Path("ARCHITECTURE.md")).partition("## Tables")[2])
    assert named
    assert set(named) <= made


def test_the_glossary_names_every_plan() -> None:
    (said,) = re.findall(r"^\| plan \| .*: (.*) \|$", read(Path("docs/glossary.md")), re.MULTILINE)
    assert set(re.split(r", | or ", said)) == {kind.__name__.lower() for kind in get_args(Plan)}


def test_limits_of_the_api_are_those_of_the_code() -> None:
    (rows,) = tables(read(Path("README.md")).partition("## For users of the API")[2].partition("\n## ")[0])
    said = {name: [int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]*", most)] for name, most in rows}
    bodies = {route.body_limit // MB for route in ROUTES}
    assert said == {
        "jobs in a submission": [user_requests.MAX_JOBS],
        "ids in a description, by POST": [user_requests.MAX_DESCRIBED],
        "ids in a description or a question for states, by GET": [user_requests.MAX_IN_URL],
        "jobs in a kill": [user_requests.MAX_KILLED],
        "jobs in a reassign": [user_requests.MAX_REASSIGNED],
        "texts in `kill_options`": [user_requests.MAX_OPTIONS],
        "jobs in a page of a list": [user_requests.MAX_LISTED],
        "reports in `update_jobs_bulk`": [pilot_requests.MAX_BULK],
        "fields in a request": [MAX_FIELDS],
        "URL": [MOST_URL // KB],
        "body, packed or not": sorted(bodies),
        "sandbox": [upload.MAX_OTHER // MB, upload.MAX_SOURCES // MB],
    }
    # What pilots say once more by curl has the old prefix before the new path.
    large = {route.path.replace("/server/panda/api/", "/api/") for route in ROUTES if route.body_limit > MB}
    assert large == {
        "/api/v1/job/submit", "/api/v1/pilot/update_job", "/api/v1/pilot/update_jobs_bulk", "/server/panda/updateJob",
    }  # fmt: skip
