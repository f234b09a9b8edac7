"""How jobs end that somebody or the daemon wants gone, on real services: many at once, at the wrong moment, in time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from consumers.adder import Adder
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, KillJob, decode
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, appointment_s, enter, overdue, said
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.inprocess import LIMITS, InProcess, Serve, put
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

S = State
KILL, UPDATE = "/api/v1/job/kill", "/api/v1/pilot/update_job"
MANY = 10_000
RACES = 40
HOUR, DAY = 3600, 86400


def test_ten_thousand_jobs_are_ended_by_one_request(
    user: Caller, gateway: Processes, database: Database, database_url: str
) -> None:
    """Not only accepted: each has its end, its error, its place in the queue given up and its outputs settled."""
    add_jobs(database_url, range(1, MANY + 1), owner=user.key)
    gateway.start("watcher")
    assert user.post(KILL, {"job_ids": list(range(1, MANY + 1)), "code": 3})["data"] == [True] * MANY
    wait_until(lambda: database.states() == {"cancelled": MANY}, "their ends", 60)
    assert database.value("SELECT count(*) FROM job WHERE errors -> 'task_buffer' ->> 'code' = '103'") == MANY
    assert database.value("SELECT count(*) FROM job_file WHERE type <> 'input' AND status = 'failed'") == 2 * MANY
    wait_until(lambda: database.value("SELECT count(*) FROM request") == 0, "nothing left to be handled")
    assert database.value("SELECT count(*) FROM job_waiting") == 0
    assert user.post(KILL, {"job_ids": [1, MANY], "code": 3})["data"] == [False, False]
    assert user.http.post(KILL, json={"job_ids": list(range(1, MANY + 2))}).status_code == 413


def test_the_sub_status_that_a_kill_asks_for(
    user: Caller, database: Database, database_url: str, broker_url: str, serve: Serve
) -> None:
    add_jobs(database_url, range(1, 4), owner=user.key)
    asked = [
        {"job_ids": [1], "code": 51, "kill_options": ["keepUnmerged", "jobSubStatus=" + "x" * 200, "because"]},
        {"job_ids": [2], "code": 51}, {"job_ids": [3], "code": 3, "killOpts": "jobSubStatus="},
    ]  # fmt: skip
    assert [user.post(KILL, ask)["data"] for ask in asked] == [[True]] * 3
    kills = received(broker_url, "watcher", 3)
    assert sorted((kill.job_id, kill.reason, kill.sub_status, kill.keep_unmerged) for kill in kills) == [
        (1, "because", "x" * 80, True), (2, "", None, None), (3, "", None, None),
    ]  # fmt: skip
    serve(Watcher(LIMITS)).handle(*kills)
    described = user.post("/api/v1/job/get_description", {"job_ids": [1, 2, 3]})["data"]
    assert [(job["jobStatus"], job["jobSubStatus"]) for job in described] == [
        ("closed", "x" * 80), ("closed", "toreassign"), ("cancelled", None),
    ]  # fmt: skip
    details = database.rows("SELECT detail ->> 'sub_status' FROM audit ORDER BY audit_id")
    assert details == [("x" * 80,), (None,), (None,)]


def through(serve: Serve, registry: IsolatedExperiments, database: Database, ids: Iterable[int], **fields: Any) -> None:
    """Create jobs and bring them to running."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(*(factories.draft(number, **fields) for number in ids)))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    put(database, ids, S.RUNNING)


def finish(serve: Serve, registry: IsolatedExperiments, *watchers: InProcess) -> None:
    """What happens to jobs after the last words of their pilots."""
    adder, finisher = serve(Adder(registry)), serve(Finisher())
    adder.handle(*(message for watcher in watchers for message in watcher.outlet.messages("job.holding")))
    finisher.handle(*adder.outlet.messages("job.outputs_added"))


def come_back(watcher: InProcess) -> list[AnyMessage]:
    """Messages that wait because somebody held their job."""
    back = [decode(one.body) for one in watcher.outlet.taken if one.routing_key == "test"]
    watcher.outlet.taken = [one for one in watcher.outlet.taken if one.routing_key != "test"]
    return back


def together(*deeds: Callable[[], None]) -> None:
    """Each in a thread of its own, begun at the same moment."""
    ready = threading.Barrier(len(deeds))

    def do(deed: Callable[[], None]) -> None:
        ready.wait()
        deed()

    threads = [threading.Thread(target=do, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_finish_and_kill_at_once(serve: Serve, registry: IsolatedExperiments, database: Database) -> None:
    """Whoever is first wins; nobody ends a job twice, and no end leaves a file open."""
    ids = range(1, RACES + 1)
    through(serve, registry, database, ids)
    hears, ends = serve(Watcher(LIMITS)), serve(Watcher(LIMITS))
    for number in ids:
        last, kill = factories.report(number, "finished"), KillJob(job_id=number, actor="user")
        together(partial(hears.handle, last), partial(ends.handle, kill))
        for watcher in (hears, ends):
            watcher.handle(*come_back(watcher))
    finish(serve, registry, hears)
    states = dict(database.rows("SELECT job_id, state FROM job"))
    assert set(states.values()) <= {"finished", "cancelled"}
    killed_first = "SELECT job_id FROM job WHERE command = 'tobekilled'"
    assert {states[number] for (number,) in database.rows(killed_first)} <= {"finished"}, "its pilot had finished"
    ends_of = database.rows("""SELECT h.job_id, count(*) FROM job_history h JOIN job_transition t USING (transition_id)
        WHERE t.destination IN ('finished', 'cancelled') GROUP BY 1""")
    assert dict(ends_of) == dict.fromkeys(ids, 1)
    assert (
        database.value("SELECT count(*) FROM job_file WHERE type <> 'input' AND status NOT IN ('ready', 'failed')") == 0
    )
    assert database.value("SELECT count(*) FROM dead_letter") == 0


@pytest.mark.parametrize("last", ["finished", "failed"])
def test_a_job_that_its_pilot_declared_transferring_is_finished_by_its_last_words(
    serve: Serve, registry: IsolatedExperiments, database: Database, last: str
) -> None:
    through(serve, registry, database, [1])
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "transferring"))
    ended = database.value("SELECT ended_at FROM job WHERE state = 'transferring'")
    assert ended is not None, "its payload is done"
    watcher.handle(*(factories.report(1, state) for state in ("running", "holding", "transferring")))
    assert database.states() == {"transferring": 1}
    watcher.handle(factories.report(1, last), factories.report(1, last))
    assert database.states() == {"holding": 1}
    finish(serve, registry, watcher)
    assert database.rows("SELECT state, ended_at FROM job") == [(last, ended)]


