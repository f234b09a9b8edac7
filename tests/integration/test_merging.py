"""Merging: jobs whose outputs another job merges wait for it in the database, however often it is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from consumers.adder import Adder
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.codes import Verdict
from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.jobs.job import TO_MERGE
from panda_fsm.jobs.states import State
from panda_fsm.messages import BlockClosed, DeadlinePassed, JobEvent, KillJob, OutputsAdded
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, appointment_s, enter, said
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put, steps

UNMERGED = (1, 2)


def unmerged(job_id: int, **fields: Any) -> JobDraft:
    """Its output is to be merged; its log is not."""
    draft = factories.draft(job_id, **fields)
    draft.files[1].place_token = TO_MERGE
    return draft


def merge(job_id: int, of: Sequence[int], attempt_nr: int = 1, which: int = 0, **fields: Any) -> JobDraft:
    """It merges the outputs of these, or (1) their logs, and may be tried twice."""
    spec = {"transformation": "merge.py", "max_attempt": "2"}
    draft = factories.draft(job_id, inputs=(), attempt_nr=attempt_nr, **{"spec": spec} | fields)
    names = [factories.output_lfns(number)[which] for number in of]
    draft.files += [
        FileDraft(type="input", lfn=lfn, scope=factories.SCOPE, status="ready", place_token=TO_MERGE) for lfn in names
    ]
    return draft


@pytest.fixture
def merging(serve: Serve, registry: IsolatedExperiments, database: Database) -> Database:
    """Two jobs that wait until their outputs are merged. One waited for a build job before it began."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(9, label="panda"), unmerged(1, upstream=[9]), unmerged(2)))
    put(database, [9], State.FINISHED)
    setupper.handle(*setupper.outlet.messages("job.defined"))
    put(database, UNMERGED, State.RUNNING)
    watcher, adder, finisher = serve(Watcher(LIMITS)), serve(Adder(registry)), serve(Finisher())
    watcher.handle(*(factories.report(job_id, "finished") for job_id in UNMERGED))
    adder.handle(*watcher.outlet.messages("job.holding"))
    finisher.handle(*adder.outlet.messages("job.merging"))
    assert database.states() == {"finished": 1, "merging": 2}
    assert files(database) == {1: ["ready", "merging", "ready"], 2: ["ready", "merging", "ready"]}
    said(database)
    return database


def files(database: Database) -> dict[int, list[str]]:
    """The statuses of the files of the two jobs."""
    query = "SELECT array_agg(status ORDER BY seq) FROM job_file WHERE job_id = %s"
    return {job_id: database.value(query, (job_id,)) for job_id in UNMERGED}


def submit(serve: Serve, registry: IsolatedExperiments, *drafts: JobDraft) -> None:
    serve(Setupper(registry)).handle(factories.submit(*drafts))


def end(serve: Serve, database: Database, clock: Clock, job_id: int, verdict: Verdict) -> None:
    """A job that merges has ended: who waited for it is woken, said again, and heard of by the Finisher."""
    put(database, [job_id], State.HOLDING)
    finisher = serve(Finisher())
    finisher.handle(OutputsAdded(job_id=job_id, version=5, verdict=verdict))
    said(database)
    clock.round("deadlines")
    finisher.handle(*(message for message in said(database) if isinstance(message, JobEvent)))


def reasons(database: Database) -> list[str]:
    """What the jobs wait for."""
    rows = database.rows("SELECT waits_for FROM job WHERE state = 'merging' ORDER BY job_id")
    return [reason for (reason,) in rows]


