"""The door: who is let in, what a body may hold, how many wait and how long, and what is worked on for nobody."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.http.door import Door
from gateway.http.route import Route
from gateway.table import ROUTES
from panda_fsm.specs.names import JOB_ATTRIBUTES
from tests.gateway_inside import QUEUE, Answered, Client, Store, gateway

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
SUBMIT, DESCRIBE, KILL = "/api/v1/job/submit", "/api/v1/job/get_description", "/api/v1/job/kill"
BULK, STATUS = "/api/v1/pilot/update_jobs_bulk", "/api/v1/pilot/get_job_status"
ASK = json.dumps({"siteName": QUEUE, "prodSourceLabel": "user"}).encode()


def play(scene: Callable[[Door, Store], Awaitable[None]], **config: Any) -> None:
    """A scene with an open gateway and a store that the scene rules."""

    async def run() -> None:
        store = Store()
        async with gateway(store, **config) as door:
            try:
                await asyncio.wait_for(scene(door, store), 60)
            finally:
                store.go.set()

    asyncio.run(run())


Ask = Callable[..., Answered]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """One request after another to one gateway, which must survive them all."""
    with asyncio.Runner() as runner:
        opened = gateway(Store())
        door = runner.run(opened.__aenter__())

        def one(method: str, path: str, body: bytes = b"", query: bytes = b"", **headers: str) -> Answered:
            sent = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
            return runner.run(Client(door).ask(method, path, [body], sent, query))

        yield one
        runner.run(opened.__aexit__(None, None, None))


OURS = [
    "127.0.0.1",
    "127.0.0.1:25080",
    "localhost:1",
    "LocalHost",
    "localhost.",
    "[::1]:8000",
    "127.8.8.8",
    "ip6-localhost",
]
STRANGE = [
    "evil.example", "evil.example:25080", "", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "a b", "[",  # noqa: S104
    "localhost:x", "127.0.0.1@evil.example", "[::2]", "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
def test_called_by_its_names(ask: Ask, host: str) -> None:
    assert ask("GET", "/api/v1/system/is_alive", host=host).status == 200


@pytest.mark.parametrize("path", ["/", SUBMIT, GET_JOB, "/no/such", "/livez"])
@pytest.mark.parametrize("host", STRANGE)
def test_what_is_meant_for_others_is_not_taken(ask: Ask, host: str, path: str) -> None:
    answer = ask("POST" if "job" in path.lower() else "GET", path, ASK, host=host)
    assert answer.status == 421


def test_further_names_are_a_setting() -> None:
    async def scene(door: Door, _store: Store) -> None:
        assert (await Client(door).ask("GET", "/livez", headers=[(b"host", b"panda.example.org:443")])).status == 200
        assert (await Client(door).ask("GET", "/livez", headers=[(b"host", b"other.example.org")])).status == 421

    play(scene, hosts=("panda.example.org",))


@pytest.mark.parametrize("origin", ["http://evil.example", "https://evil.example", "null", "http://localhost:3000",
                                    "http://127.0.0.1:81", "file://", "chrome-extension://abc"])  # fmt: skip
def test_a_page_of_others_does_not_drive_it(ask: Ask, origin: str) -> None:
    answer = ask("POST", SUBMIT, b"jobs=[]", host="127.0.0.1:80", origin=origin)
    assert (answer.status, answer.json["success"]) == (403, False)


@pytest.mark.parametrize(
    "origin", ["panda_dev", "panda_dev.pilot", "vo:role", "http://127.0.0.1:80", "https://127.0.0.1:80"]
)
def test_pilots_clients_and_our_own_pages_do(ask: Ask, origin: str) -> None:
    assert ask("POST", GET_JOB, ASK, host="127.0.0.1:80", origin=origin).json["StatusCode"] == 20


@pytest.mark.parametrize("header", [
    "forwarded", "x_forwarded_for", "x_forwarded_proto", "x_forwarded_anything", "x_original_forwarded_for", "via",
    "x_real_ip", "client_ip", "x_client_ip", "true_client_ip", "fastly_client_ip", "x_cluster_client_ip",
    "cf_connecting_ip", "x_envoy_external_address", "x_proxyuser_ip", "x_remote_ip", "x_remote_addr", "remote_addr",
])  # fmt: skip
def test_nothing_stands_before_a_gateway_that_believes_whoever_reaches_it(ask: Ask, header: str) -> None:
    for _ in range(2):
        assert ask("GET", "/", b"", b"", **{header: "1.2.3.4"}).status == 403


def test_nor_one_that_writes_its_names_with_underscores_and_a_clients_own_are_its_own() -> None:
    async def scene(door: Door, _store: Store) -> None:
        for name, expected in ((b"x_forwarded_for", 403), (b"x-ip-range", 200), (b"user-agent", 200), (b"x-viad", 200)):
            assert (await Client(door).ask("GET", "/livez", headers=[(name, b"1")])).status == expected, name

    play(scene)


@pytest.mark.parametrize("second", ["panda_dev.pilot", "http://127.0.0.1"])
def test_an_origin_of_ours_hides_none_of_others(second: str) -> None:
    origins = [(b"origin", b"http://evil.example"), (b"origin", second.encode())]

    async def scene(door: Door, _store: Store) -> None:
        for headers in (origins, origins[::-1]):
            assert (await Client(door).ask("POST", SUBMIT, [b"jobs=[]"], headers)).status == 403

    play(scene)


def test_what_a_browser_says_of_itself_is_heard(ask: Ask) -> None:
    for elsewhere in ("cross-site", "Cross-Site", "same-site"):  # such is a page of another port of this machine
        assert ask("GET", GET_JOB, b"", b"siteName=Q", sec_fetch_site=elsewhere).status == 403
    assert ask("GET", "/docs", sec_fetch_site="same-origin").status == 200
    assert ask("GET", "/docs", sec_fetch_site="none").status == 200


@pytest.mark.parametrize("page", ["/", "/ui/", "/docs"])
def test_our_pages_are_in_nobodys_frame_and_of_no_other_type(ask: Ask, page: str) -> None:
    headers = ask("GET", page).headers
    assert headers["x-content-type-options"] == "nosniff"
    rules = headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} <= set(rules)
    for part in ("start.js", "swagger-ui.css"):
        assert ask("GET", f"/docs/{part}").headers["x-content-type-options"] == "nosniff"


def test_who_is_turned_away_reads_it_in_his_own_convention_and_never_as_success(ask: Ask) -> None:
    legacy = ask("POST", UPDATE_JOB, b"jobId=1&state=finished", host="evil.example")
    assert (legacy.status, legacy.json["StatusCode"]) == (421, 50)
    assert "evil.example" in legacy.json["errorDialog"]
    newer = ask("POST", "/api/v1/pilot/update_job", b"{}", origin="http://evil.example")
    assert (newer.status, newer.json["success"], newer.json["data"]) == (403, False, {"StatusCode": 70})


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["", "NULL", "null", "\x00", "a/../b", "x" * 300, "\ufffd", 2**63, -1, 1e308, "1_0", "²", "NaN"]),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=10), part, max_size=4), max_leaves=8,
)  # fmt: skip
ROWS = [route for route in ROUTES if route.model is not None]
PATHS = ["/trf/user/", "/cache/", "/cache/schedconfig/", "/docs/", "/", "/api/v1/", "/server/panda/"]


def _names(route: Route) -> list[str]:
    """What its model reads, by all its names."""
    assert route.model is not None
    names: set[str] = set()
    for name, field in route.model.model_fields.items():
        alias = field.validation_alias
        names |= {name, *(str(choice) for choice in getattr(alias, "choices", ()))}
    return sorted(names | {"xml", "metaData", "stdout", "startTime"})


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_input_is_a_fault_of_ours(ask: Ask, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROWS))
    fields = data.draw(st.dictionaries(st.sampled_from(_names(route)), VALUES, max_size=6))
    query = data.draw(st.binary(max_size=30))
    answer = ask(route.method, route.path, b"" if route.method == "GET" else json.dumps(fields).encode(), query)
    assert answer.status in (200, 400, 401, 403, 404, 413, *_away(route.path)), (fields, answer.body)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PATHS), name=st.text(max_size=300) | st.just("{name}"), body=st.binary(max_size=100),
       method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]))  # fmt: skip
def test_no_path_is_a_fault_of_ours(ask: Ask, place: str, name: str, body: bytes, method: str) -> None:
    answer = ask(method, place + name, body)
    assert answer.status in (200, 400, 403, 404, 405, *_away(place)), answer.body


def _away(path: str) -> tuple[int, ...]:
    """Pages say that the database is away: there is none here."""
    return (503,) if path == "/" or path.startswith("/ui/") else ()


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


def _named(fields: int) -> bytes:
    """A report with so many fields that nobody knows."""
    return b'{"jobId":1,"state":"running",' + b",".join(b'"%d":1' % n for n in range(fields)) + b"}"


MANY = 22_000_000 // 3
HURTING: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a bomb of empty reports": (BULK, lambda: gzip.compress(b'{"job_list":[' + b"{}," * MANY + b"{}]}")),
    "empty reports, no bomb": (BULK, lambda: b'{"job_list":[' + b"{}," * 21_000 + b"{}]}"),
    "empty jobs": (SUBMIT, lambda: b'{"jobs":[' + b"[]," * 3_000_000 + b"[]]}"),
    "truncated numbers": (SUBMIT, lambda: b'{"jobs":[' + b"1," * 5_000_000),
    "no numbers": (SUBMIT, lambda: b'{"jobs":[' + b"NaN," * 1_000_000 + b"1]}"),
    "bad ids": (DESCRIBE, lambda: b'{"job_ids":[' + b'"a",' * 200_000 + b'"a"]}'),
    "ids without end": (STATUS, lambda: b'{"job_ids":"' + b"1," * 400_000 + b'1"}'),
    "nested": (UPDATE_JOB, lambda: b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    "names without end": (UPDATE_JOB, lambda: _named(2_000_000)),
    "as many as are parsed": (UPDATE_JOB, lambda: _named(900_000)),
    "separators": (SUBMIT, lambda: b"a=1" + b"&" * 10_000_000),
}  # fmt: skip
"""Made when they are needed: every process that collects tests would make them all."""


@pytest.mark.parametrize("case", HURTING)
def test_a_body_made_to_hurt_is_refused_before_it_does(ask: Ask, case: str) -> None:
    """Sixteen seconds and two gigabytes were reached by 63 kB."""
    path, made = HURTING[case]
    body = made()
    method = "GET" if path == STATUS else "POST"
    query = b"job_ids=" + b"1," * 400_000 if path == STATUS else b""
    answers: list[Answered] = []
    took = _milliseconds(lambda: answers.append(ask(method, path, body, query)))
    assert answers[0].status in (400, 413) or not answers[0].json.get("success", False)
    assert took < 1500, "the event loop's own time"


def test_others_are_let_in_while_jobs_with_many_files_are_read() -> None:
    """By what is read, not by jobs: a hundred thousand files took seconds, and nobody was answered meanwhile."""
    files = [["NULL"] * 3 + [f"f{number}", "output"] for number in range(2000)]
    job: list[Any] = ["NULL"] * 126
    job[JOB_ATTRIBUTES.index("computingSite")] = QUEUE
    body = json.dumps({"jobs": [[*job, files]] * 20}).encode()

    async def scene(door: Door, _store: Store) -> None:
        turns: list[float] = []

        async def watch() -> None:
            while True:
                turns.append(time.thread_time())
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        assert (await Client(door).ask("POST", SUBMIT, [body])).status == 200
        watching.cancel()
        worked = sum(after - before > 0.002 for before, after in pairwise(turns))
        assert worked >= 8, "a turn after each job, and half of them are for the timer"

    play(scene)
