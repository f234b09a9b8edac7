"""Trouble of the whole system: no message is to blame, nothing is buried, and all goes on once it is mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from consumers.watcher import Watcher
from panda_fsm.errors import SystemicError, TransientError
from panda_fsm.handler import Item
from panda_fsm.outcomes import Outcome
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, Serve
from tests.integration.test_process import IDS, JOBS, letters, sent, waited

__all__ = ["sent"]


class Broken(Watcher):
    """A Watcher with a mistake in it, until it is mended."""

    broken = True

    def decide(self, item: Item[None]) -> Outcome:
        if self.broken:
            raise KeyError("nobody thought of this")
        return super().decide(item)


def test_a_mistake_that_hits_every_message_buries_none(serve: Serve, sent: Database) -> None:
    watcher = Broken(LIMITS)
    process = serve(watcher)
    reports = [factories.report(number, "running") for number in IDS]
    for _ in range(3):
        with pytest.raises(SystemicError, match="nobody thought of this"):
            process.handle(*reports, **waited(3600))
    assert letters(sent) == []
    assert sent.states() == {"sent": JOBS}
    watcher.broken = False
    process.handle(*reports)
    assert sent.states() == {"running": JOBS}


def as_owner(url: str, *statements: str) -> Callable[[], None]:
    """Something done to the database behind the program's back."""

    def do() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return do


SYSTEMIC: dict[str, tuple[str, str]] = {
    "schema older than the program": (
        "ALTER TABLE job DROP COLUMN waits_for",
        "ALTER TABLE job ADD COLUMN waits_for text",
    ),
    "table gone": ("ALTER TABLE outbox RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO outbox"),
    "a step the database does not know": (
        "UPDATE job_transition SET event = 'hidden' WHERE event = 'pilot_running'",
        "UPDATE job_transition SET event = 'pilot_running' WHERE event = 'hidden'",
    ),
    "read-only": (
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "ALTER DATABASE {name} RESET default_transaction_read_only",
    ),
}


@pytest.mark.parametrize("what", SYSTEMIC)
def test_trouble_of_the_system_is_nobodys_fault_and_passes(
    serve: Serve, sent: Database, database_url: str, services: Any, what: str
) -> None:
    name = database_url.rpartition("/")[2]
    breaking, mending = (statement.format(name=name) for statement in SYSTEMIC[what])
    elsewhere = services.postgres.url_of("postgres") if what == "read-only" else database_url
    as_owner(elsewhere, breaking)()
    reports = [factories.report(number, "running") for number in IDS]
    watcher = serve(Watcher(LIMITS))
    try:
        for _ in range(2):
            with pytest.raises(TransientError):
                watcher.handle(*reports, **waited(3600))
    finally:
        as_owner(elsewhere, mending)()
    assert letters(sent) == []
    watcher.handle(*reports)
    assert sent.states() == {"running": JOBS}


def test_a_plan_that_became_stale_under_us_is_made_again(serve: Serve, sent: Database, database_url: str) -> None:
    """A migration during a rolling upgrade: "cached plan must not change result type"."""
    watcher = serve(Watcher(LIMITS))
    for _ in range(8):  # psycopg prepares a statement once it has seen it some times
        watcher.handle(factories.report(1, "running"))
    as_owner(database_url, "ALTER TABLE job ALTER COLUMN priority TYPE bigint")()
    reports = [factories.report(number, "running") for number in IDS]
    try:
        watcher.handle(*reports)
    except TransientError:
        watcher.handle(*reports)
    assert (sent.states(), letters(sent)) == ({"running": JOBS}, [])
