"""One batch: handled again without effect, retried while the database is away, bisected to the guilty message."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.watcher import Watcher
from panda_fsm import delays
from panda_fsm import messages as events
from panda_fsm.errors import TransientError
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.outcomes import Advance, Create, Outcome
from panda_fsm.trouble import KILLER_AFTER, NEWBORN_S, NEWER_FOR_S, SUSPECT_FOR_S, UNKNOWN_FOR_S
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, Outlet, Serve, put

JOBS = 20
IDS = range(1, JOBS + 1)


class Creator(Service[None]):
    """Creates what is submitted and asks no plugin."""

    name = "setupper"

    def decide(self, item: Item[None]) -> Outcome:
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
    watcher = serve(Watcher(LIMITS))
    watcher.handle(*reports)
    snapshot = "SELECT job_id, state, version, has_report FROM job ORDER BY 1"
    before = sent.rows(snapshot)
    assert before == [(number, "holding", 8, True) for number in IDS]
    published = len(watcher.outlet.taken)
    serve(Watcher(LIMITS)).handle(*reversed(reports))
    watcher.handle(*reports)
    assert sent.rows(snapshot) == before
    assert len(watcher.outlet.taken) == published == 3 * JOBS
    assert sent.value("SELECT count(*) FROM job_history") == 4 * JOBS
    assert letters(sent) == []


def test_a_published_batch_leaves_the_outbox_empty_and_a_silent_broker_leaves_it_there(
    serve: Serve, sent: Database
) -> None:
    serve(Watcher(LIMITS)).handle(*(factories.report(number, "starting") for number in IDS))
    assert sent.value("SELECT count(*) FROM outbox") == 0
    serve(Watcher(LIMITS), Outlet(silent=True)).handle(*(factories.report(number, "running") for number in IDS))
    assert sent.states() == {"running": JOBS}
    assert sent.rows("SELECT routing_key, count(*) FROM outbox GROUP BY 1") == [("job.running", JOBS)]


def waited(seconds: float) -> dict[str, Any]:
    """The delivery of a message that has been put off for so long."""
    return {"waiting_since": time.time() - seconds, "retries": 2}


def test_one_bad_message_is_found_among_good_ones(serve: Serve, sent: Database) -> None:
    """A spec with a character that PostgreSQL refuses is such an unforeseen value: tried again, then buried."""
    bad = factories.submit(factories.draft(1013, spec={"a": "\x00"}))
    good = [factories.submit(factories.draft(number)) for number in range(1001, 1050) if number != 1013]
    creator = serve(Creator())
    creator.handle(*good[:30], bad, *good[30:])
    created = {row[0] for row in sent.rows("SELECT job_id FROM job WHERE job_id > 1000")}
    assert created == {submit.jobs[0].job_id for submit in good}
    assert len(creator.outlet.messages("job.defined")) == len(good)
    (again,) = [message for message in creator.outlet.taken if message.headers]
    assert (again.exchange, again.body, letters(sent)) == (delays.exchange(1), bad.encode(), [])
    creator.handle(bad, **waited(SUSPECT_FOR_S))
    ((queue, reason, payload, error),) = letters(sent)
    assert (queue, bytes(payload)) == ("test", bad.encode())
    assert "UntranslatableCharacter" in reason
    assert "Traceback" in error


def test_a_message_that_ends_the_process_each_time_is_buried_unhandled(serve: Serve, sent: Database) -> None:
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "running"), deliveries=KILLER_AFTER)
    ((_, reason, _, _),) = letters(sent)
    assert "each time the process ended" in reason
    assert sent.states() == {"sent": JOBS}
    watcher.handle(factories.report(1, "running"), deliveries=KILLER_AFTER - 1)
    assert sent.states() == {"sent": JOBS - 1, "running": 1}


def test_a_message_that_a_long_outage_gave_back_is_no_killer(serve: Serve, sent: Database) -> None:
    """The broker counts each time it takes a message back; a process that lived on is not its victim."""
    watcher = serve(Watcher(LIMITS))
    watcher.processor._clock = lambda: time.monotonic() + NEWBORN_S
    watcher.handle(factories.report(1, "running"), deliveries=KILLER_AFTER)
    assert (sent.states(), letters(sent)) == ({"sent": JOBS - 1, "running": 1}, [])


def test_a_newer_schema_waits_for_a_newer_program(serve: Serve, sent: Database) -> None:
    watcher = serve(Watcher(LIMITS))
    newer = factories.delivery(factories.report(1, "running"))
    newer.body = newer.body.replace(b'"schema_version":1', b'"schema_version":3')
    watcher.processor.handle([newer])
    (delayed,) = watcher.outlet.taken
    assert (delayed.exchange, delayed.body, letters(sent)) == (delays.exchange(1), newer.body, [])
    newer.waiting_since = time.time() - NEWER_FOR_S
    watcher.processor.handle([newer])
    assert "newer" in letters(sent)[0][1]


def test_while_the_database_is_away_nothing_is_decided_and_the_batch_can_be_tried_again(
    serve: Serve, sent: Database
) -> None:
    watcher = serve(Watcher(LIMITS))
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


SLOW = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'"


def test_a_statement_that_takes_too_long_is_cancelled(serve: Serve, sent: Database) -> None:
    watcher = serve(Watcher(LIMITS), timeout_s=0.3)
    reports = [factories.report(number, "starting") for number in IDS]
    sent.execute(SLOW)
    sent.execute("CREATE TRIGGER slow BEFORE INSERT ON job_history EXECUTE FUNCTION slow()")
    with pytest.raises(TransientError, match="timeout"):
        watcher.handle(*reports, **waited(3600))
    sent.execute("DROP TRIGGER slow ON job_history")
    assert letters(sent) == [], "a slow database buries nobody"
    watcher.handle(*reports)
    assert sent.states() == {"starting": JOBS}


def test_a_locked_job_holds_up_nobody_else(serve: Serve, sent: Database, database_url: str) -> None:
    watcher = serve(Watcher(LIMITS))
    reports = [factories.report(number, "starting") for number in IDS]
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = 7 FOR UPDATE")
        watcher.handle(*reports)
        assert sent.states() == {"starting": JOBS - 1, "sent": 1}
        (delayed,) = [message for message in watcher.outlet.taken if message.headers]
        assert (delayed.exchange, delayed.body) == (delays.exchange(1), reports[6].encode())
        watcher.handle(reports[6], **waited(3600))
        assert watcher.outlet.taken[-1].exchange == delays.exchange(1), "again after a second, however long that lasts"
    watcher.handle(reports[6])
    assert (sent.states(), letters(sent)) == ({"starting": JOBS}, [])


@pytest.mark.parametrize(("seconds", "retries", "delay"), [(None, 0, 1), (1, 1, 10), (UNKNOWN_FOR_S - 1, 5, 60)])
def test_an_unknown_job_is_waited_for_a_little(
    serve: Serve, database: Database, seconds: float | None, retries: int, delay: int
) -> None:
    watcher = serve(Watcher(LIMITS))
    report = factories.report(1, "running")
    since = None if seconds is None else time.time() - seconds
    watcher.handle(report, retries=retries, waiting_since=since)
    (delayed,) = watcher.outlet.taken
    assert (delayed.exchange, delayed.routing_key) == (delays.exchange(delay), "test")
    assert delayed.body == report.encode()
    assert delayed.headers is not None
    assert (delayed.headers["retries"], delayed.headers["key"]) == (retries + 1, "report.running")
    assert float(delayed.headers["waiting_since"]) == pytest.approx(since or time.time(), abs=5)
    assert letters(database) == []


def test_an_unknown_job_is_given_up_by_age(serve: Serve, database: Database) -> None:
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "running"), **waited(UNKNOWN_FOR_S))
    assert watcher.outlet.taken == []
    assert letters(database)[0][1].startswith("unknown job 1 (waited 60 s)")


def test_an_unknown_job_is_not_given_up_while_it_may_be_in_a_submission_of_before(
    serve: Serve, database: Database
) -> None:
    """Whoever lets ten thousand jobs go while thousands of submissions are in the queue."""
    release = events.ReleaseJobs(jobs=[1])
    query = """INSERT INTO request (message_id, routing_key, body, accepted_at)
               VALUES (gen_random_uuid(), 'submit', '', now() - make_interval(secs => %s)) RETURNING 1"""
    database.rows(query, (1000,))
    serve(Watcher(LIMITS)).handle(release, **waited(990))
    assert letters(database) == []
    serve(Watcher(LIMITS)).handle(release, **waited(1010))
    assert len(letters(database)) == 1, "that submission came later"


def test_an_unknown_job_holds_up_none_of_the_known_ones(serve: Serve, sent: Database) -> None:
    put(sent, IDS, State.PENDING)

    class Releaser(Service[None]):
        """Releases as the Setupper does."""

        name = "setupper"

        def decide(self, item: Item[None]) -> Outcome:
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
    assert delayed.exchange == delays.exchange(1)


def test_illegal_step_is_a_dead_letter_and_the_rest_of_its_batch_goes_on(serve: Serve, sent: Database) -> None:
    put(sent, [7], State.ACTIVATED)
    serve(Watcher(LIMITS)).handle(*(factories.report(number, "running") for number in IDS))
    assert sent.states() == {"running": JOBS - 1, "activated": 1}
    ((_, reason, _, _),) = letters(sent)
    assert "pilot_running of job 7 is not possible in state activated" in reason


def test_accepted_requests_are_kept_until_they_are_handled(serve: Serve, sent: Database) -> None:
    reports = [factories.report(number, "running") for number in (1, 2, 999)]
    for message in reports:
        query = "INSERT INTO request (message_id, routing_key, body) VALUES (%s, %s, %s) RETURNING message_id"
        sent.rows(query, (message.message_id, message.routing_key, message.encode().decode()))
    serve(Watcher(LIMITS)).handle(*reports)
    left = [str(row[0]) for row in sent.rows("SELECT message_id FROM request")]
    assert left == [reports[2].message_id], "an unknown job is waited for, so its report is not handled yet"
    serve(Watcher(LIMITS)).handle(reports[2], **waited(UNKNOWN_FOR_S))
    assert sent.value("SELECT count(*) FROM request") == 0


def test_garbage_with_headers_that_no_database_takes_finds_its_place(serve: Serve, database: Database) -> None:
    closer = serve(Closer())
    garbage = factories.delivery(events.CheckBlock(job_id=1), headers={"a\x00": "b\x00\ud800"}, routing_key="k\x00")
    garbage.body = b"\x00"
    closer.processor.handle([garbage])
    query = "SELECT routing_key, headers FROM dead_letter"
    assert database.rows(query) == [("k\\0", {"a\\0": "b\\0\\ud800"})]
