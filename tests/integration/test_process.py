"""One batch: handled again without effect, retried while the database is away, bisected to the guilty message."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.watcher import Watcher
from panda_fsm import events
from panda_fsm.errors import TransientError
from panda_fsm.handler import Item, Service
from panda_fsm.lifecycle import Trigger
from panda_fsm.outcomes import Advance, Create, Outcome
from panda_fsm.process import DELAYS_S, UNKNOWN_TRIES
from panda_fsm.states import State
from tests import factories
from tests.driver import Database
from tests.inprocess import Outlet, Serve, put, steps

JOBS = 20
IDS = range(1, JOBS + 1)


class Creator(Service):
    """Creates what is submitted and asks no plugin."""

    name = "setupper"

    def decide(self, item: Item) -> Outcome:
        assert isinstance(item.message, events.SubmitJobs)
        return Create(Trigger.SUBMITTED, item.message.owner, item.message.jobs)


@pytest.fixture
def sent(serve: Serve, database: Database) -> Database:
    """Jobs 1..20, handed out to pilots."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    put(database, IDS, State.SENT)
    return database


def letters(database: Database) -> list[tuple[Any, ...]]:
    """Dead letters."""
    return database.rows("SELECT queue, reason, payload, error FROM dead_letter ORDER BY dead_letter_id")


def test_a_batch_that_comes_again_changes_nothing(serve: Serve, sent: Database) -> None:
    """As after a crash between commit and acknowledgement."""
    reports = [factories.report(number, state) for number in IDS for state in ("starting", "running", "finished")]
    watcher = serve(Watcher())
    watcher.handle(*reports)
    snapshot = "SELECT job_id, state, version, has_report FROM job ORDER BY 1"
    before = sent.rows(snapshot)
    assert before == [(number, "holding", 8, True) for number in IDS]
    published = len(watcher.outlet.taken)
    serve(Watcher()).handle(*reversed(reports))
    watcher.handle(*reports)
    assert sent.rows(snapshot) == before
    assert len(watcher.outlet.taken) == published == 3 * JOBS
    assert sent.value("SELECT count(*) FROM job_history") == 4 * JOBS
    assert letters(sent) == []


def test_a_published_batch_leaves_the_outbox_empty_and_a_silent_broker_leaves_it_there(
    serve: Serve, sent: Database
) -> None:
    serve(Watcher()).handle(*(factories.report(number, "starting") for number in IDS))
    assert sent.value("SELECT count(*) FROM outbox") == 0
    serve(Watcher(), Outlet(silent=True)).handle(*(factories.report(number, "running") for number in IDS))
    assert sent.states() == {"running": JOBS}
    assert sent.rows("SELECT routing_key, count(*) FROM outbox GROUP BY 1") == [("job.running", JOBS)]


def test_one_bad_message_is_found_among_good_ones(serve: Serve, sent: Database) -> None:
    """A spec with a character that PostgreSQL refuses is such an unforeseen value."""
    bad = factories.submit(factories.draft(1013, spec={"a": "\x00"}))
    good = [factories.submit(factories.draft(number)) for number in range(1001, 1050) if number != 1013]
    creator = serve(Creator())
    creator.handle(*good[:30], bad, *good[30:])
    created = {row[0] for row in sent.rows("SELECT job_id FROM job WHERE job_id > 1000")}
    assert created == {submit.jobs[0].job_id for submit in good}
    ((queue, reason, payload, error),) = letters(sent)
    assert (queue, bytes(payload)) == ("test", bad.encode())
    assert "UntranslatableCharacter" in reason
    assert "Traceback" in error
    assert len(creator.outlet.messages("job.defined")) == len(good)


def test_while_the_database_is_away_nothing_is_decided_and_the_batch_can_be_tried_again(
    serve: Serve, sent: Database
) -> None:
    watcher = serve(Watcher())
    reports = [factories.report(number, "starting") for number in IDS]
    watcher.handle(reports[0])
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'watcher'"
    assert sent.rows(end) == [(True,)]
    with pytest.raises(TransientError, match="database"):
        watcher.handle(*reports)
    assert sent.states() == {"starting": 1, "sent": JOBS - 1}
    watcher.handle(*reports)
    assert sent.states() == {"starting": JOBS}
    assert letters(sent) == []


