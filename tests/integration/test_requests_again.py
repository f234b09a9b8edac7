"""Accepted requests that wait do not multiply: the relay comes ever later, and not for what comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from consumers.watcher import Watcher
from engine.outbox import REQUESTS_AGAIN_S
from panda_fsm.messages import KillJob, Message
from sql.outbox import OutboxStore
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, Serve
from tests.integration.test_process import sent

__all__ = ["sent"]


@pytest.fixture
def outbox(database_url: str) -> Iterator[OutboxStore]:
    """The relay's side of the database."""
    store = OutboxStore(database_url, 30)
    yield store
    store.close()


def keep(database: Database, *requests: Message) -> None:
    """As the gateway does."""
    query = "INSERT INTO request (message_id, routing_key, body) VALUES (%s, %s, %s) RETURNING 1"
    for request in requests:
        database.rows(query, (request.message_id, request.routing_key, request.encode().decode()))


def pass_time(database: Database, seconds: float) -> None:
    """Requests were accepted and sent so much longer ago."""
    by = f"interval '{seconds} s'"
    database.execute(f"UPDATE request SET accepted_at = accepted_at - {by}, sent_at = sent_at - {by}")  # noqa: S608


def sent_again(outbox: OutboxStore) -> int:
    """How many the relay sends now."""
    with outbox.unhandled(REQUESTS_AGAIN_S, 1000) as part:
        part.sent([one.message.message_id for one in part.unsent])
        return len(part.unsent)


def test_a_request_whose_service_is_away_is_sent_ever_more_seldom(database: Database, outbox: OutboxStore) -> None:
    keep(database, KillJob(job_id=1))
    age_s = 0.0
    for _ in range(8):
        wait_s = min(15 * REQUESTS_AGAIN_S, max(REQUESTS_AGAIN_S, age_s))
        pass_time(database, 0.9 * wait_s)
        assert sent_again(outbox) == 0
        pass_time(database, 0.2 * wait_s)
        assert sent_again(outbox) == 1
        age_s += 1.1 * wait_s
    assert age_s > 3600, "else a copy a minute waits in the queue of a service that is away"


@pytest.mark.parametrize("age_s", [0, 61, 300, 4000])
@pytest.mark.parametrize("after_s", [1, 60])
def test_one_that_is_put_off_is_due_then_whatever_its_age(
    database: Database, outbox: OutboxStore, age_s: float, after_s: float
) -> None:
    keep(database, KillJob(job_id=1))
    pass_time(database, age_s)
    database.execute("UPDATE request SET sent_at = 'epoch'")
    with outbox.unhandled(REQUESTS_AGAIN_S, 1000) as part:
        part.put_off(part.unsent, after_s, "no queue takes it")
    pass_time(database, after_s - 0.5)
    assert sent_again(outbox) == 0
    pass_time(database, 0.6)
    assert sent_again(outbox) == 1


def test_a_request_whose_job_somebody_holds_circles_once(
    serve: Serve, sent: Database, outbox: OutboxStore, database_url: str
) -> None:
    """The relay leaves it alone while it comes back by itself; what came twice nevertheless waits once."""
    report = factories.report(1, "running")
    keep(sent, report)
    watcher = serve(Watcher(LIMITS))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        for _ in range(5):
            watcher.outlet.taken.clear()
            watcher.handle(report, report)
            assert [message.body for message in watcher.outlet.taken] == [report.encode()]
            pass_time(sent, 50)
            assert sent_again(outbox) == 0, "nobody need send what comes back by itself"
    pass_time(sent, 15 * REQUESTS_AGAIN_S)
    assert sent_again(outbox) == 1, "unless the broker lost it"
    watcher.handle(report)
    assert sent.value("SELECT count(*) FROM request") == 0
