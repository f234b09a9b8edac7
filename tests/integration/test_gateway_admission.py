"""Below the routes: heads, bodies and connections without end, clients that hang up, the end of the process."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gateway_alone import GO, STOP, Alone, alone, everything, request
from tests.polling import wait_until

GET_JOB, ACQUIRE = "/server/panda/getJob", "/api/v1/pilot/acquire_jobs"
ASK = b'{"siteName": "Q"}'
QUICK = {"connections": 50, "first_byte_s": 1, "head_s": 1, "pause_s": 1, "body_s": 2, "body_bytes_per_s": 1_000_000}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """One gateway with limits that are reached soon; it must survive them all."""
    with alone(tmp_path_factory.mktemp("gateway"), QUICK, drain_s=0) as one:
        yield one
        assert b" 200 " in one.post(GET_JOB, ASK)


def status(answer: bytes) -> int:
    """The status of the first answer."""
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split(b" ", 2)[1])


HEADS: dict[str, tuple[bytes, int]] = {
    "a URL without end": (b"GET /" + b"a" * 5_000_000, 414),
    "a long URL": (request("GET", "/" + "a" * 70_000), 414),
    "a header without end": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 5_000_000, 431),
    "a long header": (request("GET", "/", more=f"X: {'a' * 70_000}\r\n"), 431),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"a: b\r\n" * 500_000, 431),
    "many headers": (request("GET", "/", more="a: b\r\n" * 300), 431),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no host": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "a host of others": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS)
def test_heads_are_bounded(gateway: Alone, case: str) -> None:
    head, expected = HEADS[case]
    answer = gateway.send(head)
    assert status(answer) == expected
    assert b'"success":false' in answer


def test_the_largest_honest_head_is_taken(gateway: Alone) -> None:
    """A token of 16 kB, and the ids of a thousand jobs in a query."""
    query = "&".join(f"job_ids={job_id}" for job_id in range(10**9, 10**9 + 2000))
    answer = gateway.send(
        request("GET", f"/api/v1/pilot/get_job_status?{query}", more=f"Authorization: Bearer {'a' * 16_000}\r\n")
    )
    assert status(answer) == 200


HALVES: dict[str, tuple[bytes, int]] = {
    "half a head": (b"POST /server/panda/getJob HTTP/1.1\r\nHost: 127.0.0.1\r\n", 408),
    "half a body": (request("POST", GET_JOB, ASK)[:-5], 408),
    "half a body of a stranger": (request("POST", "/no/such", ASK)[:-5], 404),
}  # fmt: skip


@pytest.mark.parametrize("case", HALVES)
def test_what_does_not_come_is_not_waited_for(gateway: Alone, case: str) -> None:
    part, expected = HALVES[case]
    assert status(gateway.send(part)) == expected


def test_a_body_that_drips_has_an_end(gateway: Alone) -> None:
    with gateway.connect() as connection:
        connection.settimeout(0.2)
        connection.sendall(request("POST", GET_JOB, b"x" * 1_000_000)[:-900_000])
        answer = b""
        deadline = time.monotonic() + 30
        while not answer and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
            if not answer:
                connection.sendall(b"x")
    assert status(answer) == 408


def test_connections_on_which_nothing_is_asked_are_closed(gateway: Alone) -> None:
    with gateway.connect() as connection:
        assert everything(connection) == b""


def test_of_too_many_connections_idle_ones_make_room_and_others_are_told(tmp_path: Path) -> None:
    with alone(tmp_path, {"connections": 20}, longest_wait_s=60) as one, contextlib.ExitStack() as opened:
        for _ in range(30):
            opened.enter_context(one.connect())
        wait_until(lambda: status(one.send(request("GET", "/livez"))) == 200, "idle ones made room")
        one.told(STOP)
        for _ in range(20):
            opened.enter_context(one.connect()).sendall(request("POST", ACQUIRE, ASK))
        answer = wait_until(lambda: b" 503 " in (a := one.send(request("GET", "/livez"))) and a, "all are at work")
        assert b"retry-after: 5" in answer.lower()
        assert [line for line in one.lines() if line["event"] == "request_refused" and line["status"] == 503]


def test_it_takes_as_many_descriptors_as_it_may_have_and_keeps_some_for_itself(tmp_path: Path) -> None:
    with alone(tmp_path, files=300) as one, contextlib.ExitStack() as opened:
        pid = one.daemon.pid
        assert pid is not None
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (300, 300)
        one.told(STOP)
        busy = [opened.enter_context(one.connect()) for _ in range(200)]
        for connection in busy:
            connection.sendall(request("POST", ACQUIRE, ASK))
        wait_until(lambda: b" 503 " in one.send(request("GET", "/livez")), "no room is left")
        answers = [one.send(request("POST", ACQUIRE, ASK)) for _ in range(50)]
        assert {status(answer) for answer in answers} == {503}, "nobody is left without a word"


def test_clients_that_hang_up_are_noticed(tmp_path: Path) -> None:
    with alone(tmp_path, longest_wait_s=60) as one:
        one.told(STOP)
        gone = [one.connect() for _ in range(30)]
        for connection in gone:
            connection.sendall(request("POST", ACQUIRE, ASK))
        for connection in gone:
            connection.close()
        patient = one.connect()
        patient.sendall(request("POST", ACQUIRE, ASK))
        one.told(GO)
        assert status(everything(patient)) == 200
        patient.close()
        assert not [line for line in one.lines() if line["level"] == "error"]


def test_the_late_are_answered_over_the_wire(tmp_path: Path) -> None:
    with alone(tmp_path, longest_wait_s=0.5) as one:
        one.told(STOP)
        assert status(one.post(ACQUIRE, ASK)) == 503
        assert b'"StatusCode":20' in one.post(GET_JOB, ASK)
        one.told(GO)
        assert status(one.post(ACQUIRE, ASK)) == 200
        assert not [line for line in one.lines() if line["level"] == "error"]


def test_told_to_end_it_says_so_serves_on_and_finishes_what_it_has(tmp_path: Path) -> None:
    with alone(tmp_path, drain_s=3, longest_wait_s=60) as one:
        pid = one.daemon.pid
        assert pid is not None
        one.told(STOP)
        slow = one.connect()
        slow.sendall(request("POST", ACQUIRE, ASK))
        half = one.connect()
        half.sendall(request("POST", GET_JOB, ASK)[:-5])
        os.kill(pid, signal.SIGTERM)
        with one.connect() as kept:
            kept.sendall(request("GET", "/livez", close=False))
            answer = wait_until(lambda: b"connection: close" in (a := _one(one)).lower() and a, "it drains")
            assert status(answer) == 200
        half.sendall(ASK[-5:])
        one.told(GO)
        assert status(everything(slow)) == 200
        assert status(everything(half)) == 200
        wait_until(lambda: not one.daemon.is_running, "it has ended")
        slow.close()
        half.close()


def test_the_end_resets_nobody(tmp_path: Path) -> None:
    """Under load hundreds stood in the queue of the socket that was closed; one or two may come at the last moment."""
    with alone(tmp_path, drain_s=1) as one:
        pid = one.daemon.pid
        assert pid is not None
        with ThreadPoolExecutor(30) as pilots:
            ended = [pilots.submit(_until_refused, one) for _ in range(30)]
            wait_until(lambda: len(one.answered) > 300, "they are at work")
            os.kill(pid, signal.SIGTERM)
        assert sum(future.result() for future in ended) <= 2
        assert set(one.answered) == {200}


def _until_refused(gateway: Alone) -> int:
    """Ask again and again until nobody listens; how often the connection was reset."""
    resets = 0
    while True:
        try:
            answer = gateway.post(GET_JOB, ASK)
        except ConnectionRefusedError:
            return resets
        except ConnectionResetError:
            resets += 1
        else:
            gateway.answered.append(status(answer))


def _one(gateway: Alone) -> bytes:
    with gateway.connect() as connection:
        connection.sendall(request("GET", "/livez", close=False))
        return connection.recv(65536)


def test_all_its_lines_are_json_and_health_checks_write_none(gateway: Alone) -> None:
    before = len(gateway.lines())
    gateway.send(request("GET", "/api/v1/system/is_alive"))
    gateway.send(request("GET", "/livez"))
    gateway.send(b"nonsense\r\n\r\n")
    wait_until(lambda: len(gateway.lines()) > before, "the line of the nonsense")
    (line,) = gateway.lines()[before:]
    assert (line["event"], line["status"]) == ("request_refused", 400)
    assert line["peer"].startswith("127.0.0.1:")


METHODS: dict[tuple[str, str], tuple[int, str]] = {
    ("GET", "/api/v1/job/kill"): (405, "POST"),
    ("DELETE", "/api/v1/job/get_description"): (405, "GET, HEAD, POST"),
    ("OPTIONS", "/api/v1/job/submit"): (405, "POST"),
    ("PUT", "/cache/x"): (405, "GET, HEAD, POST"),
    ("HEAD", "/livez"): (200, ""),
    ("HEAD", f"{GET_JOB}?siteName=Q"): (405, "GET, POST"),
    ("HEAD", "/server/panda/updateJob?jobId=1&state=finished"): (405, "GET, POST"),
    ("HEAD", "/server/panda/getStatus?ids=5"): (200, ""),
}  # fmt: skip


@pytest.mark.parametrize("asked", METHODS)
def test_a_wrong_method_hears_which_are_right(gateway: Alone, asked: tuple[str, str]) -> None:
    expected, allowed = METHODS[asked]
    answer = gateway.send(request(*asked))
    assert status(answer) == expected
    assert f"allow: {allowed}\r\n".lower().encode() in answer.lower() or not allowed


def test_a_query_without_values_is_no_fault(gateway: Alone) -> None:
    assert status(gateway.send(request("GET", "/api/v1/system/is_alive?x"))) == 200
    assert status(gateway.send(request("GET", "/api/v1/system/is_alive?a=1&"))) == 200
    assert status(gateway.post(GET_JOB, b"\xef\xbb\xbf" + ASK)) == 200
