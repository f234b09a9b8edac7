"""Access as callers meet it: who may submit, kill and describe what; what is written down of it; ten thousand kills."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.access.identity import Identity
from lab.site import QUEUE, VO
from panda_fsm.messages import ReassignJob, ReleaseJobs
from panda_fsm.specs.names import JOB_ATTRIBUTES
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

SUBMIT, KILL, DESCRIBE = "/api/v1/job/submit", "/api/v1/job/kill", "/api/v1/job/get_description"
REASSIGN = "/api/v1/job/reassign"
AUDIT = "SELECT actor, action, object, detail FROM audit ORDER BY audit_id"
As = Callable[..., Caller]


@pytest.fixture
def caller(gateway: Processes) -> Iterator[As]:
    """Somebody with these claims."""
    made: list[Caller] = []

    def make(subject: str, **claims: Any) -> Caller:
        made.append(Caller(gateway.gateway_url, subject, **claims))
        return made[-1]

    yield make
    for one in made:
        one.close()


def job(label: str = "user", priority: int = 1000, vo: str = VO, locked_by: str = "NULL") -> list[Any]:
    """One job as panda-client sends it."""
    attributes: list[Any] = ["NULL"] * 126
    named = {"computingSite": QUEUE, "prodSourceLabel": label, "currentPriority": priority, "VO": vo}
    named["lockedby"] = locked_by
    for name, value in named.items():
        attributes[JOB_ATTRIBUTES.index(name)] = value
    return [*attributes, []]


def test_production_submits_for_its_vo_and_each_submission_is_written_down(
    caller: As, database: Database, broker_url: str
) -> None:
    user, manager = caller("user-1"), caller("boss", name="The Boss", groups=[f"{VO}/production"])
    stranger = caller("boss-2", groups=["era/production"], roles=["production"])
    managed = {"jobs": json.dumps([job(), job("managed", 9000)])}
    for one in (user, stranger):
        refused = one.http.post(SUBMIT, json=managed)
        assert refused.status_code == 403
        assert refused.json()["message"] == f"job 1: prodSourceLabel: managed needs the production role of the VO {VO}"
    urgent = user.http.post(SUBMIT, json={"jobs": json.dumps([job(priority=4001)])})
    assert (urgent.status_code, "job 0: currentPriority: 4001" in urgent.json()["message"]) == (403, True)
    assert database.rows(AUDIT) == []
    # Who is in one VO submits for it without saying so.
    ids = [
        answered[0] for answered in manager.post(SUBMIT, {"jobs": [job(vo="NULL"), job("managed", vo="NULL")]})["data"]
    ]
    assert len(received(broker_url, "setupper.submissions", 1)) == 1
    assert database.rows(AUDIT) == [
        (manager.key, "jobs_submitted", f"jobs {ids[0]}-{ids[1]}",
         {"name": "The Boss", "jobs": 2, "job_ids": f"{ids[0]}-{ids[1]}", "labels": ["managed", "user"], "vos": [VO]})
    ]  # fmt: skip


def test_a_job_is_jedis_where_production_of_its_vo_says_so(caller: As, broker_url: str) -> None:
    """The destination blocks of such jobs close by themselves."""
    sent = {"jobs": [job(locked_by="jedi"), job(vo="era", locked_by="jedi"), job()]}
    for who in (caller("user-1"), caller("boss", groups=[f"{VO}/production"])):
        who.post(SUBMIT, sent)
    taken = {one.owner: [each.is_jedis for each in one.jobs] for one in received(broker_url, "setupper.submissions", 2)}
    assert sorted(taken.values()) == [[False, False, False], [True, False, False]]


def test_production_kills_in_its_vo_or_working_group_only(
    caller: As, database: Database, database_url: str, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 3), state="running", label="managed")
    add_jobs(database_url, range(3, 5), state="running", label="managed", vo="era")
    add_jobs(database_url, range(5, 8), state="running", label="managed", vo="third")
    group = """UPDATE job_spec SET spec = spec || '{"working_group": "AP_HIGG"}' WHERE job_id IN (1, 5)"""
    database.execute(group)
    manager = caller("boss", groups=["era/production", f"{VO}/pilot", "/third/higg/production"])
    ask = {"job_ids": [1, 2, 3, 4, 5, 6], "code": 9, "kill_options": ["keepUnmerged"]}
    assert manager.post(KILL, ask)["data"] == [False, False, True, True, True, False]
    kills = received(broker_url, "watcher", 3)
    assert {(kill.actor, kill.actor_key, kill.forced) for kill in kills} == {("boss", manager.key, True)}
    assert database.rows(AUDIT) == [
        (manager.key, "kill_requested", "jobs 3-5",
         {"name": "boss", "jobs": 3, "job_ids": "3-5", "code": 9, "reason": "", "forced": 3,
          "keep_unmerged": True})
    ]  # fmt: skip
    assert caller("boss", iss="another").post(KILL, ask)["data"] == [False] * 6
    assert database.value("SELECT count(*) FROM audit") == 1


def test_who_has_a_name_or_a_key_like_the_owner_is_not_the_owner(caller: As, database_url: str) -> None:
    add_jobs(database_url, range(1, 2), owner=Identity("a", "b|c", "").key, user_name="Jane Doe")
    for claims in ({"iss": "a|b", "sub": "c", "name": "Jane Doe"}, {"iss": "", "sub": "a|b|c", "name": "Jane Doe"}):
        assert caller("x", **claims).post(KILL, {"job_ids": [1]})["data"] == [False]
    assert caller("x", iss="a", sub="b|c", name="John Roe").post(KILL, {"job_ids": [1]})["data"] == [True]


def test_kills_of_many_jobs_are_one_request(caller: As, database: Database, database_url: str, broker_url: str) -> None:
    user = caller("user-1")
    add_jobs(database_url, range(1, 901), owner=user.key, state="running")
    add_jobs(database_url, range(901, 951), owner=user.key, state="finished")
    answer = user.post(KILL, {"job_ids": list(range(1, 1_001)), "code": 3})
    assert answer["data"] == [True] * 900 + [False] * 100
    assert database.value("SELECT count(*) FROM request WHERE routing_key = 'kill'") == 900
    ((_, action, what, detail),) = database.rows(AUDIT)
    assert (action, what, detail["jobs"], detail["job_ids"]) == ("kill_requested", "jobs 1-900", 900, "1-900")
    assert len({kill.job_id for kill in received(broker_url, "watcher", 900)}) == 900


STATES = ("pending", "waiting", "assigned", "activated", "defined", "throttled", "running")


def test_production_releases_and_reassigns_in_its_vo(
    caller: As, database: Database, database_url: str, broker_url: str
) -> None:
    """What is unknown, too late or somebody else's is no error."""
    for first, state in enumerate(STATES, 1):
        add_jobs(database_url, range(first, first + 1), state=state)
    add_jobs(database_url, range(8, 9), vo="era", state="pending")
    ask = {"job_ids": [*range(1, 9), 10**12]}
    manager = caller("boss", groups=[f"{VO}/production"])
    assert manager.post(REASSIGN, ask) == {"success": True, "message": "", "data": None}
    asked = received(broker_url, "setupper", 4)
    assert {one.actor for one in asked} == {"boss"}
    assert sorted((one.job_ids, type(one)) for one in asked) == [
        ((1,), ReleaseJobs), ((2,), ReassignJob), ((3,), ReassignJob), ((4,), ReassignJob)
    ]  # fmt: skip
    kept = "SELECT routing_key, count(*) FROM request GROUP BY routing_key ORDER BY routing_key"
    assert database.rows(kept) == [("reassign", 3), ("release", 1)]
    detail = {"name": "boss", "jobs": 4, "job_ids": "1-4"}
    assert database.rows(AUDIT) == [(manager.key, "reassign_requested", "jobs 1-4", detail)]
    assert manager.post(REASSIGN, {"job_ids": [5, 6, 7]})["success"], "nothing to do"
    assert caller("boss-2", groups=["other/production"]).post(REASSIGN, ask)["success"]
    assert database.value("SELECT count(*) FROM audit") == 1
    assert caller("user-1").http.post(REASSIGN, json=ask).status_code == 403
    assert caller("").http.post(REASSIGN, json=ask).status_code == 401


