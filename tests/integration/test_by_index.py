"""No statement of the busy path reads through a table: not even one that was planned while the tables were empty.

A connection plans a statement once, often on a fresh database, and keeps the plan while the tables grow.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sql.pool import BY_INDEX
from sql.queries import load
from sql.session import PLANNED_ONCE
from tests.isolation import Databases

_GROWING = frozenset({
    "data_block", "inbox", "jedi_grant", "jedi_job", "jedi_message", "jedi_request", "job", "job_archive",
    "job_deadline", "job_file", "job_heard", "job_history", "job_retry", "job_sample", "job_spec", "job_told",
    "job_upstream", "job_waiting", "outbox", "pilot_report", "request", "seat",
})  # fmt: skip
_BUSY = {
    "held_tasks": BY_INDEX, "store": PLANNED_ONCE, "jedi_statuses": PLANNED_ONCE, "jedi_requests": PLANNED_ONCE,
    "requests": BY_INDEX, "job_rows": BY_INDEX,
}  # fmt: skip
_BY_THE_CLOCK = frozenset({"tell_activity"})
_CLAIMS = (
    ("pick_classes",), ("pick_all",), ("seated",), ("give_again",), ("give_back",),
    ("pick_front", "front", "picked_front"), ("claim_front", "front", "filled", "step"), ("claim_picked", "step"),
)  # fmt: skip
_REQUESTS = tuple(
    (before, stamp, kept)
    for before, keeps in (("plain", ("keep_plain",)), ("heard", ("keep_heard", "keep_audited", "hear")))
    for stamp in ("stamp", "stamp_free")
    for kept in keeps
)
_PARTS = {part for parts in _REQUESTS for part in parts}
_NAMED = re.compile(r"%\((\w+)\)s")


def _statements() -> Iterator[Any]:
    """Those of the busy path, as they are sent, with the session they are sent in."""
    for file, options in _BUSY.items():
        for name, text in load(file).items():
            if (file != "requests" or name not in _PARTS) and name not in _BY_THE_CLOCK:
                yield pytest.param(text, options, id=f"{file}.{name}")
    for file, statements in (("claims", _CLAIMS), ("requests", _REQUESTS)):
        known = load(file)
        for parts in statements:
            yield pytest.param("\n".join(known[part] for part in parts), BY_INDEX, id=f"{file}.{'.'.join(parts)}")


def _numbered(text: str) -> tuple[str, int]:
    """The statement with `$1` and so on, as a prepared one has them, and how many there are."""
    names: list[str] = []
    for name in _NAMED.findall(text):
        if name not in names:
            names.append(name)
    return _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", text).replace("%%", "%"), len(names)


def read_through(plan: dict[str, Any]) -> Iterator[str]:
    """The growing tables that a plan reads from end to end."""
    is_scan = plan["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan")
    if is_scan and "Index Cond" not in plan and plan["Relation Name"] in _GROWING:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from read_through(part)


@pytest.fixture(scope="module")
def empty(databases: Databases) -> Iterator[str]:
    """A database in which nothing has happened yet; nothing will."""
    with databases.fresh() as url:
        yield url


@pytest.mark.parametrize(("text", "options"), list(_statements()))
def test_goes_by_an_index(empty: str, text: str, options: str) -> None:
    statement, count = _numbered(text)
    nothing = f"({', '.join(['NULL'] * count)})" if count else ""
    with psycopg.connect(empty, autocommit=True, options=options) as database:
        database.execute(f"PREPARE this AS {statement}")
        plan = database.execute(f"EXPLAIN (FORMAT JSON) EXECUTE this{nothing}").fetchall()[0][0][0]["Plan"]
    assert list(read_through(plan)) == []
