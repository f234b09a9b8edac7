"""What JEDI wants of a whole task: priority and share of all its live jobs, held from pilots and let go."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from consumers.setupper import Setupper
from lab.site import QUEUE
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.messages import MOST_OF_TASK, KillJob, ThrottleJobs
from plugins.experiments.registry import IsolatedExperiments
from sql.gateway_store import GatewayStore
from tests import factories
from tests.clockwork import Clock, said
from tests.driver import Database
from tests.gateway_stores import claimed, given, seat, with_store
from tests.inprocess import InProcess, Serve, put, steps
from tests.jedi_door import JediDoor
from tests.polling import wait_until
from tests.waiting_jobs import add_jobs

TASK = 7
STATES = "SELECT job_id, state FROM job ORDER BY job_id"
TOLD = """SELECT job_id, state, body ->> 'gshare' FROM jedi_message WHERE kind = 'job_status' AND state = prev
          ORDER BY job_id, seq"""
LIVE = (1, "activated"), (2, "activated"), (3, "activated"), (6, "running"), (7, "assigned")
AUDIT = "SELECT actor, action, object, detail - 'msg_id' FROM audit ORDER BY audit_id"


@pytest.fixture
def setupper(serve: Serve, registry: IsolatedExperiments) -> InProcess:
    """Whoever activates jobs."""
    return serve(Setupper(registry))


def submit(setupper: InProcess, *job_ids: int, task_id: int = TASK, is_jedis: bool = True) -> None:
    """New jobs, not set up yet."""
    drafts = (factories.draft(number, task_id=task_id, is_jedis=is_jedis, priority=500) for number in job_ids)
    setupper.handle(factories.submit(*drafts))


def set_up(setupper: InProcess) -> None:
    """Activate what is defined."""
    events = setupper.outlet.messages("job.defined")
    setupper.outlet.taken.clear()
    setupper.handle(*events)


def test_the_priority_of_a_task_is_that_of_its_live_jobs_at_once(
    jedi: JediDoor, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 4), is_jedis=True, task_id=TASK, priority=500)
    add_jobs(database_url, range(4, 5), is_jedis=True, task_id=8, priority=600)
    add_jobs(database_url, range(5, 6), task_id=TASK, priority=400)
    for number, state in (*LIVE[3:], (8, "finished")):
        add_jobs(database_url, range(number, number + 1), is_jedis=True, task_id=TASK, state=state, priority=500)
    answer = jedi.ask("set_priority", taskid=TASK, priority=700)
    assert (answer["msg_type"], answer["ok"], answer["taskid"]) == ("set_priority_reply", True, TASK)
    assert answer["results"] == [{"taskid": TASK, "jobs": 5}]
    found = dict(database.rows("SELECT job_id, priority FROM job"))
    assert found == {1: 700, 2: 700, 3: 700, 4: 600, 5: 400, 6: 700, 7: 700, 8: 500}
    assert claimed(database_url) == [1], "before the other task's job"
    jedi.ask("set_priority", taskid=TASK, priority=-1)
    jedi.ask("set_priority", taskid=TASK, priority=-1)
    assert claimed(database_url, 5) == [4, 5, 2, 3]
    detail = {"jobs": 5, "priority": 700}
    assert database.rows(AUDIT)[0] == ("jedi", "priority_set", f"task {TASK}", detail)
    assert database.value("SELECT count(*) FROM request") == 0, "all is done"
    now = [(number, state if number > 1 else "sent", None) for number, state in LIVE]
    assert database.rows(TOLD) == sorted([(number, state, None) for number, state in LIVE] + now)


def test_of_two_priorities_the_newer_counts(jedi: JediDoor, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 2), is_jedis=True, task_id=TASK)
    jedi.ask("set_priority", taskid=TASK, priority=1, works=False)
    late = list(jedi.outlet.taken)
    jedi.outlet.taken = []
    jedi.ask("set_priority", taskid=TASK, priority=2)
    jedi.outlet.taken = late
    jedi.work()
    assert database.rows("SELECT priority FROM job UNION ALL SELECT priority FROM job_waiting") == [(2,), (2,)]


def test_the_share_is_in_the_specification(jedi: JediDoor, database: Database, database_url: str) -> None:
    for number, task_id, state in ((1, TASK, "activated"), (2, 8, "running"), (3, 9, "activated"), (4, TASK, "closed")):
        add_jobs(database_url, range(number, number + 1), is_jedis=True, task_id=task_id, state=state)
    answer = jedi.ask("set_share", taskids=[8, TASK, 8], gshare="Upgrade")
    assert answer["results"] == [{"taskid": TASK, "jobs": 1}, {"taskid": 8, "jobs": 1}]
    assert "taskid" not in answer
    shares = dict(database.rows("SELECT job_id, spec ->> 'gshare' FROM job_spec"))
    assert shares == {1: "Upgrade", 2: "Upgrade", 3: None, 4: None}
    assert database.rows(TOLD) == [(1, "activated", "Upgrade"), (2, "running", "Upgrade")]
    assert jedi.ask("set_share", taskid=9, gshare="Test")["results"] == [{"taskid": 9, "jobs": 1}]


@pytest.mark.parametrize("state", list(State))
def test_a_task_holds_what_waits_for_pilots_and_lets_it_go(
    jedi: JediDoor, database: Database, database_url: str, state: State
) -> None:
    add_jobs(database_url, range(1, 2), is_jedis=True, task_id=TASK, state=state.value)
    if state is State.THROTTLED:
        database.execute("INSERT INTO held_task (task_id, actor) VALUES (7, 'jedi')")
    answer = jedi.ask("hold_task", taskid=TASK)
    assert answer["results"] == [{"taskid": TASK, "jobs": int(state not in FINAL)}]
    is_waiting = state in (State.ACTIVATED, State.THROTTLED)
    assert database.rows(STATES) == [(1, "throttled" if is_waiting else state)]
    assert claimed(database_url) == []
    jedi.ask("resume_task", taskid=TASK)
    assert database.rows(STATES) == [(1, "activated" if is_waiting else state)]
    assert claimed(database_url) == ([1] if is_waiting else [])


def test_what_becomes_activated_while_its_task_is_held_is_held_too(
    jedi: JediDoor, setupper: InProcess, clock: Clock, database: Database, database_url: str
) -> None:
    submit(setupper, 1, 2, 3, 4)
    submit(setupper, 5, task_id=8)
    submit(setupper, 6, is_jedis=False)
    jedi.ask("hold_task", taskid=TASK)
    set_up(setupper)
    assert database.states() == {"activated": 6}
    assert claimed(database_url, 9) == [5, 6], "no others"
    jedi.watch(KillJob(job_id=4, code=52, actor="jedi"))
    clock.round("held_jobs")
    asked = [one for one in said(database) if isinstance(one, ThrottleJobs)]
    assert sorted(job_id for one in asked for job_id in one.job_ids) == [1, 2, 3, 4]
    jedi.watch(*asked)
    assert database.rows(STATES)[:4] == [(1, "throttled"), (2, "throttled"), (3, "throttled"), (4, "cancelled")]
    jedi.watch(KillJob(job_id=3, code=52, actor="jedi"))
    clock.round("held_jobs")
    clock.round("held_tasks")
    assert not any(isinstance(one, ThrottleJobs) for one in said(database)), "once"
    jedi.ask("resume_task", taskid=TASK)
    assert sorted(claimed(database_url, 9)) == [1, 2], "no killed ones"
    assert [event for _, event in steps(database, 1)][2:] == ["throttled", "unthrottled", "acquired"]
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_what_is_activated_and_not_throttled_yet_is_let_go_with_its_task(
    jedi: JediDoor, setupper: InProcess, clock: Clock, database: Database, database_url: str
) -> None:
    """Whether the daemon has asked for its throttling by then, and whether the Watcher has done that."""
    submit(setupper, 1, 2)
    jedi.ask("hold_task", taskid=TASK)
    set_up(setupper)
    clock.round("held_jobs")
    late = [one for one in said(database) if isinstance(one, ThrottleJobs)]
    submit(setupper, 3)
    set_up(setupper)
    jedi.ask("resume_task", taskid=TASK)
    jedi.watch(*late)
    clock.round("held_jobs")
    jedi.watch(*(one for one in said(database) if isinstance(one, ThrottleJobs)))
    assert database.states() == {"activated": 3}
    assert sorted(claimed(database_url, 9)) == [1, 2, 3]


def test_who_activates_and_who_holds_wait_for_each_other(
    jedi: JediDoor, setupper: InProcess, database: Database, database_url: str
) -> None:
    """A job that is activated before the hold is among those that are throttled, and never slips through."""
    submit(setupper, 1)
    with psycopg.connect(database_url) as activating:
        activating.execute("SELECT pg_advisory_xact_lock_shared(hashint8extended(7, 3))")
        holding = threading.Thread(target=jedi.ask, args=("hold_task",), kwargs={"taskid": TASK})
        holding.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
        wait_until(lambda: database.value(waits) == 1, "the hold waits")
        assert database.value("SELECT count(*) FROM held_task") == 0
        activating.execute("UPDATE job SET state = 'activated', version = 2 WHERE job_id = 1")
    holding.join()
    assert database.rows(STATES) == [(1, "throttled")]
    submit(setupper, 2)
    with psycopg.connect(database_url) as resuming:
        resuming.execute("SELECT pg_advisory_xact_lock(hashint8extended(7, 3))")
        activating_too = threading.Thread(target=set_up, args=(setupper,))
        activating_too.start()
        wait_until(lambda: database.value(waits) == 1, "the Setupper waits")
        resuming.execute("DELETE FROM held_task")
    activating_too.join()
    assert claimed(database_url) == [2]


def test_a_job_whose_answer_reached_nobody_is_held_with_its_task(
    jedi: JediDoor, clock: Clock, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 2), is_jedis=True, task_id=TASK)

    async def scene(store: GatewayStore) -> None:
        one = await given(store, seat())
        database.execute("INSERT INTO held_task (task_id, actor) VALUES (7, 'jedi')")
        await store.claims.give_back([one])

    with_store(database_url, scene)
    assert database.states() == {"activated": 1}
    assert claimed(database_url) == []
    clock.round("held_jobs")
    jedi.watch(*(one for one in said(database) if isinstance(one, ThrottleJobs)))
    assert database.states() == {"throttled": 1}


def test_a_program_that_knows_no_held_tasks_is_set_right_within_a_minute(
    jedi: JediDoor, clock: Clock, database: Database, database_url: str
) -> None:
    jedi.ask("hold_task", taskid=TASK)
    add_jobs(database_url, range(1, 3), is_jedis=True, task_id=TASK)
    add_jobs(database_url, range(3, 4), task_id=TASK)
    clock.round("held_tasks")
    jedi.watch(*(one for one in said(database) if isinstance(one, ThrottleJobs)))
    assert database.states() == {"throttled": 2, "activated": 1}


def test_a_large_task_is_asked_in_portions(jedi: JediDoor, database: Database, database_url: str) -> None:
    jobs = 2 * MOST_OF_TASK + 1
    add_jobs(database_url, range(1, jobs + 1), is_jedis=True, task_id=TASK)
    for msg_type, wanted in (("hold_task", {}), ("resume_task", {}), ("set_priority", {"priority": 3})):
        answer = jedi.ask(msg_type, works=False, taskid=TASK, **wanted)
        assert answer["results"] == [{"taskid": TASK, "jobs": jobs}]
        assert database.value("SELECT count(*) FROM request") == 3
        jedi.work()
        assert database.value("SELECT count(*) FROM request") == 0
    assert database.rows("SELECT site, priority, count(*) FROM job_waiting GROUP BY 1, 2") == [(QUEUE, 3, jobs)]


@pytest.mark.parametrize(
    ("msg_type", "fields", "why"),
    [
        ("set_priority", {"taskid": TASK}, "priority"),
        ("set_priority", {"taskid": TASK, "priority": 2**31}, "priority"),
        ("set_priority", {"taskid": "NULL", "priority": 1}, "taskid"),
        ("set_share", {"taskid": TASK, "gshare": ""}, "gshare"),
        ("set_share", {"gshare": "Test"}, "taskid"),
        ("set_share", {"taskid": 1, "taskids": [1], "gshare": "Test"}, "taskid"),
        ("set_share", {"taskids": list(range(1, 102)), "gshare": "Test"}, "taskids"),
        ("hold_task", {}, "taskid"),
        ("resume_task", {"taskid": 0}, "taskid"),
    ],
)
def test_what_cannot_be_done_is_answered_with_the_reason(
    jedi: JediDoor, database: Database, msg_type: str, fields: dict[str, Any], why: str
) -> None:
    answer = jedi.ask(msg_type, **fields)
    assert (answer["ok"], why in answer["error"]) == (False, True), answer
    assert database.value("SELECT count(*) FROM held_task") == 0
    assert database.value("SELECT count(*) FROM dead_letter") == 1


@pytest.mark.parametrize("msg_type", ["set_priority", "set_share", "hold_task", "resume_task"])
def test_a_task_that_nobody_knows_has_no_jobs_and_the_same_request_the_same_answer(
    jedi: JediDoor, database: Database, database_url: str, msg_type: str
) -> None:
    ask: dict[str, Any] = {"taskid": TASK, "priority": 1, "gshare": "Test", "msg_id": "once"}
    answer = jedi.ask(msg_type, **ask)
    assert (answer["ok"], answer["results"]) == (True, [{"taskid": TASK, "jobs": 0}])
    add_jobs(database_url, range(1, 2), is_jedis=True, task_id=TASK, state="throttled")
    assert jedi.ask(msg_type, **ask) == answer
    assert database.rows("SELECT state, priority FROM job") == [("throttled", 1000)], "nothing is done"
    assert len(database.rows(AUDIT)) == 1


def test_a_held_task_is_held_again_without_harm(jedi: JediDoor, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 2), is_jedis=True, task_id=TASK)
    for msg_type, state in (("hold_task", "throttled"), ("resume_task", "activated")):
        for _ in range(2):
            jedi.ask(msg_type, taskid=TASK)
            assert database.states() == {state: 1}
    assert [event for _, event in steps(database, 1)] == ["throttled", "unthrottled"]
    put(database, [1], State.RUNNING)
    jedi.ask("hold_task", taskid=TASK)
    assert database.states() == {"running": 1}
