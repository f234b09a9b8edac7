"""A service's database session: a transaction in few journeys, plans made once, and what a batch reads of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from consumers.setupper import Setupper
from panda_fsm.messages import new_message_id
from plugins.experiments.registry import IsolatedExperiments
from sql.session import Session
from tests import factories
from tests.driver import Database
from tests.inprocess import Serve

KEPT, NEW = new_message_id(), new_message_id()
NOTE = "INSERT INTO inbox (message_id) VALUES (%s)"


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """As the services have it."""
    one = Session(database_url, "test", 30, 3, planned_once=True)
    yield one
    one.close()


def undecided(_connection: psycopg.Connection[Any]) -> None:
    raise ValueError("no decision")


def refused_and_seen(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"{NOTE} RETURNING 1", (KEPT,)).fetchall()


def refused_behind_our_back(connection: psycopg.Connection[Any]) -> None:
    connection.execute(NOTE, (KEPT,))
    connection.execute(NOTE, (new_message_id(),))


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (undecided, ValueError),
        (refused_and_seen, psycopg.errors.UniqueViolation),
        (refused_behind_our_back, psycopg.errors.UniqueViolation),
    ],
)
def test_a_transaction_that_fails_leaves_nothing_and_the_session_goes_on(
    session: Session, database: Database, fail: Callable[[psycopg.Connection[Any]], None], error: type[Exception]
) -> None:
    with session.pipelined() as connection:
        connection.execute(NOTE, (KEPT,))
    with pytest.raises(error), session.pipelined() as connection:
        connection.execute(NOTE, (NEW,))
        fail(connection)
    assert database.rows("SELECT message_id::text FROM inbox") == [(KEPT,)]
    with session.pipelined() as connection:
        connection.execute(NOTE, (NEW,))
    assert database.value("SELECT count(*) FROM inbox") == 2


def test_one_plan_serves_a_lone_job_and_a_batch_and_outlives_a_transaction_that_we_undo(session: Session) -> None:
    asked = "SELECT job_id FROM job WHERE job_id = ANY(%s)"
    plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT job_id FROM%%'"
    with pytest.raises(ValueError, match="no decision"), session.pipelined() as connection:
        connection.execute(asked, ([1],))
        undecided(connection)
    with session.pipelined() as connection:
        connection.execute(asked, ([1],))
        connection.execute(asked, (list(range(500)),))
        assert connection.execute(plans).fetchall() == [(3, 0)]


def test_of_a_job_that_somebody_else_holds_nothing_is_read(
    serve: Serve, registry: IsolatedExperiments, database_url: str
) -> None:
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1), factories.draft(2)))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        with setupper.store.transaction() as tx:
            locked = tx.load_locked([1, 2], files=True, report=True)
    assert {job_id: {file.job_id for file in job.files} for job_id, job in locked.items()} == {2: {2}}
