"""`panda-fsm jobs kill | reassign`: said first, done with --yes, by requests and audit rows in one transaction."""

from __future__ import annotations

import json

import pytest

from panda_fsm.jobs.states import State
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.inprocess import Serve, put
from tests.integration.test_process import Creator
from tests.typed import Run

REQUESTS = "SELECT routing_key, body::jsonb ->> 'job_id', body::jsonb ->> 'actor' FROM request ORDER BY message_id"
AUDIT = "SELECT actor, action, object, detail ->> 'reason' FROM audit ORDER BY audit_id"


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1 to 4 of task 7 and 5 of task 8; 2 runs, 3 has ended."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n, task_id=7 if n < 5 else 8) for n in range(1, 6))))
    put(database, [2], State.RUNNING)
    put(database, [3], State.FINISHED)
    return database


def test_nothing_is_killed_before_it_was_said_with_what(run: Run, jobs: Database) -> None:
    said = run("jobs", "kill", "1", "2", "3", "999", "--reason", "broken input")
    assert said.returncode == 0
    assert [line.split() for line in said.stdout.splitlines()[1:]] == [
        ["would", "defined", "1"], ["would", "running", "1"], ["not", "is", "finished", "already", "1"],
        ["not", "is", "not", "known", "1"],
    ]  # fmt: skip
    assert (jobs.rows(REQUESTS), jobs.rows(AUDIT)) == ([], [])
    done = run("jobs", "kill", "1", "2", "3", "999", "--reason", "broken input", "--actor", "ana", "--yes", "--json")
    assert json.loads(done.stdout) == {
        "act": "kill", "done": True, "jobs": ["1", "2"],
        "not": {"3": "is finished already", "999": "is not known"},
    }  # fmt: skip
    assert jobs.rows(REQUESTS) == [("kill", "1", "ana"), ("kill", "2", "ana")]
    assert jobs.rows(AUDIT) == [("local:ana", "kill_requested", "jobs 1-2", "broken input")]
    sent_at = "SELECT count(*) FROM request WHERE sent_at = 'epoch'"
    assert jobs.value(sent_at) == 2, "the relay sends them at once"
    assert run("jobs", "kill", "3", "--reason", "again", "--yes").returncode == 1


def test_what_a_filter_finds_is_done_by_an_operation_as_the_page_begins_it(
    run: Run, jobs: Database, clock: Clock
) -> None:
    put(jobs, [1, 4, 5], State.ACTIVATED)
    asked = "jobs", "reassign", "--task", "7", "--reason", "moved", "--actor", "ana"
    said = run(*asked)
    would, *others = (line.split() for line in said.stdout.splitlines()[1:])
    assert would == ["would", "so", "many", "2"]
    assert {(other[0], other[2].strip(":"), other[-1]) for other in others} == {
        ("not", "finished", "1"), ("not", "running", "1")
    }  # fmt: skip
    assert jobs.rows("SELECT * FROM operation") == []
    done = json.loads(run(*asked, "--yes", "--json").stdout)
    assert (done["done"], done["jobs"]) == (True, 2)
    assert f"{done['operation']} " in run("operations", "--status", "running").stdout
    clock.round("operations")
    assert {(key, job) for key, job, _ in jobs.rows(REQUESTS)} == {("reassign", "1"), ("reassign", "4")}
    (begun, moved) = jobs.rows(AUDIT)
    assert begun == ("local:ana", "operation_begun", f"operation {done['operation']}", "moved")
    assert moved[:3] == ("local:ana", "reassign_requested", "jobs 1-4")
    assert run("jobs", "kill", "--task", "99", "--reason", "none there", "--yes").returncode == 1


WRONG: tuple[list[str], ...] = (
    [], ["1", "--task", "7"], ["--error", "pilot:x"], ["0"], ["1", "--actor", ""], ["1", "--reason", " "],
    ["1", "--reason", "x" * 501],
)  # fmt: skip


def test_what_is_not_meant_is_not_done(run: Run, jobs: Database) -> None:
    """Nothing named is not everything; who acts and why must be said."""
    for wrong in WRONG:
        given = [] if "--reason" in wrong else ["--reason", "why"]
        done = run("jobs", "kill", *wrong, *given, "--yes")
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), (wrong, done.stderr)
    assert (jobs.rows(REQUESTS), jobs.rows(AUDIT)) == ([], [])
