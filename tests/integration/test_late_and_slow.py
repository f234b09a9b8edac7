"""Messages that come late, twice or never, and a database that is slow: jobs, blocks and appointments stay right."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from consumers.adder import Adder
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.codes import Verdict
from panda_fsm.jobs.states import State
from panda_fsm.messages import (
    AnyMessage,
    BlockClosed,
    CheckBlock,
    DeadlinePassed,
    JobEvent,
    KillJob,
    OutputsAdded,
    SettleBlock,
)
from panda_fsm.trouble import SLOW_FOR_S
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, said
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Outlet, Serve, put, steps


def create(serve: Serve, registry: IsolatedExperiments, *job_ids: int, **fields: Any) -> InProcess:
    """A Setupper that created these jobs; their events are in its outlet."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(*(factories.draft(number, **fields) for number in job_ids)))
    return setupper


def blocks_of(database: Database, job_id: int, kind: str) -> list[tuple[Any, ...]]:
    """Names and statuses of a job's blocks of a kind."""
    query = """SELECT DISTINCT b.name, b.status FROM job_file f JOIN data_block b USING (block_id)
               WHERE f.job_id = %s AND b.kind = %s ORDER BY 1"""
    return database.rows(query, (job_id, kind))


def test_a_fresh_job_gets_no_block_of_a_job_that_went_on(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """The event of job 1 comes again with that of job 2: bunched together, 2 would write into 1's closed blocks."""
    setupper = create(serve, registry, 1)
    (old,) = setupper.outlet.messages("job.defined")
    setupper.handle(old)
    put(database, [1], State.HOLDING)
    finisher = serve(Finisher())
    finisher.handle(OutputsAdded(job_id=1, version=5, verdict=Verdict.FAILED))
    serve(Closer()).handle(*finisher.outlet.messages("job.failed"))
    closed = blocks_of(database, 1, "sub")
    assert [status for _, status in closed] == ["tobeclosed", "tobeclosed"]
    (new,) = create(serve, registry, 2).outlet.messages("job.defined")
    setupper.handle(old, new)
    fresh = blocks_of(database, 2, "sub")
    assert [status for _, status in fresh] == ["defined", "defined"]
    assert not {name for name, _ in fresh} & {name for name, _ in closed}
    assert blocks_of(database, 1, "sub") == closed
    assert database.states() == {"failed": 1, "activated": 1}


def test_killed_jobs_give_up_their_inputs_and_the_last_one_closes_the_dispatch_block(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """A dispatch block under way belongs to several jobs: it stays open for as long as one of them waits for it."""
    setupper = create(serve, registry, 1, 2, inputs=("far.csv",))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    assert database.states() == {"assigned": 2}
    ((name, _),) = blocks_of(database, 1, "dispatch")
    watcher, closer = serve(Watcher(LIMITS)), serve(Closer())
    for job_id, status in ((1, "defined"), (2, "completed")):
        watcher.handle(KillJob(job_id=job_id, code=9, actor="user"))
        closer.handle(*watcher.outlet.messages("job.cancelled")[-1:])
        query = "SELECT status FROM job_file WHERE job_id = %s AND type = 'input'"
        assert database.rows(query, (job_id,)) == [("failed",)]
        assert blocks_of(database, job_id, "dispatch") == [(name, status)]
    assert database.states() == {"cancelled": 2}
    closed = [message.block for message in closer.outlet.messages() if isinstance(message, BlockClosed)]
    subs = [name for name, _ in blocks_of(database, 1, "sub")]
    assert sorted(closed) == subs, "nobody is told of dispatch blocks"


def reminded(database: Database, clock: Clock) -> list[AnyMessage]:
    """What the daemon says of job 1 once the time for it has come."""
    assert said(database) == []
    database.rows("UPDATE job SET state_changed_at = state_changed_at - interval '10 min' RETURNING 1")
    database.rows("UPDATE job_deadline SET deadline_at = now() RETURNING 1")
    clock.round("deadlines")
    return said(database)


def lost() -> Outlet:
    """Where a service publishes when everything gets lost: the test takes it out of the outbox too."""
    return Outlet(silent=True)


def test_a_job_whose_every_message_is_lost_is_finished_by_reminders(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    """The broker and the outbox lose all that any service says, from the first to the last: the daemon is enough."""
    clock = Clock(database_url)
    serve(Setupper(registry), lost()).handle(factories.submit(factories.draft(1)))
    said(database)
    (event,) = reminded(database, clock)
    assert isinstance(event, JobEvent)
    serve(Setupper(registry), lost()).handle(event)
    put(database, [1], State.RUNNING)
    serve(Watcher(LIMITS), lost()).handle(factories.report(1, "finished"))
    said(database)
    (event,) = reminded(database, clock)
    assert isinstance(event, JobEvent)
    assert (event.routing_key, event.version, event.task_id) == ("job.holding", 6, 7)
    serve(Adder(registry), lost()).handle(event)
    said(database)
    (added,) = reminded(database, clock)
    assert isinstance(added, OutputsAdded)
    assert (added.verdict, added.version) == ("finished", 6)
    serve(Finisher(), lost()).handle(added)
    assert steps(database, 1)[-2:] == [(6, "pilot_ended"), (7, "outputs_done")]
    said(database)
    database.rows("UPDATE data_block SET created_at = now() - interval '1 h' RETURNING 1")
    clock.round("blocks")
    checks = said(database)
    assert [type(message) for message in checks] == [CheckBlock] * 2, "one for each of its blocks"
    serve(Closer(), lost()).handle(*checks)
    assert [status for _, status in blocks_of(database, 1, "sub")] == ["tobeclosed", "tobeclosed"]
    assert {type(message) for message in said(database)} == {BlockClosed, SettleBlock}
    assert database.value("SELECT count(*) FROM dead_letter") == 0
    clock.close()


def test_a_late_deadline_is_not_needed(serve: Serve, registry: IsolatedExperiments, database: Database) -> None:
    create(serve, registry, 1)
    put(database, [1], State.FINISHED)
    watcher = serve(Watcher(LIMITS))
    watcher.handle(DeadlinePassed(job_id=1, state=State.HOLDING, version=4))
    assert (watcher.outlet.taken, database.states()) == ([], {"finished": 1})


def slow(database_url: str, job_id: int) -> None:
    """Whatever is written of this job takes for ever."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'"
        )
        connection.execute(
            psycopg.sql.SQL(
                "CREATE TRIGGER slow BEFORE UPDATE ON job FOR EACH ROW WHEN (NEW.job_id = {}) EXECUTE FUNCTION sleep()"
            ).format(job_id)
        )


@pytest.mark.parametrize("guilty", [1, 5, 8], ids=["first", "middle", "last"])
def test_a_message_that_is_too_slow_is_put_off_alone_and_ends_among_the_dead_letters_by_age(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str, guilty: int
) -> None:
    """Else it would block its queue for ever: the consumer tries the same batch again and again."""
    jobs = range(1, 9)
    create(serve, registry, *jobs)
    put(database, jobs, State.SENT)
    watcher = serve(Watcher(LIMITS), timeout_s=0.2)
    reports = [factories.report(number, "running") for number in jobs]
    slow(database_url, guilty)
    watcher.handle(*reports)
    assert database.states() == {"running": len(jobs) - 1, "sent": 1}
    (waiting,) = [message for message in watcher.outlet.taken if message.exchange.startswith("panda.delay")]
    assert waiting.body == reports[guilty - 1].encode()
    assert database.value("SELECT count(*) FROM dead_letter") == 0
    watcher.handle(factories.report(2 if guilty == 1 else 1, "holding"))
    watcher.handle(reports[guilty - 1], waiting_since=time.time() - SLOW_FOR_S)
    ((payload, reason),) = database.rows("SELECT payload, reason FROM dead_letter")
    assert bytes(payload) == reports[guilty - 1].encode()
    assert "statement timeout" in reason


def test_a_message_that_was_slow_for_a_while_is_handled(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    create(serve, registry, 1)
    put(database, [1], State.SENT)
    report = factories.report(1, "running")
    watcher = serve(Watcher(LIMITS), timeout_s=0.2)
    slow(database_url, 1)
    for _ in range(3):
        watcher.handle(report)
    assert database.states() == {"sent": 1}
    with psycopg.connect(database_url) as mender:
        mender.execute("DROP TRIGGER slow ON job")
    watcher.handle(report)
    assert database.states() == {"running": 1}
    assert database.value("SELECT count(*) FROM dead_letter") == 0