def test_jedi_reassigns_right_after_it_handed_its_jobs_over(
    caller: As, database: Database, database_url: str, broker_url: str
) -> None:
    """All of a cycle at once: pending ones are released, others are on their way already or not here yet."""
    for first, state in enumerate(STATES, 1):
        add_jobs(database_url, range(first, first + 1), state=state, is_jedis=True)
    add_jobs(database_url, range(3001, 5001), state="pending", is_jedis=True)
    manager = caller("boss", groups=[f"{VO}/production"])
    on_its_way = manager.post(SUBMIT, {"jobs": [job()]})["data"][0][0]
    done = {"success": True, "message": "", "data": None}
    for nothing in ([*range(2, 8)], [on_its_way, on_its_way + 1], [*range(10**12, 10**12 + 20_000)]):
        assert manager.post(REASSIGN, {"job_ids": nothing}) == done
    assert database.rows("SELECT DISTINCT routing_key FROM request") == [("submit",)]
    assert manager.post(REASSIGN, {"job_ids": [*range(1, 8), on_its_way, *range(3001, 13_001)]}) == done
    asked = received(broker_url, "setupper", 3)
    assert [len(one.job_ids) for one in asked] == [1000, 1000, 1]
    assert sorted(job_id for one in asked for job_id in one.job_ids) == [1, *range(3001, 5001)]


def test_parameters_are_described_to_others_where_that_is_allowed(
    processes: Processes, caller: As, database_url: str
) -> None:
    user, other = caller("user-1"), caller("user-2")
    manager = caller("boss", groups=[f"{VO}/production"])
    add_jobs(database_url, range(1, 2), owner=user.key)
    whole = user.post(DESCRIBE, {"job_ids": [1]})["data"]
    assert len(whole[0]["Files"]) == 3
    assert other.post(DESCRIBE, {"job_ids": [1]})["data"] == whole
    processes.stop("gateway")
    processes.start("gateway", PANDA_FSM_DESCRIBE_OTHERS="false")
    processes.wait_until_ready()
    for one in (user, manager):
        assert one.post(DESCRIBE, {"job_ids": [1]})["data"] == whole
    withheld: dict[str, Any] = {"jobParameters": None, "metadata": None, "Files": []}
    assert other.post(DESCRIBE, {"job_ids": [1]})["data"] == [whole[0] | withheld]
    assert other.post("/api/v1/job/get_description_incl_archive", {"job_ids": [1]})["data"] == [whole[0] | withheld]
