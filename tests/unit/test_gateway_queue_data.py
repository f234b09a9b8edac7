"""What pilots read of queues and storages: as it is now, told once to who has it already, packed where it is much."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.information.models import Downtime
from panda_fsm.sites import Known, Queue, Sites, Status, Storage
from tests.gateway_inside import Answered, Client, Store, gateway

NOW = datetime.now(UTC)
DOWN = Downtime(begins_at=NOW - timedelta(days=1), ends_at=NOW + timedelta(days=1))
QUEUES = {
    "UP": Queue(site="S", storage="D", queuedata={"nickname": "UP", "status": "offline", "maxrss": 4000}),
    "DOWN": Queue(site="S", storage="D", downtimes=(DOWN,), queuedata={"status": "online"}),
    "BARE": Queue(site="S", storage="D"),
}
STORAGES = {"D": Storage(site="S", path="/data"), "E": Storage(site="S", storagedata={"name": "E", "state": "ACTIVE"})}
KNOWN = Sites(queues=QUEUES, storages=STORAGES)
ALL, ENDPOINTS = "/cache/schedconfig/all.json", "/cache/ddmendpoints.json"


def ask(*asked: tuple[str, dict[str, str]], known: Sites | Known = KNOWN, then: Sites | None = None) -> list[Answered]:
    """The answers to these; `then` is known from the second one on."""

    async def play() -> list[Answered]:
        answers = []
        async with gateway(Store(), known=known) as door:
            for path, headers in asked:
                pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
                answers.append(await Client(door).ask("GET", path, [], pairs))
                if then is not None and isinstance(known, Known):
                    known.swap(then)
        return answers

    return asyncio.run(play())


def header(answer: Answered, name: str) -> str:
    return answer.headers.get(name, "")


def statuses(answer: Answered) -> dict[str, str]:
    return {name: one["status"] for name, one in json.loads(answer.body).items()}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/cache/schedconfig/UP.all.json", {"nickname": "UP", "status": "online", "maxrss": 4000}),
        ("/cache/schedconfig/DOWN.all.json", {"status": "offline"}),
        ("/cache/schedconfig/BARE.all.json", {"status": "online"}),
    ],
)
def test_a_queue_is_told_with_the_status_that_it_has_now(path: str, content: dict[str, Any]) -> None:
    (answer,) = ask((path, {}))
    assert (answer.status, json.loads(answer.body)) == (200, content)


@pytest.mark.parametrize("path", ["UP.json", "UP", "NOWHERE.all.json", ".all.json", "all"])
def test_of_a_queue_that_nobody_knows_it_is_said_so(path: str) -> None:
    (answer,) = ask((f"/cache/schedconfig/{path}", {}))
    assert (answer.status, json.loads(answer.body)["success"]) == (404, False)


def test_all_are_told_at_once() -> None:
    queues, endpoints = ask((ALL, {}), (ENDPOINTS, {}))
    assert statuses(queues) == {"UP": "online", "DOWN": "offline", "BARE": "online"}
    told = json.loads(endpoints.body)
    assert told["E"] == {"name": "E", "state": "ACTIVE"}, "as its source describes it"
    assert told["D"]["arprotocols"]["read_lan"][0]["path"] == "/data", "as it lies here"


@pytest.mark.parametrize("path", [ALL, ENDPOINTS, "/cache/schedconfig/UP.all.json"])
@pytest.mark.parametrize(
    ("tag", "status"), [("{}", 304), ("W/{}", 304), ('"other", {}', 304), ("*", 304), ('"x"', 200)]
)
def test_who_has_it_already_is_told_so(path: str, tag: str, status: int) -> None:
    (first,) = ask((path, {}))
    (again,) = ask((path, {"if-none-match": tag.format(header(first, "etag"))}))
    assert (again.status, again.body) == (status, first.body if status == 200 else b"")
    assert header(again, "etag") == header(first, "etag")


@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [("gzip", True), ("deflate, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0", False)],
)
def test_what_is_much_is_packed_for_who_can_unpack_it(accepts: str, is_packed: bool) -> None:
    (answer,) = ask((ALL, {"accept-encoding": accepts}))
    assert header(answer, "content-encoding") == ("gzip" if is_packed else "")
    assert json.loads(gzip.decompress(answer.body) if is_packed else answer.body).keys() == QUEUES.keys()


def test_what_has_changed_is_told_at_once() -> None:
    later = Sites(queues={"NEW": Queue(site="S", storage="D", status=Status.TEST)}, storages=STORAGES)
    before, after = ask((ALL, {}), (ALL, {}), known=Known(KNOWN), then=later)
    assert (len(statuses(before)), statuses(after)) == (3, {"NEW": "test"})
    assert header(before, "etag") != header(after, "etag")
