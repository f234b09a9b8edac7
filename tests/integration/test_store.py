"""The store under concurrency and repetition: one transition, one block, one event, whoever else tries."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm import messages as events
from panda_fsm.codes import Verdict
from panda_fsm.jobs.states import State
from panda_fsm.trouble import Condition
from periodic import archive as archiving
from periodic import deadlines
from plugins.experiments.registry import IsolatedExperiments
from sql.appointments import Appointments
from sql.archive import Archive
from sql.duty import WorkerSession
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put, steps

JOBS = 20


def at_once(*calls: Callable[[], Any]) -> None:
    """Run the calls in threads that start together; an exception of any fails the test."""
    barrier, errors = threading.Barrier(len(calls)), []

    def run(call: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


def submission(count: int = JOBS, **fields: Any) -> events.SubmitJobs:
    """Jobs 1..count."""
    return factories.submit(*(factories.draft(number, **fields) for number in range(1, count + 1)))


def created(serve: Serve, registry: IsolatedExperiments, count: int = JOBS, **fields: Any) -> InProcess:
    """A Setupper that created jobs 1..count."""
    setupper = serve(Setupper(registry))
    setupper.handle(submission(count, **fields))
    return setupper


def test_two_watchers_with_the_same_reports_make_one_step(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    created(serve, registry)
    ids = range(1, JOBS + 1)
    put(database, ids, State.SENT)
    reports = [factories.report(number, "running") for number in ids]
    first, second = serve(Watcher(LIMITS)), serve(Watcher(LIMITS))
    at_once(lambda: first.handle(*reports), lambda: second.handle(*reversed(reports)))
    for number in ids:
        assert steps(database, number) == [(1, "submitted"), (6, "pilot_running")]
    assert database.states() == {"running": JOBS}
    assert len(first.outlet.taken) + len(second.outlet.taken) == JOBS


def test_two_setuppers_with_the_same_jobs_ask_for_their_inputs_once(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """The plugin is asked outside of the transaction, so both ask; the version decides who writes."""
    first = created(serve, registry, inputs=("far.csv",))
    second = serve(Setupper(registry))
    told = first.outlet.messages("job.defined")
    assert len(told) == JOBS
    at_once(lambda: first.handle(*told), lambda: second.handle(*reversed(told)))
    requests = first.outlet.messages("block.requested") + second.outlet.messages("block.requested")
    assert len(requests) == 1, "one request a block and transaction, however many jobs share the file"
    for number in range(1, JOBS + 1):
        assert steps(database, number) == [(1, "submitted"), (2, "inputs_requested")]
    blocks = database.rows("SELECT kind, count(*) FROM data_block GROUP BY kind ORDER BY kind")
    assert blocks == [("destination", 2), ("dispatch", 1), ("sub", 2)]
    assert database.value("SELECT count(*) FROM job_file WHERE block_id IS NULL") == 0


@pytest.mark.parametrize("same_message", [True, False])
def test_jobs_submitted_twice_are_created_once(
    serve: Serve, registry: IsolatedExperiments, database: Database, same_message: bool
) -> None:
    one = submission()
    other = one if same_message else submission()
    first, second = serve(Setupper(registry)), serve(Setupper(registry))
    at_once(lambda: first.handle(one), lambda: second.handle(other))
    second.handle(one, other)
    assert database.states() == {"defined": JOBS}
    assert database.value("SELECT count(*) FROM job_history") == JOBS
    assert database.value("SELECT count(*) FROM job_file") == 3 * JOBS
    assert database.value("SELECT sum(jobs) FROM job_count") == JOBS
    assert len(first.outlet.taken) + len(second.outlet.taken) == JOBS


def test_what_the_rules_of_blocks_read_reaches_them(serve: Serve, registry: IsolatedExperiments) -> None:
    texts = {"processing_type": "reco", "special_handling": "pc", "transfer_type": "direct"}
    fields: dict[str, Any] = texts | {"is_jedis": True}
    draft = factories.draft(1, **fields)
    draft.files[1].place_token = "TAPE"
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(draft, factories.draft(2)))
    one, other = (setupper.store.load([number], files=True, report=False)[number] for number in (1, 2))
    assert {name: getattr(one, name) for name in fields} == fields
    assert {getattr(other, name) for name in fields} == {"", False}
    assert [file.place_token for file in one.files] == ["", "TAPE", ""]


def test_two_activators_with_the_last_two_inputs_activate_once(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    created(serve, registry, inputs=("a.csv", "b.csv"))
    put(database, range(1, JOBS + 1), State.ASSIGNED)
    for seq, name in enumerate(("a_dis1", "b_dis1")):
        query = "INSERT INTO data_block (name, kind) VALUES (%s, 'dispatch') RETURNING block_id"
        block_id = database.value(query, (name,))
        query = "UPDATE job_file SET status = 'pending', block_id = %s WHERE seq = %s RETURNING seq"
        database.rows(query, (block_id, seq))
    first, second = serve(Activator()), serve(Activator())
    arrived = [events.FilesArrived(block=name, kind="dispatch") for name in ("a_dis1", "b_dis1")]
    at_once(lambda: first.handle(arrived[0]), lambda: second.handle(arrived[1]))
    assert database.states() == {"activated": JOBS}
    assert database.value("SELECT count(*) FROM job_waiting") == JOBS
    assert len(first.outlet.taken) + len(second.outlet.taken) == JOBS
    assert database.rows("SELECT status FROM data_block WHERE kind = 'dispatch'") == [("completed",)] * 2


def ended(serve: Serve, registry: IsolatedExperiments, database: Database) -> events.SubmitJobs:
    """All jobs set up, then finished with their outputs; returns what submitted them."""
    setupper, submit = serve(Setupper(registry)), submission()
    setupper.handle(submit)
    setupper.handle(*setupper.outlet.messages("job.defined"))
    put(database, range(1, JOBS + 1), State.HOLDING)
    database.rows("UPDATE job_file SET status = 'ready' RETURNING seq")
    added = [events.OutputsAdded(job_id=number, version=5, verdict=Verdict.FINISHED) for number in range(1, JOBS + 1)]
    serve(Finisher()).handle(*added)
    assert database.states() == {"finished": JOBS}
    return submit


CHECKS = [events.CheckBlock(job_id=number) for number in range(1, JOBS + 1)]


def test_three_closers_close_a_block_once(serve: Serve, registry: IsolatedExperiments, database: Database) -> None:
    ended(serve, registry, database)
    closers = [serve(Closer()) for _ in range(3)]
    at_once(*(lambda closer=closer: closer.handle(*CHECKS) for closer in closers))
    closed = [message for closer in closers for message in closer.outlet.messages("block.closed")]
    assert len(closed) == 2
    assert database.rows("SELECT DISTINCT status FROM data_block WHERE kind = 'sub'") == [("tobeclosed",)]


def test_a_block_with_an_unknown_file_stays_open(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    ended(serve, registry, database)
    database.rows("UPDATE job_file SET status = 'unknown' WHERE job_id = 7 AND type = 'log' RETURNING seq")
    closer = serve(Closer())
    closer.handle(*CHECKS)
    (closed,) = closer.outlet.messages("block.closed")
    assert isinstance(closed, events.BlockClosed)
    assert closed.block.startswith("user.lab.output.7_sub")


def archive(database: Database, database_url: str) -> None:
    """Make the final jobs old and let the daemon tick."""
    for table in ("job", "job_deadline"):
        database.rows(f"UPDATE {table} SET deadline_at = now() - interval '1 s' RETURNING job_id")  # noqa: S608
    duties = (
        deadlines.duty(Appointments(WorkerSession(database_url, 30)), LIMITS, 100, Condition()),
        archiving.duty(Archive(WorkerSession(database_url, 30))),
    )
    for duty in duties:
        while duty.run():
            pass
        duty.rest()


ARCHIVED = {
    "job": 0, "job_file": 0, "job_spec": 0, "job_deadline": 0,
    "job_archive": JOBS, "job_file_archive": 3 * JOBS, "job_spec_archive": JOBS,
}  # fmt: skip


def test_jobs_are_archived_only_when_their_blocks_are_closed(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    """A Closer that was away for longer than final jobs are kept must find their blocks."""
    ended(serve, registry, database)
    archive(database, database_url)
    assert database.states() == {"finished": JOBS}
    closer = serve(Closer())
    closer.handle(*CHECKS)
    assert len(closer.outlet.messages("block.closed")) == 2
    archive(database, database_url)
    assert {table: database.value(f"SELECT count(*) FROM {table}") for table in ARCHIVED} == ARCHIVED  # noqa: S608
    assert database.rows("SELECT DISTINCT state FROM job_archive") == [("finished",)]


def test_archived_jobs_are_past_caring(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    submit = ended(serve, registry, database)
    serve(Closer()).handle(*CHECKS)
    archive(database, database_url)
    watcher = serve(Watcher(LIMITS))
    watcher.handle(*(factories.report(number, "running") for number in range(1, JOBS + 1)))
    watcher.handle(*(events.KillJob(job_id=number, code=9) for number in range(1, JOBS + 1)))
    assert (watcher.outlet.taken, database.rows("SELECT reason FROM dead_letter")) == ([], [])
    serve(Setupper(registry)).handle(submit)
    serve(Setupper(registry)).handle(submission())
    assert database.states() == {}, "a PandaID never lives twice, whatever message brings it"
    assert database.value("SELECT count(*) FROM job_ended") == JOBS


@pytest.mark.parametrize(
    "history",
    [
        [(1, "submitted"), (2, None)],
        [(1, "submitted"), (2, "acquired")],
    ],
    ids=["no such step", "does not start where the last one ended"],
)
def test_the_database_refuses_an_illegal_history(database: Database, history: list[tuple[int, str | None]]) -> None:
    ids = dict(database.rows("SELECT event, transition_id FROM job_transition"))
    values = ", ".join(f"(1, {version}, {ids.get(event, 9999)}, 's', 'h')" for version, event in history)
    with pytest.raises(psycopg.errors.CheckViolation, match="job_history"):
        database.rows(f"INSERT INTO job_history (job_id, version, transition_id, service, host) VALUES {values}")  # noqa: S608
    assert database.value("SELECT count(*) FROM job_history") == 0


def test_values_at_their_limits_are_stored(serve: Serve, registry: IsolatedExperiments, database: Database) -> None:
    highest = 2**63 - 1
    text = "é漢字'\";--\\ " * 20
    draft = factories.draft(
        highest, priority=-(2**31), task_id=2**62, min_ram=2**31 - 1, attempt_nr=32767, name=text, spec={"a": [text]}
    )
    serve(Setupper(registry)).handle(factories.submit(draft))
    query = "SELECT priority, task_id, min_ram, attempt_nr, name, spec FROM job JOIN job_spec USING (job_id)"
    assert database.rows(query) == [(-(2**31), 2**62, 2**31 - 1, 32767, text, {"a": [text]})]


def test_a_heartbeat_renews_the_deadline_and_writes_nothing_else(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    created(serve, registry, 1)
    put(database, [1], State.RUNNING)
    before = database.value("SELECT deadline_at FROM job")
    look_at = database.value("SELECT deadline_at FROM job_deadline")
    serve(Watcher(LIMITS)).handle(factories.report(1, "running", heartbeat=True, attributes={"node": "wn7"}))
    assert database.value("SELECT deadline_at FROM job") != before
    assert database.value("SELECT deadline_at FROM job_deadline") <= look_at
    assert database.rows("SELECT state, version, pilot FROM job") == [("running", 5, {"node": "wn7"})]
    assert steps(database, 1) == [(1, "submitted")]


def test_a_kill_of_a_silent_job_does_not_put_its_loss_off(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    created(serve, registry, 1)
    put(database, [1], State.RUNNING)
    before = database.value("SELECT deadline_at FROM job")
    serve(Watcher(LIMITS)).handle(events.KillJob(job_id=1, code=9, actor="user"))
    assert database.rows("SELECT command, deadline_at FROM job") == [("tobekilled", before)]


def test_a_job_that_never_ran_has_begun_all_the_same(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """When its pilot took it; killed while it was starting, it began when it ended."""
    created(serve, registry, 3)
    for job_id, state in ((1, State.SENT), (2, State.STARTING), (3, State.ACTIVATED)):
        put(database, [job_id], state)
    taken = "UPDATE job SET state_changed_at = now() - interval '1 minute' RETURNING job_id, state_changed_at"
    times = dict(database.rows(taken))
    serve(Watcher(LIMITS)).handle(*(events.KillJob(job_id=number, actor="user") for number in (1, 2, 3)))
    assert database.states() == {"cancelled": 3}
    ended = dict(database.rows("SELECT job_id, ended_at FROM job"))
    assert database.rows("SELECT job_id, started_at FROM job ORDER BY 1") == [(1, times[1]), (2, ended[2]), (3, None)]
