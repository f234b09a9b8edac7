"""Kills and releases by message: what becomes of each job is answered at once, and kept until it is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from consumers.watcher import Watcher
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put
from tests.integration.test_process import Creator
from tests.jedi_side import Door, job, request

CASES: list[tuple[State, str | None, Any, str, State]] = [
    (State.PENDING, None, 50, "killed", State.CANCELLED),
    (State.DEFINED, None, "51", "killed", State.CLOSED),
    (State.ACTIVATED, None, 52, "killed", State.CANCELLED),
    (State.SENT, None, "50", "killed", State.CANCELLED),
    (State.RUNNING, None, 50, "kill_requested", State.RUNNING),
    (State.RUNNING, "tobekilled", 50, "kill_requested", State.RUNNING),
    (State.RUNNING, "tobekilled", 52, "killed", State.CANCELLED),
    (State.HOLDING, None, 51, "killed", State.CLOSED),
    (State.FINISHED, None, 50, "already_final", State.FINISHED),
]


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    one = Door(database_url)
    yield one
    one.close()


def test_what_becomes_of_a_job_is_what_was_answered(door: Door, serve: Serve, database: Database) -> None:
    ids = door.submit([job(n) for n in range(len(CASES))])
    for job_id, (state, command, *_) in zip(ids, CASES, strict=True):
        put(database, [job_id], state)
        database.execute("UPDATE job SET command = %s WHERE job_id = %s", (command, job_id))
    codes = [code for _, _, code, _, _ in CASES]
    asked = [
        request("kill_jobs", jobids=[i], code=code, comment="why\nnot") for i, code in zip(ids, codes, strict=True)
    ]
    assert [door.results(one)[0]["result"] for one in asked] == [result for *_, result, _ in CASES]
    kills = [one for one in door.inside.outlet.messages("kill") if isinstance(one, KillJob)]
    assert {(kill.actor, kill.reason) for kill in kills} == {("jedi", "why not")}
    assert len(kills) == len(CASES) - 2, "not of what is final, nor of a pilot that is told already"
    assert database.value("SELECT count(*) FROM request WHERE routing_key = 'kill'") == len(kills)
    serve(Watcher(LIMITS)).handle(*kills)
    states = [State(state) for (state,) in database.rows("SELECT state FROM job ORDER BY job_id")]
    assert states == [state for *_, state in CASES]
    assert database.value("SELECT count(*) FROM request") == 0


def test_only_jedis_jobs_are_killed_and_each_named_one_is_answered(
    door: Door, serve: Serve, database: Database, clock: Clock
) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    mine, archived = door.submit([job(1), job(2)])
    enter(database, [archived], State.FINISHED, 2 * 86400, deadline_at="-1 s")
    clock.round("archive")
    assert database.value("SELECT count(*) FROM job_ended") == 1
    asked = request("kill_jobs", jobids=[mine, 1, str(mine), archived, 10**12], kill_options=["keepUnmerged", "x"])
    assert [(one["jobid"], one["result"]) for one in door.results(asked)] == [
        (mine, "killed"), (1, "forbidden"), (mine, "killed"), (archived, "already_final"), (10**12, "not_found")
    ]  # fmt: skip
    (kill,) = door.inside.outlet.messages("kill")
    assert isinstance(kill, KillJob)
    assert (kill.job_id, kill.code, kill.keep_unmerged, kill.reason) == (mine, 50, True, "x")
    ((actor, detail),) = database.rows("SELECT actor, detail FROM audit WHERE action = 'kill_requested'")
    assert (actor, detail["job_ids"], detail["msg_id"]) == ("jedi", str(mine), asked["msg_id"])


def test_only_pending_jobs_of_jedis_are_released(door: Door, serve: Serve, database: Database) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1), to_pending=True))
    waiting, gone, ended = door.submit([job(n) for n in range(3)], to_pending=True)
    put(database, [gone], State.ACTIVATED)
    put(database, [ended], State.CANCELLED)
    asked = request("release_jobs", jobids=[waiting, 1, gone, ended, 10**12, waiting])
    assert [one["result"] for one in door.results(asked)] == [
        "released", "forbidden", "already_released", "already_final", "not_found", "released"
    ]  # fmt: skip
    (release,) = door.inside.outlet.messages("release")
    assert release.job_ids == (waiting,)
