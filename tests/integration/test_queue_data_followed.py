"""A CRIC of 500 queues with faults: what it says of a queue its pilots follow, and what is wrong stays where it is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from panda_fsm.information.models import Kind
from tests import cric
from tests.configuring import Configuring
from tests.cric import Cric, answer
from tests.gateway_http import Caller
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

QUEUES = 500
ONE, OTHER, LARGE = "CRIC_0007", "CRIC_0008", "CRIC_0009"


@pytest.fixture
def changed(configuring: Configuring, source: Cric) -> Any:
    """Says something else of a queue, and has it asked."""

    def change(name: str, **fields: Any) -> None:
        source.documents[Kind.QUEUE][name] |= fields
        configuring.run()

    source.fill(QUEUES)
    configuring.run()
    return change


def test_pilots_follow_what_cric_says(
    configuring: Configuring, source: Cric, changed: Any, pilot: Caller, database_url: str
) -> None:
    def ask(name: str) -> Any:
        return pilot.post("/api/v1/pilot/acquire_jobs", {"site_name": name, "prod_source_label": "user"})

    wait_until(lambda: ask(LARGE)["message"] == "No jobs in PanDA", "the gateway knows them")
    for number, name in enumerate((ONE, OTHER, LARGE)):
        add_jobs(database_url, range(10 * number + 1, 10 * number + 6), site=name, min_ram=3000)
    changed(ONE, status="offline")
    wait_until(lambda: ask(ONE)["message"] == f"No jobs in PanDA: {ONE} is offline", "it is shut")
    assert ask(OTHER)["data"], "the others are not"

    changed(LARGE, maxrss=2999)
    wait_until(lambda: not ask(LARGE)["data"], "what is larger stays")
    assert "gives at most 2,999 MB of memory" in pilot.get("/ui/jobs/25.json")["why"]["sentence"]
    changed(LARGE, maxrss=3000, capability="mcore")
    assert not ask(LARGE)["data"], "a job of one core is for other queues"
    changed(LARGE, capability="score", status="test")
    wait_until(lambda: ask(LARGE)["message"] == "No jobs in PanDA", "tests only")
    changed(LARGE, status="brokeroff")
    wait_until(lambda: ask(LARGE)["data"], "what is there runs")

    changed(OTHER, status="offline", maxrss=-1)
    assert ask(OTHER)["data"], "an entry that is wrong changes nothing"
    source.faults[Kind.QUEUE] = lambda handler, _content: answer(handler, b"<html>Sign in</html>")
    changed(ONE, status="online")
    assert not ask(ONE)["data"], "nor does a source that is in trouble"
    del source.faults[Kind.QUEUE]
    changed(OTHER, maxrss=4000)
    wait_until(lambda: ask(ONE)["data"], "then it is followed")
    wait_until(lambda: not ask(OTHER)["data"], "and the entry that is right again")


def test_a_downtime_begins_and_is_told(changed: Any, pilot: Caller) -> None:
    down = {"start_time": "2020-01-01T00:00:00", "end_time": "2999-01-01T00:00:00", "description": "new disks"}
    changed(ONE, downtimes=[down])
    said = f"no jobs in PanDA: {ONE} is in downtime until 2999-01-01 00:00 UTC: new disks"
    wait_until(lambda: pilot.post("/server/panda/getJob", {"siteName": ONE}).get("errorDialog") == said, "it is shut")
    assert pilot.get(f"/cache/schedconfig/{ONE}.all.json")["status"] == "offline"
    assert cric.storage("D", "S").keys() <= pilot.get("/cache/ddmendpoints.json")[f"{ONE}_DISK"].keys()


def test_before_anybody_could_be_asked_no_queue_is_said_not_to_exist(processes: Processes, database_url: str) -> None:
    nowhere = database_url.rpartition("/")[0] + "/nowhere"
    del processes.environment["PANDA_FSM_SITES_FILE"]
    processes.start("gateway", PANDA_FSM_DATABASE_URL=nowhere)
    caller = Caller(processes.gateway_url, "pilot-1")
    try:
        wait_until(lambda: _alive(caller), "it listens")
        assert caller.http.post("/api/v1/pilot/acquire_jobs", json={"site_name": ONE}).status_code == 503
        assert caller.http.get(f"/cache/schedconfig/{ONE}.all.json").status_code == 503
    finally:
        caller.close()


def _alive(caller: Caller) -> bool:
    try:
        return caller.http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
