"""Messages that come late, twice or never, and a database that is slow: jobs, blocks and appointments stay right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from consumers.adder import Adder
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.errors import TransientError
from panda_fsm.events import AnyMessage, BlockClosed, DeadlinePassed, JobEvent, KillJob, OutputsAdded
from panda_fsm.process import SLOW_TRIES, UNKNOWN_TRIES
from panda_fsm.states import State
from plugins.registry import EntryPointRegistry
from sql.housekeeping import Housekeeping
from tests import factories
from tests.driver import Database
from tests.inprocess import InProcess, Outlet, Serve, put, steps


@pytest.fixture
def housekeeping(database_url: str) -> Iterator[Housekeeping]:
    """The clock and the dead letters, as the relay has them."""
    one = Housekeeping(database_url, 30)
    yield one
    one.close()


def create(serve: Serve, registry: EntryPointRegistry, *job_ids: int, **fields: Any) -> InProcess:
    """A Setupper that created these jobs; their events are in its outlet."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(*(factories.draft(number, **fields) for number in job_ids)))
    return setupper


def overdue(database: Database) -> None:
    """Make all deadlines pass now."""
    for table in ("job", "job_deadline"):
        database.rows(f"UPDATE {table} SET deadline_at = now() - interval '1 s' RETURNING job_id")  # noqa: S608


def announced(database: Database) -> list[tuple[Any, ...]]:
    """What the clock left in the outbox: jobs by number."""
    query = "SELECT (body::json ->> 'job_id')::int FROM outbox WHERE routing_key = %s ORDER BY 1"
    return database.rows(query, ("deadline",))


def test_the_clock_leaves_a_job_alone_that_somebody_moves(
    serve: Serve, registry: EntryPointRegistry, database: Database, database_url: str, housekeeping: Housekeeping
) -> None:
    """Else an old deadline could be written over the appointment of, say, a claim that commits a moment later."""
    create(serve, registry, 1, 2)
    overdue(database)
    appointment = "SELECT deadline_at FROM job_deadline WHERE job_id = 1"
    before = database.value(appointment)
    with psycopg.connect(database_url) as claim:
        claim.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        assert housekeeping.tick() == 1, "job 2 only"
        assert housekeeping.tick() == 0
        assert database.value(appointment) == before
        assert announced(database) == [(2,)]
    assert housekeeping.tick() == 1
    assert announced(database) == [(1,), (2,)]
    assert database.value(appointment) > before
    assert housekeeping.tick() == 0


def blocks_of(database: Database, job_id: int, kind: str) -> list[tuple[Any, ...]]:
    """Names and statuses of a job's blocks of a kind."""
    query = """SELECT DISTINCT b.name, b.status FROM job_file f JOIN data_block b USING (block_id)
               WHERE f.job_id = %s AND b.kind = %s ORDER BY 1"""
    return database.rows(query, (job_id, kind))


def test_a_fresh_job_gets_no_block_of_a_job_that_went_on(
    serve: Serve, registry: EntryPointRegistry, database: Database
) -> None:
    """The event of job 1 comes again with that of job 2: bunched together, 2 would write into 1's closed blocks."""
    setupper = create(serve, registry, 1)
    (old,) = setupper.outlet.messages("job.defined")
    setupper.handle(old)
    put(database, [1], State.HOLDING)
    finisher = serve(Finisher())
    finisher.handle(OutputsAdded(job_id=1, version=5, verdict="failed"))
    serve(Closer()).handle(*finisher.outlet.messages("job.failed"))
    closed = blocks_of(database, 1, "sub")
    assert [status for _, status in closed] == ["closed", "closed"]
    (new,) = create(serve, registry, 2).outlet.messages("job.defined")
    setupper.handle(old, new)
    assert blocks_of(database, 2, "sub") == [("user.lab.log.7_sub2", "open"), ("user.lab.output.7_sub2", "open")]
    assert blocks_of(database, 1, "sub") == closed
    assert database.states() == {"failed": 1, "activated": 1}


def test_killed_jobs_give_up_their_inputs_and_the_last_one_closes_the_dispatch_block(
    serve: Serve, registry: EntryPointRegistry, database: Database
) -> None:
    """A dispatch block under way belongs to several jobs: it stays open for as long as one of them waits for it."""
    setupper = create(serve, registry, 1, 2, inputs=("far.csv",))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    assert database.states() == {"assigned": 2}
    ((name, _),) = blocks_of(database, 1, "dispatch")
    watcher, closer = serve(Watcher()), serve(Closer())
    for job_id, status in ((1, "open"), (2, "closed")):
        watcher.handle(KillJob(job_id=job_id, code=9, actor="user"))
        closer.handle(*watcher.outlet.messages("job.cancelled")[-1:])
        query = "SELECT status FROM job_file WHERE job_id = %s AND type = 'input'"
        assert database.rows(query, (job_id,)) == [("failed",)]
        assert blocks_of(database, job_id, "dispatch") == [(name, status)]
    assert database.states() == {"cancelled": 2}
    closed = [message.block for message in closer.outlet.messages() if isinstance(message, BlockClosed)]
    assert sorted(closed) == ["user.lab.log.7_sub1", "user.lab.output.7_sub1"], "nobody is told of dispatch blocks"


