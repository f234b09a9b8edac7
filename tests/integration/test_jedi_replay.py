"""Replays: the present states of JEDI's jobs in pages, by each way to ask, while jobs go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from consumers.setupper import Setupper
from lab.site import VO
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.gateway_stores import claimed
from tests.inprocess import InProcess, Serve
from tests.jedi_door import JediDoor

TASK, JOBS = 7, [11, 12, 13, 14, 15]
SEQS = "SELECT job_id, seq FROM jedi_job"


@pytest.fixture
def setupper(serve: Serve, registry: IsolatedExperiments) -> InProcess:
    """It has five jobs of a task of JEDI's, one of another task, and two that JEDI does not ask for."""
    service = serve(Setupper(registry))
    drafts = [factories.draft(number, is_jedis=True) for number in JOBS]
    drafts.append(factories.draft(16, is_jedis=True, task_id=8))
    service.handle(factories.submit(*drafts, factories.draft(17), factories.draft(18, is_jedis=True, vo="era")))
    return service


def pages(jedi: JediDoor, **asked: Any) -> Iterator[list[dict[str, Any]]]:
    """The results page by page, each asked for when it is wanted."""
    after = None
    while True:
        answer = jedi.ask("replay", **asked, after=after)
        assert (answer["ok"], answer["msg_type"]) == (True, "replay_reply"), answer
        yield answer["results"]
        after = answer.get("next")
        if after is None:
            return


def told(found: list[dict[str, Any]]) -> list[tuple[int, str, int]]:
    """What is told of which job."""
    return [(one["jobid"], one["status"], one["seq"]) for one in found]


@pytest.mark.parametrize(
    ("asked", "jobs"),
    [
        ({"taskid": TASK}, JOBS),
        ({"taskid": TASK, "vo": VO}, JOBS),
        ({"taskid": TASK, "vo": "era"}, [18]),
        ({"taskid": 99}, []),
        ({"jobids": [16, 13, 13, 17, 18, 99]}, [13, 16]),
        ({"since": 0}, [*JOBS, 16]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 500])
def test_each_way_to_ask(
    jedi: JediDoor, setupper: InProcess, database: Database, asked: dict[str, Any], jobs: list[int], limit: int
) -> None:
    seqs = dict(database.rows(SEQS))
    found = list(pages(jedi, limit=limit, **asked))
    assert all(len(page) <= limit for page in found)
    everything = [one for page in found for one in page]
    assert told(everything) == [(job_id, "defined", seqs[job_id]) for job_id in jobs]
    assert {(one["msg_type"], one["source"], one["prev_status"]) for one in everything} <= {
        ("job_status", "replay", None)
    }


def test_ended_jobs_are_told_whole_from_the_archive_too(
    jedi: JediDoor, setupper: InProcess, clock: Clock, database: Database
) -> None:
    jedi.watch(*(KillJob(job_id=number, code=51, actor="jedi", reason="no") for number in (11, 12)))
    enter(database, [11], State.CLOSED, deadline_at="-1 hour")
    clock.round("archive")
    assert database.rows("SELECT job_id FROM job_ended") == [(11,)]
    seqs = dict(database.rows(SEQS))
    (page,) = pages(jedi, taskid=TASK)
    assert told(page)[:2] == [(11, "closed", seqs[11]), (12, "closed", seqs[12])]
    for one in page[:2]:
        assert (one["final"], one["jobsubstatus"], one["taskbuffererrorcode"]) == (True, "toreassign", 100)
        assert len(one["files"]) == 3
    assert "final" not in page[2]


def test_pages_go_on_while_jobs_do(jedi: JediDoor, setupper: InProcess, database: Database, database_url: str) -> None:
    """By task each job comes once, as it is then. By number, what moves on meanwhile is told anyway."""
    by_task, by_number = pages(jedi, limit=2, taskid=TASK), pages(jedi, limit=2, since=0)
    before = told(next(by_task)), told(next(by_number))
    assert before[0] == before[1]
    setupper.handle(*setupper.outlet.messages("job.defined"))
    assert claimed(database_url) == [11]
    seqs = dict(database.rows(SEQS))
    rest = [one for page in by_task for one in told(page)]
    assert rest == [(number, "activated", seqs[number]) for number in JOBS[2:]]
    assert [one for page in by_number for one in told(page)] == []
    (again,) = pages(jedi, since=max(seq for _, _, seq in before[0]))
    assert {job_id: state for job_id, state, _ in told(again)} == {
        11: "sent",
        **dict.fromkeys([*JOBS[1:], 16], "activated"),
    }


def test_the_same_replay_is_read_anew(jedi: JediDoor, setupper: InProcess, database: Database) -> None:
    first = jedi.ask("replay", jobids=[11], msg_id="once")
    setupper.handle(*setupper.outlet.messages("job.defined"))
    again = jedi.ask("replay", jobids=[11], msg_id="once")
    assert [one["results"][0]["status"] for one in (first, again)] == ["defined", "activated"]
    assert database.value("SELECT count(*) FROM jedi_request") == 0


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "one of since, taskid and jobids"),
        ({"since": 1, "taskid": TASK}, "one of since, taskid and jobids"),
        ({"since": -1}, "since"),
        ({"jobids": []}, "jobids"),
        ({"jobids": list(range(1, 1002))}, "jobids"),
        ({"taskid": TASK, "limit": 501}, "limit"),
        ({"taskid": TASK, "after": "1-2"}, "after"),
        ({"since": 0, "after": "7"}, "after"),
        ({"since": 0, "after": "x"}, "after"),
    ],
)
def test_what_cannot_be_asked_is_answered_with_the_reason(
    jedi: JediDoor, database: Database, asked: dict[str, Any], why: str
) -> None:
    answer = jedi.ask("replay", **asked)
    assert (answer["ok"], why in answer["error"]) == (False, True), answer
    assert database.value("SELECT count(*) FROM dead_letter") == 1
