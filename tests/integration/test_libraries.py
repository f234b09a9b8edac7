"""Libraries: jobs that read them wait for the build job, whatever submission it came with, and end with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from lab.site import write_lab
from panda_fsm.codes import Verdict
from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.jobs.states import State
from panda_fsm.messages import JobEvent, KillJob, OutputsAdded
from plugins.experiments.registry import IsolatedExperiments
from sql import store
from tests import factories
from tests.clockwork import Clock, said
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put, steps

LIBRARY = "sources.7.lib.tgz"
FAILED = "upstream job failed: 1 is cancelled"


def build(job_id: int, **fields: Any) -> JobDraft:
    """It makes the library, of which nobody else in its submission has heard."""
    draft = factories.draft(job_id, label="panda", **fields)
    draft.files[1] = FileDraft(type="output", lfn=LIBRARY, scope=factories.SCOPE, destination_block="user.lab.libs")
    return draft


def run(job_id: int, *others: str, **fields: Any) -> JobDraft:
    return factories.draft(job_id, inputs=(*others, LIBRARY), **fields)


@pytest.fixture
def setupper(serve: Serve, registry: IsolatedExperiments) -> InProcess:
    return serve(Setupper(registry))


def submit(setupper: InProcess, *drafts: JobDraft, owner: str = factories.OWNER) -> None:
    """A submission of its own, and the first look at its jobs."""
    setupper.handle(factories.submit(*drafts).model_copy(update={"owner": owner}))
    for key in ("job.defined", "job.waiting"):
        setupper.handle(*setupper.outlet.messages(key))
    setupper.outlet.taken.clear()


def woken(setupper: InProcess, database: Database, clock: Clock) -> set[int]:
    """Those that the daemon speaks of now are looked at."""
    said(database)
    clock.round("deadlines")
    events = [message for message in said(database) if isinstance(message, JobEvent)]
    setupper.handle(*events)
    return {event.job_id for event in events}


def end(serve: Serve, job_id: int = 1) -> None:
    serve(Watcher(LIMITS)).handle(KillJob(job_id=job_id, code=9))


def told(database: Database, job_id: int) -> tuple[Any, ...]:
    """A job's state, and what it waits for or ended by."""
    query = "SELECT state, coalesce(errors -> 'task_buffer' ->> 'diag', waits_for) FROM job WHERE job_id = %s"
    return database.rows(query, (job_id,))[0]


def test_the_end_of_a_build_reaches_jobs_of_other_submissions_at_once(
    serve: Serve, setupper: InProcess, database: Database, clock: Clock
) -> None:
    """Also those that were looked at before it was submitted, wait for other inputs too, or are not released yet."""
    submit(setupper, run(11), run(12, "nowhere.csv"), factories.draft(13, inputs=("other.lib.tgz",)))
    assert told(database, 11) == ("defined", f"library {factories.SCOPE}:{LIBRARY} is on no storage yet")
    assert told(database, 12) == ("waiting", f"input {factories.SCOPE}:nowhere.csv is on no storage")
    submit(setupper, build(1))
    submit(setupper, run(14))
    assert told(database, 14) == ("defined", "waits for job 1, which makes what it reads")
    database.execute("UPDATE job_deadline SET deadline_at = now() + interval '60 s'")
    end(serve)
    assert woken(setupper, database, clock) == {11, 12, 14}, "not who reads something else"
    assert [told(database, job_id) for job_id in (11, 12, 14)] == [("cancelled", FAILED)] * 3
    assert steps(database, 12) == [(1, "submitted"), (2, "inputs_unknown"), (3, "upstream_failed")]


def test_a_library_that_was_made_lets_jobs_of_other_submissions_go(
    serve: Serve, setupper: InProcess, database: Database, clock: Clock, run_dir: Path
) -> None:
    submit(setupper, build(1))
    submit(setupper, run(11))
    factories.store_file(write_lab(run_dir, "http://127.0.0.1:1").queue_storage, LIBRARY)
    put(database, [1], State.HOLDING)
    serve(Finisher()).handle(OutputsAdded(job_id=1, version=5, verdict=Verdict.FINISHED))
    assert woken(setupper, database, clock) == {11}
    assert database.states() == {"finished": 1, "activated": 1}


S = State
NOT_MADE = ("defined", f"library {factories.SCOPE}:{LIBRARY} is on no storage yet")
AWAITED = ("defined", "waits for job 2, which makes what it reads")


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(
    ("builds", "outcome"),
    [
        ([S.CANCELLED], ("cancelled", FAILED)),
        ([S.CANCELLED, S.ACTIVATED], AWAITED),
        ([S.ACTIVATED, S.CANCELLED], ("defined", AWAITED[1].replace("2", "1"))),
        ([S.CANCELLED, S.FINISHED], NOT_MADE),
        ([S.FINISHED, S.FAILED], NOT_MADE),
        ([S.FAILED, S.CLOSED], ("cancelled", "upstream job failed: 2 is closed")),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else None,
)
def test_jobs_that_come_later_go_by_what_has_become_of_the_builds(
    setupper: InProcess, database: Database, clock: Clock, builds: list[State], outcome: tuple[str, str], archived: bool
) -> None:
    """One that is tried again has not failed, and what was made once may still be there."""
    submit(setupper, *(build(job_id) for job_id, _ in enumerate(builds, 1)))
    for job_id, state in enumerate(builds, 1):
        put(database, [job_id], state)
    if archived:
        ended = "job_id IN (SELECT job_id FROM job WHERE ended_at IS NOT NULL)"
        database.execute(f"UPDATE job SET deadline_at = now() WHERE {ended}")  # noqa: S608
        database.execute(f"UPDATE job_deadline SET ended = true, deadline_at = now() WHERE {ended}")  # noqa: S608
        clock.round("archive")
        assert database.value("SELECT count(*) FROM job WHERE ended_at IS NOT NULL") == 0
    submit(setupper, run(11))
    assert told(database, 11) == outcome


def test_what_strangers_build_is_nobodys_library(setupper: InProcess, database: Database) -> None:
    """They may give their files any name; and of a build that reads its own name nothing is to be waited for."""
    submit(setupper, build(1), owner="a stranger")
    submit(setupper, build(2, vo="else"))
    submit(setupper, factories.draft(3))
    put(database, [1, 2, 3], State.FAILED)
    database.execute("UPDATE job_file SET lfn = %s WHERE job_id = 3 AND type = 'output'", (LIBRARY,))
    submit(setupper, run(11))
    assert told(database, 11) == NOT_MADE
    own = build(4)
    own.files[0].lfn = LIBRARY
    submit(setupper, own)
    assert told(database, 4) == NOT_MADE


@pytest.mark.parametrize("query", ["load_makers", "wake_readers"])
def test_libraries_are_found_by_an_index(database: Database, database_url: str, query: str) -> None:
    parameters = {"rows": "[]", "job_ids": [1]}
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {store._Q[query]}".encode(), parameters).fetchall()
    assert [line for (line,) in plan if "Seq Scan on" in line] == []