def remind(database: Database, watcher: InProcess, version: int) -> list[AnyMessage]:
    """The holding deadline of job 1 passes; what the Watcher publishes then."""
    overdue(database)
    watcher.handle(DeadlinePassed(job_id=1, state=State.HOLDING, version=version))
    assert database.states() == {"holding": 1}, "not the fault of the job"
    assert database.value("SELECT deadline_at > now() + interval '1 min' FROM job"), "asked again, but not at once"
    return watcher.outlet.messages()


def test_a_holding_job_whose_messages_were_lost_is_finished_by_reminders(
    serve: Serve, registry: EntryPointRegistry, database: Database
) -> None:
    """Neither the Adder nor the Finisher hears of it at first: the broker and the outbox have lost both messages."""
    create(serve, registry, 1)
    put(database, [1], State.RUNNING)
    serve(Watcher(), Outlet(silent=True)).handle(factories.report(1, "finished"))
    (reminder,) = remind(database, serve(Watcher()), 6)
    assert isinstance(reminder, JobEvent)
    assert (reminder.routing_key, reminder.version, reminder.task_id) == ("job.holding", 6, 7)
    serve(Adder(registry), Outlet(silent=True)).handle(reminder)
    (added,) = remind(database, serve(Watcher()), 6)
    assert isinstance(added, OutputsAdded)
    assert (added.verdict, added.version) == ("finished", 6)
    serve(Finisher()).handle(added)
    assert steps(database, 1)[1:] == [(6, "pilot_ended"), (7, "outputs_done")]
    watcher = serve(Watcher())
    watcher.handle(DeadlinePassed(job_id=1, state=State.HOLDING, version=6))
    assert (watcher.outlet.taken, database.states()) == ([], {"finished": 1}), "a late reminder is not needed"
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_a_dead_letter_that_waited_is_replayed_to_its_service(
    serve: Serve, database: Database, housekeeping: Housekeeping
) -> None:
    """The broker notes the delay queue as the first one it died in; there it would wait and reach nobody's reader."""
    report = factories.report(1, "running")
    headers = {"x-first-death-queue": "panda.delay.1", "x-first-death-reason": "expired", "retries": UNKNOWN_TRIES}
    serve(Watcher()).handle(report, queue="watcher", retries=UNKNOWN_TRIES, headers=headers)
    (letter,) = housekeeping.dead_letters("open", 10)
    assert letter["queue"] == "watcher"
    assert database.value("SELECT headers ->> 'x-first-death-queue' FROM dead_letter") == "panda.delay.1"
    assert housekeeping.settle_dead_letters([letter["dead_letter_id"]], "replayed", "test") == 1
    query = "SELECT exchange, routing_key, body FROM outbox"
    assert database.rows(query) == [("", "watcher", report.encode().decode())]
    assert housekeeping.settle_dead_letters([letter["dead_letter_id"]], "replayed", "test") == 0, "only once"


@pytest.mark.parametrize("guilty", [1, 5, 8], ids=["first", "middle", "last"])
def test_a_message_that_is_always_too_slow_ends_alone_among_the_dead_letters(
    serve: Serve, registry: EntryPointRegistry, database: Database, database_url: str, guilty: int
) -> None:
    """Else it would block its queue for ever: the consumer tries the same batch again and again."""
    jobs = range(1, 9)
    create(serve, registry, *jobs)
    put(database, jobs, State.SENT)
    watcher = serve(Watcher(), timeout_s=0.2)
    reports = [factories.report(number, "running") for number in jobs]
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = %s FOR UPDATE", (guilty,))
        for _ in range(SLOW_TRIES - 1):
            with pytest.raises(TransientError, match="statement timeout"):
                watcher.handle(*reports)
            assert database.value("SELECT count(*) FROM dead_letter") == 0
        watcher.handle(*reports)
    assert database.states() == {"running": len(jobs) - 1, "sent": 1}
    assert sorted(message.job_ids for message in watcher.outlet.messages()) == [(n,) for n in jobs if n != guilty]
    ((payload, reason),) = database.rows("SELECT payload, reason FROM dead_letter")
    assert bytes(payload) == reports[guilty - 1].encode()
    assert "statement timeout" in reason


def test_a_message_that_was_slow_for_a_while_is_handled(
    serve: Serve, registry: EntryPointRegistry, database: Database, database_url: str
) -> None:
    create(serve, registry, 1)
    put(database, [1], State.SENT)
    report = factories.report(1, "running")
    watcher = serve(Watcher(), timeout_s=0.2)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job FOR UPDATE")
        for _ in range(SLOW_TRIES - 1):
            with pytest.raises(TransientError, match="statement timeout"):
                watcher.handle(report)
    watcher.handle(report)
    assert database.states() == {"running": 1}
    assert database.value("SELECT count(*) FROM dead_letter") == 0