def test_a_statement_that_takes_too_long_is_cancelled(serve: Serve, sent: Database, database_url: str) -> None:
    watcher = serve(Watcher(), timeout_s=0.3)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        with pytest.raises(TransientError, match="timeout"):
            watcher.handle(factories.report(1, "starting"))
    watcher.handle(factories.report(1, "starting"))
    assert steps(sent, 1) == [(1, "submitted"), (6, "pilot_starting")]


@pytest.mark.parametrize("retries", range(UNKNOWN_TRIES + 1))
def test_an_unknown_job_is_waited_for_a_little(serve: Serve, database: Database, retries: int) -> None:
    watcher = serve(Watcher())
    report = factories.report(1, "running")
    watcher.handle(report, retries=retries)
    if retries < UNKNOWN_TRIES:
        (delayed,) = watcher.outlet.taken
        assert (delayed.exchange, delayed.routing_key) == (f"panda.delay.{DELAYS_S[retries]}", "test")
        assert delayed.body == report.encode()
        assert delayed.headers is not None
        assert (delayed.headers["retries"], delayed.headers["key"]) == (retries + 1, "report.running")
        assert letters(database) == []
    else:
        assert watcher.outlet.taken == []
        assert "unknown job 1 (after 2 tries)" in letters(database)[0][1]


def test_an_unknown_job_holds_up_none_of_the_known_ones(serve: Serve, sent: Database) -> None:
    put(sent, IDS, State.PENDING)

    class Releaser(Service):
        """Releases as the Setupper does."""

        name = "setupper"

        def decide(self, item: Item) -> Outcome:
            return Advance(Trigger.RELEASED)

    releaser = serve(Releaser())
    releaser.handle(events.ReleaseJobs(jobs=[*IDS, 999]))
    assert sent.states() == {"defined": JOBS}
    (delayed,) = [message for message in releaser.outlet.taken if message.headers]
    assert delayed.headers is not None
    assert "unknown job 999" in delayed.headers["reason"]


def test_an_unknown_block_is_waited_for(serve: Serve, database: Database) -> None:
    activator = serve(Activator())
    activator.handle(events.FilesArrived(block="never_heard_of_dis1", kind="dispatch"))
    (delayed,) = activator.outlet.taken
    assert delayed.exchange == "panda.delay.1"


def test_illegal_step_is_a_dead_letter_and_the_rest_of_its_batch_goes_on(serve: Serve, sent: Database) -> None:
    put(sent, [7], State.ACTIVATED)
    serve(Watcher()).handle(*(factories.report(number, "running") for number in IDS))
    assert sent.states() == {"running": JOBS - 1, "activated": 1}
    ((_, reason, _, _),) = letters(sent)
    assert "pilot_running of job 7 is not possible in state activated" in reason


def test_accepted_requests_are_kept_until_they_are_handled(serve: Serve, sent: Database) -> None:
    reports = [factories.report(number, "running") for number in (1, 2, 999)]
    for message in reports:
        query = "INSERT INTO request (message_id, routing_key, body) VALUES (%s, %s, %s) RETURNING message_id"
        sent.rows(query, (message.message_id, message.routing_key, message.encode().decode()))
    serve(Watcher()).handle(*reports)
    left = [str(row[0]) for row in sent.rows("SELECT message_id FROM request")]
    assert left == [reports[2].message_id], "an unknown job is waited for, so its report is not handled yet"
    serve(Watcher()).handle(reports[2], retries=UNKNOWN_TRIES)
    assert sent.value("SELECT count(*) FROM request") == 0


def test_garbage_with_headers_that_no_database_takes_finds_its_place(serve: Serve, database: Database) -> None:
    closer = serve(Closer())
    garbage = factories.delivery(events.CheckBlock(job_id=1), headers={"a\x00": "b\x00\ud800"}, routing_key="k\x00")
    garbage.body = b"\x00"
    closer.processor.handle([garbage])
    query = "SELECT routing_key, headers FROM dead_letter"
    assert database.rows(query) == [("k\\0", {"a\\0": "b\\0\\ud800"})]