def test_jobs_finish_with_the_job_that_merges_their_outputs(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    """One of another task, or of another experiment, merges nothing of theirs."""
    assert reasons(merging) == ["waits for a job that merges its outputs"] * 2
    submit(serve, registry, merge(10, UNMERGED), merge(11, UNMERGED, task_id=8), merge(12, UNMERGED, vo="else"))
    for other in (11, 12):
        end(serve, merging, clock, other, Verdict.FINISHED)
    assert merging.states() == {"finished": 3, "merging": 2, "defined": 1}
    end(serve, merging, clock, 10, Verdict.FINISHED)
    assert merging.states() == {"finished": 6}
    assert files(merging) == {number: ["ready", "ready", "ready"] for number in UNMERGED}
    assert steps(merging, 1)[-2:] == [(7, "outputs_merging"), (8, "outputs_done")]


def test_jobs_wait_while_somebody_may_try_again_and_fail_with_the_last(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    submit(serve, registry, merge(10, UNMERGED))
    end(serve, merging, clock, 10, Verdict.FAILED)
    assert merging.states() == {"finished": 1, "failed": 1, "merging": 2}
    assert reasons(merging) == ["waits for a job that merges its outputs"] * 2
    submit(serve, registry, merge(11, UNMERGED, attempt_nr=2))
    end(serve, merging, clock, 11, Verdict.FAILED)
    assert merging.states() == {"finished": 1, "failed": 4}
    assert files(merging) == {number: ["ready", "failed", "ready"] for number in UNMERGED}
    told = "SELECT DISTINCT errors -> 'task_buffer' ->> 'code', pilot ->> 'job_sub_status' FROM job WHERE job_id < 3"
    assert merging.rows(told) == [("113", "merge_failed")]


def test_a_job_that_merges_settles_no_more_than_it_merges(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    """Here another job merges the logs."""
    merging.execute("UPDATE job_file SET status = 'merging', place_token = 'TOMERGE' WHERE job_id < 3 AND type = 'log'")
    submit(serve, registry, merge(10, UNMERGED), merge(11, UNMERGED, which=1))
    end(serve, merging, clock, 10, Verdict.FINISHED)
    assert files(merging) == {number: ["ready", "ready", "merging"] for number in UNMERGED}
    assert reasons(merging) == ["waits for job 11, which merges its outputs"] * 2
    end(serve, merging, clock, 11, Verdict.FINISHED)
    assert files(merging) == {number: ["ready", "ready", "ready"] for number in UNMERGED}
    assert merging.states() == {"finished": 5}


@pytest.mark.parametrize("kill", [KillJob(job_id=10, code=3, keep_unmerged=True), KillJob(job_id=10, code=51)])
def test_jobs_wait_for_another_when_the_last_was_killed_for_it(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock, kill: KillJob
) -> None:
    """Somebody said that they are to be merged all the same, or that the job will be submitted anew."""
    submit(serve, registry, merge(10, UNMERGED, attempt_nr=2))
    serve(Watcher(LIMITS)).handle(kill)
    said(merging)
    clock.round("deadlines")
    serve(Finisher()).handle(*(message for message in said(merging) if isinstance(message, JobEvent)))
    assert reasons(merging) == ["waits for a job that merges its outputs"] * 2


def test_the_end_of_a_job_that_merges_is_known_when_it_is_in_the_archive(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    """Nobody was woken: the reminder finds it."""
    submit(serve, registry, merge(10, UNMERGED, attempt_nr=2))
    put(merging, [10], State.FAILED)
    merging.rows("UPDATE job SET deadline_at = now() WHERE job_id = 10 RETURNING 1")
    merging.rows("UPDATE job_deadline SET ended = true, deadline_at = now() WHERE job_id = 10 RETURNING 1")
    clock.round("archive")
    assert merging.value("SELECT count(*) FROM job WHERE job_id = 10") == 0
    said(merging)
    merging.rows("UPDATE job_deadline SET deadline_at = now() WHERE job_id < 3 RETURNING 1")
    clock.round("deadlines")
    serve(Finisher()).handle(*said(merging))
    assert merging.states() == {"finished": 1, "failed": 2}


def announced(database: Database, clock: Clock, state: State = State.ACTIVATED) -> list[DeadlinePassed]:
    """What the daemon says of job 10, half an hour after it came to a state."""
    enter(database, [10], state, 1800, deadline_at="1 day")
    clock.round("deadlines")
    return [message for message in said(database) if isinstance(message, DeadlinePassed)]


def test_a_job_that_merges_is_cancelled_once_it_merges_in_vain(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    """One of those that it merges has ended, a while ago or so long that it is in the archive."""
    watcher = serve(Watcher(LIMITS))
    submit(serve, registry, merge(10, UNMERGED, processing_type="pmerge"))
    assert announced(merging, clock) == []
    assert appointment_s(merging, 10) == pytest.approx(600, abs=60)
    watcher.handle(KillJob(job_id=2, code=3))
    assert announced(merging, clock) == [], "it may end by itself"
    assert appointment_s(merging, 10) == pytest.approx(600, abs=60)
    merging.execute("UPDATE job SET state_changed_at = now() - interval '10 min' WHERE job_id = 2")
    assert len(announced(merging, clock)) == 1
    merging.execute("UPDATE data_block SET status = 'completed'")
    merging.execute("UPDATE job SET deadline_at = now() WHERE job_id = 2")
    merging.execute("UPDATE job_deadline SET deadline_at = now() WHERE job_id = 2")
    clock.round("archive")
    assert merging.value("SELECT count(*) FROM job WHERE job_id = 2") == 0
    watcher.handle(*announced(merging, clock, State.RUNNING))
    assert merging.rows("SELECT job_id, state FROM job WHERE job_id IN (1, 10) ORDER BY 1") == [
        (1, "merging"), (10, "cancelled")
    ]  # fmt: skip
    assert steps(merging, 10)[-1] == (6, "unneeded")


@pytest.mark.parametrize("fields", [{}, {"processing_type": "pmerge", "files": []}])
def test_a_job_that_merges_nothing_is_not_looked_at_for_it(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock, fields: dict[str, Any]
) -> None:
    """What is called so and reads nothing that was to be merged, and what reads it and is called otherwise."""
    draft = merge(10, UNMERGED, processing_type=fields.get("processing_type", ""))
    draft.files = fields.get("files", draft.files)
    submit(serve, registry, draft)
    serve(Watcher(LIMITS)).handle(KillJob(job_id=2, code=3))
    merging.execute("UPDATE job SET state_changed_at = now() - interval '1 h' WHERE job_id = 2")
    assert announced(merging, clock) == []


def asked_again(database: Database, clock: Clock, ago_s: int = 7200) -> list[tuple[str, str, int, int]]:
    """What the daemon says of blocks while the two jobs have waited for so long."""
    enter(database, UNMERGED, State.MERGING, ago_s, has_report=True, deadline_at="1 day")
    clock.round("deadlines")
    return [(m.block, m.status, m.number_files, m.task_id) for m in said(database) if isinstance(m, BlockClosed)]


def test_production_has_merging_asked_for_again_while_nobody_merges(
    serve: Serve, registry: IsolatedExperiments, merging: Database, clock: Clock
) -> None:
    """Once for a block, however many jobs wait in it, and not for the one of their logs, which are not merged."""
    merging.execute("UPDATE job SET label = 'managed' WHERE job_id IN (1, 2)")
    closed_at = "UPDATE data_block SET status = %s, closed_at = now() - interval '3 h', asked_at = %s, number_files = 2"
    merging.rows(f"{closed_at} RETURNING 1", ("tobeclosed", None))
    assert asked_again(merging, clock) == [], "the DDM is asked to close it"
    merging.rows(f"{closed_at} RETURNING 1", ("completed", None))
    assert asked_again(merging, clock, 7000) == []
    query = "SELECT DISTINCT name FROM job_file JOIN data_block USING (block_id) WHERE job_file.status = 'merging'"
    again = [(merging.value(query), "completed", 2, 7)]
    assert asked_again(merging, clock) == again
    assert asked_again(merging, clock) == [], "it was just now"
    submit(serve, registry, merge(10, UNMERGED))
    merging.rows("UPDATE data_block SET asked_at = now() - interval '2 h' RETURNING 1")
    assert asked_again(merging, clock) == [], "job 10 merges them"
    put(merging, [10], State.FAILED)
    assert asked_again(merging, clock) == again
