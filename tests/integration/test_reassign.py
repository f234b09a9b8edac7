"""Jobs that go back to the beginning or are held back, in the database: blocks, priorities, places in the queue."""

from __future__ import annotations

from pathlib import Path

import psycopg

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from lab.site import QUEUE, write_lab
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.states import State
from panda_fsm.messages import CheckBlock, FilesArrived, FilesFailed, JobEvent, ReassignJob, TellPilot, ThrottleJobs
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, appointment_s, said
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, steps

FILES = """SELECT f.type, f.status, b.name FROM job_file f LEFT JOIN data_block b USING (block_id)
           WHERE f.job_id = 1 ORDER BY f.seq"""
WAITING = "SELECT job_id, priority FROM job_waiting WHERE site = %s ORDER BY job_id"


def set_up(serve: Serve, registry: IsolatedExperiments, lfn: str, *job_ids: int) -> InProcess:
    """A Setupper that set up these jobs."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(*(factories.draft(number, inputs=(lfn,)) for number in job_ids)))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    return setupper


def test_an_assigned_job_goes_back_and_is_set_up_anew(
    serve: Serve, registry: IsolatedExperiments, database: Database, clock: Clock
) -> None:
    setupper = set_up(serve, registry, "far.csv", 1)
    (_, _, old), *outputs = database.rows(FILES)
    assert (database.states(), old is None) == ({"assigned": 1}, False)
    setupper.outlet.taken.clear()
    setupper.handle(ReassignJob(job_id=1), ReassignJob(job_id=1))
    assert database.rows(FILES) == [("input", "unknown", None), *((kind, status, None) for kind, status, _ in outputs)]
    assert database.rows("SELECT state, priority, version FROM job") == [("defined", 100, 3)], "once"
    serve(Activator()).handle(
        FilesArrived(block=old, kind="dispatch"), FilesFailed(block=old, kind="dispatch", reason="late")
    )
    assert database.states() == {"defined": 1}, "what is said of its old block is not about it"
    setupper.handle(*setupper.outlet.messages("job.defined"))
    (_, status, new), *again = database.rows(FILES)
    assert (status, old != new, again) == ("pending", True, outputs), "its sub blocks were open still"
    serve(Activator()).handle(FilesArrived(block=new, kind="dispatch"))
    assert steps(database, 1)[-3:] == [(3, "reassigned"), (4, "inputs_requested"), (5, "inputs_arrived")]
    assert database.rows(WAITING, (QUEUE,)) == [(1, 100)], "before those that wait for the first time"
    database.execute("UPDATE data_block SET created_at = now() - interval '1 h'")
    clock.round("blocks")
    serve(Closer()).handle(*(message for message in said(database) if isinstance(message, CheckBlock)))
    assert database.value("SELECT status FROM data_block WHERE name = %s", (old,)) == "completed"
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_an_activated_job_goes_back_and_its_pilot_does_not_get_it_meanwhile(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    setupper = set_up(serve, registry, factories.INPUT, 1, 2, 3)
    assert len(database.rows(WAITING, (QUEUE,))) == 3
    database.execute("UPDATE job SET state = 'sent', version = version + 1 WHERE job_id = 3")
    database.execute("DELETE FROM job_waiting WHERE job_id = 3")
    setupper.handle(ReassignJob(job_id=1), ReassignJob(job_id=3))
    assert database.rows(WAITING, (QUEUE,)) == [(2, 0)]
    assert database.states() == {"defined": 1, "activated": 1, "sent": 1}, "the third is with a pilot"
    setupper.handle(*setupper.outlet.messages("job.defined"))
    assert database.rows(WAITING, (QUEUE,)) == [(1, 100), (2, 0)]


def test_throttled_jobs_are_nobodys_until_they_are_let_go(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    set_up(serve, registry, factories.INPUT, 1, 2, 3)
    watcher = serve(Watcher(LIMITS))
    watcher.handle(ThrottleJobs(jobs=[1, 2], actor="jedi"))
    assert (database.states(), database.rows(WAITING, (QUEUE,))) == ({"throttled": 2, "activated": 1}, [(3, 0)])
    watcher.handle(ThrottleJobs(jobs=[1, 2]), ThrottleJobs(jobs=[1], throttle=False))
    assert (database.states(), database.rows(WAITING, (QUEUE,))) == ({"throttled": 1, "activated": 2}, [(1, 0), (3, 0)])
    both = [ThrottleJobs(jobs=[1, 2, 3]), ThrottleJobs(jobs=[1, 2, 3], throttle=False)]
    watcher.handle(*both)
    assert (database.states(), len(database.rows(WAITING, (QUEUE,)))) == ({"activated": 3}, 3), "in one batch too"
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_what_comes_again_is_done_once(serve: Serve, registry: IsolatedExperiments, database: Database) -> None:
    """However soon it comes again, and in one batch too: others have moved the job on meanwhile, for good reasons."""
    setupper, watcher = set_up(serve, registry, factories.INPUT, 1, 2), serve(Watcher(LIMITS))
    reassign, hold = ReassignJob(job_id=1), ThrottleJobs(jobs=[2])
    for _ in range(2):
        setupper.handle(reassign, reassign)
        setupper.handle(*setupper.outlet.messages("job.defined"))
        watcher.handle(hold)
        watcher.handle(ThrottleJobs(jobs=[2], throttle=False))
        setupper.outlet.taken.clear()
    assert [event for _, event in steps(database, 1)].count("reassigned") == 1
    assert [event for _, event in steps(database, 2)].count("throttled") == 1
    assert database.states() == {"activated": 2}
    setupper.handle(ReassignJob(job_id=1))
    assert database.states() == {"activated": 1, "defined": 1}, "another one is no repetition"


def test_what_waits_for_a_locked_job_is_done_for_the_others_once(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    set_up(serve, registry, factories.INPUT, 1, 2)
    watcher, hold = serve(Watcher(LIMITS)), ThrottleJobs(jobs=[1, 2])
    with psycopg.connect(database_url) as somebody:
        somebody.execute("SELECT FROM job WHERE job_id = 2 FOR UPDATE")
        watcher.handle(hold)
    watcher.handle(ThrottleJobs(jobs=[1], throttle=False))
    assert database.states() == {"activated": 2}
    watcher.handle(hold)
    assert database.rows("SELECT state FROM job ORDER BY job_id") == [("activated",), ("throttled",)]


def test_of_what_is_said_of_a_job_the_newest_counts(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """An older message was put off because its job was locked, was another Watcher's, or came again much later."""
    set_up(serve, registry, factories.INPUT, 1)
    watcher, told = serve(Watcher(LIMITS)), "SELECT command FROM job"
    softly, on, back, hold = (
        TellPilot(job_id=1, command="softkill"), TellPilot(job_id=1, debug=True), TellPilot(job_id=1, command=""),
        ThrottleJobs(jobs=[1]),
    )  # fmt: skip
    off, let_go = TellPilot(job_id=1, debug=False), ThrottleJobs(jobs=[1], throttle=False)
    watcher.handle(back, softly)
    assert database.value(told) is None, "in one batch"
    watcher.handle(softly)
    assert database.value(told) is None, "in the next one"
    watcher.handle(on, softly)
    assert database.value(told) == "debug", "debug mode is another thing"
    watcher.handle(off)
    watcher.handle(on)
    assert database.value(told) is None
    watcher.handle(TellPilot(job_id=1, command="ls -l"))
    assert database.value(told) == "ls -l"
    watcher.handle(let_go)
    watcher.handle(hold)
    assert database.states() == {"activated": 1}
    watcher.handle(ThrottleJobs(jobs=[1]))
    assert database.states() == {"throttled": 1}


def test_a_job_waits_for_an_input_that_is_nowhere_and_goes_on_when_it_comes(
    serve: Serve, registry: IsolatedExperiments, database: Database, run_dir: Path
) -> None:
    setupper = set_up(serve, registry, "comes.csv", 1)
    assert database.states() == {"waiting": 1}
    (event,) = setupper.outlet.messages("job.waiting")
    assert isinstance(event, JobEvent)
    setupper.handle(event)
    reason = "input user.lab:comes.csv is on no storage"
    assert database.rows("SELECT state, waits_for FROM job") == [("waiting", reason)]
    assert appointment_s(database, 1) < (FACTS[State.WAITING].remind_s or 0), "it is asked about soon"
    factories.store_file(write_lab(run_dir, "http://127.0.0.1:1").source_storage, "comes.csv")
    setupper.handle(event)
    assert steps(database, 1)[-2:] == [(2, "inputs_unknown"), (3, "inputs_requested")]