DEADLINE_S = "SELECT round(extract(epoch FROM deadline_at - {}))::int FROM job WHERE job_id = %s"


def test_heartbeats_of_what_a_pilot_declared_put_its_deadline_off(
    pilot: Caller, database: Database, database_url: str, clock: Clock
) -> None:
    add_jobs(database_url, range(1, 2), state="transferring", holder=pilot.key)
    add_jobs(database_url, range(2, 3), state="holding", holder=pilot.key)
    for job_id in (1, 2):
        answer = pilot.post(UPDATE, {"job_id": job_id, "job_status": "running", "attempt_number": 1})
        assert answer["data"]["command"] == "NULL"
    assert database.rows("SELECT state, version FROM job ORDER BY job_id") == [("transferring", 3), ("holding", 3)]
    enter(database, [1], S.TRANSFERRING, deadline_at="-1 s")
    enter(database, [2], S.HOLDING, deadline_at="-1 s")
    clock.round("deadlines")
    assert overdue(said(database)) == []
    database.execute("UPDATE job_heard SET heard_at = heard_at - interval '2 h'")
    database.execute("UPDATE job_deadline SET deadline_at = now()")
    clock.round("deadlines")
    assert overdue(said(database)) == [1], "the other one may be silent for three"


@pytest.mark.parametrize(
    ("fields", "deadlines"),
    [
        ({"label": "user"}, [4 * HOUR, 7 * DAY]),
        ({"label": "managed"}, [4 * HOUR, 2 * DAY]),
        ({"label": "managed", "no_reassign": True}, [4 * HOUR, 7 * DAY]),
    ],
)
def test_the_deadline_that_is_written_is_the_one_of_the_job(
    serve: Serve, registry: IsolatedExperiments, database: Database, fields: dict[str, Any], deadlines: list[int]
) -> None:
    """The time in the job and its appointment, when it is created and when it moves on."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1, **fields)))
    found = [database.value(DEADLINE_S.format("state_changed_at"), (1,))]
    setupper.handle(*setupper.outlet.messages("job.defined"))
    found.append(database.value(DEADLINE_S.format("state_changed_at"), (1,)))
    assert found == deadlines


@pytest.mark.parametrize(("priority", "lasts"), [(799, 6 * DAY), (800, 2 * DAY)])
def test_how_long_outputs_may_move(
    serve: Serve, registry: IsolatedExperiments, database: Database, priority: int, lasts: int
) -> None:
    away = {"priority": priority, "label": "managed", "destination": factories.SOURCE_STORAGE}
    through(serve, registry, database, [1], **away)
    watcher, adder = serve(Watcher(LIMITS)), serve(Adder(registry))
    watcher.handle(factories.report(1, "finished", attributes={"job_sub_status": "stageout"}))
    adder.handle(*watcher.outlet.messages("job.holding"))
    assert database.rows("SELECT state, pilot ->> 'job_sub_status' FROM job") == [("transferring", "")]
    assert database.value(DEADLINE_S.format("state_changed_at"), (1,)) == lasts


def test_a_job_that_is_lost_with_its_worker_says_so(
    database: Database, database_url: str, clock: Clock, serve: Serve
) -> None:
    for job_id, status in ((1, "finished"), (2, "started")):
        add_jobs(database_url, range(job_id, job_id + 1), state="running")
        pilot = json.dumps({"harvester_id": "h", "worker_id": str(job_id)})
        database.execute("UPDATE job SET pilot = %s WHERE job_id = %s", (pilot, job_id))
        database.execute("INSERT INTO worker (harvester_id, worker_id, status) VALUES ('h', %s, %s)", (job_id, status))
    enter(database, [1, 2], S.RUNNING, deadline_at="-1 s")
    clock.round("deadlines")
    serve(Watcher(LIMITS)).handle(*said(database))
    lost = ("failed", "100", "2"), ("failed", "100", None)
    codes = "SELECT state, errors -> 'job_dispatcher' ->> 'code', errors -> 'sup' ->> 'code' FROM job ORDER BY job_id"
    assert database.rows(codes) == list(lost)


def test_the_clock_looks_at_a_job_when_it_is_too_old(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """Its deadline in the state comes later."""
    through(serve, registry, database, [1])
    put(database, [1], S.STARTING)
    database.execute("UPDATE job SET created_at = now() - interval '21 days' + interval '1 h'")
    database.execute("UPDATE job_deadline SET deadline_at = now() + interval '7 days'")
    serve(Watcher(LIMITS)).handle(factories.report(1, "running"))
    assert database.value(DEADLINE_S.format("state_changed_at"), (1,)) == 2 * HOUR
    assert HOUR - 60 < appointment_s(database, 1) <= HOUR
