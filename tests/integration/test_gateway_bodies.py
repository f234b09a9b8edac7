"""Below the routes: bodies that do not end as they should, and requests that want more than HTTP/1.1."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway_alone import STOP, Alone, alone, everything, request
from tests.polling import wait_until

GET_JOB, ACQUIRE = "/server/panda/getJob", "/api/v1/pilot/acquire_jobs"
UPLOAD = "/api/v1/file_server/upload_cache_file"
ASK = b'{"siteName": "Q"}'
LIVEZ, DOCUMENT = request("GET", "/livez"), request("GET", "/openapi.json")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """One gateway, which must survive it all."""
    with alone(tmp_path_factory.mktemp("gateway"), {"connections": 50, "pause_s": 3}) as one:
        yield one
        assert b" 200 " in one.post(GET_JOB, ASK)
        assert not [line for line in one.lines() if line["level"] == "error"]


def statuses(answers: bytes) -> list[int]:
    """Of all answers that came one after another."""
    return [int(part[1:4]) for part in answers.split(b"HTTP/1.1")[1:]]


def chunked(rest: bytes, more: str = "Connection: close\r\n") -> bytes:
    """A request for a job, up to where its chunked body begins, and what comes then."""
    return f"POST {GET_JOB} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Transfer-Encoding: chunked\r\n\r\n".encode() + rest


WHOLE = b"%x\r\n%b\r\n0\r\n" % (len(ASK), ASK)
SIZED = f"Content-Length: {len(ASK)}\r\n\r\n".encode() + ASK
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
POST = f"POST {GET_JOB} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()

READ: dict[str, tuple[bytes, list[int]]] = {
    "trailers": (chunked(WHOLE + b"Host: evil.example\r\nVia: 1.1 x\r\nOrigin: null\r\n\r\n"), [200]),
    "an extension of a chunk": (chunked(WHOLE.replace(b"\r\n", b";a=b\r\n", 1) + b"\r\n"), [200]),
    "a wish for h2c with a body": (POST + H2C + SIZED + LIVEZ, [200, 200]),
    "the same in chunks": (POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n" + WHOLE + b"\r\n" + LIVEZ, [200, 200]),
    "a wish for h2c without one": (LIVEZ.replace(b"Connection: close\r\n", H2C) + LIVEZ, [200, 200]),
    "the same for the last time": (LIVEZ.replace(b"close\r\n", b"close, upgrade\r\nUpgrade: h2c\r\n"), [200]),
    "a web socket": (LIVEZ.replace(b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n") * 100
                     + LIVEZ, [200] * 101),
    "a tunnel": (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [400]),
    "no size of a chunk": (chunked(b"zz\r\n{}\r\n0\r\n\r\n"), [400]),
    "a negative one": (chunked(b"-1\r\n"), [400]),
    "one beyond all numbers": (chunked(b"f" * 18 + b"\r\n"), [400]),
    "a chunk that is longer": (chunked(WHOLE.replace(b"\r\n0", b"X\r\n0") + b"\r\n"), [400]),
    "a whole one, then such": (request("POST", GET_JOB, ASK, close=False) + chunked(b"zz\r\n", more=""), [200, 400]),
    "such for nobody": (chunked(b"zz\r\n").replace(GET_JOB.encode(), b"/no/such"), [400]),
    "the target of others": (b"GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                             [421]),
    "that of others without a path": (b"GET http://evil.example?x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + LIVEZ,
                                      [421, 200]),
    "our own, absolute": (b"GET http://127.0.0.1:80/livez?a=b HTTP/1.1\r\nHost: evil.example\r\n\r\n" + LIVEZ,
                          [200, 200]),
    "no host": (b"GET http://127.0.0.1/livez HTTP/1.1\r\nConnection: close\r\n\r\n", [400]),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_body_is_read_to_its_end_and_no_further(gateway: Alone, case: str) -> None:
    sent, expected = READ[case]
    answers = gateway.send(sent)
    assert statuses(answers) == expected
    assert answers.count(b'"StatusCode":20') == (sent.count(ASK) if expected[0] == 200 else 0)


@pytest.mark.parametrize("begin", [chunked(WHOLE), chunked(WHOLE + b"A: "), chunked(b"10;a=")])
@pytest.mark.parametrize("part", [b"A: " + b"b" * 20 + b"\r\n", b"x" * 25])
def test_what_stands_around_a_body_is_bounded(gateway: Alone, begin: bytes, part: bytes) -> None:
    """Three hundred megabytes were taken, and became two thousand."""
    with gateway.connect() as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                connection.sendall(part * 10_000)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = everything(connection)
    assert statuses(answer) in ([400], [431])


EXPECTING: dict[str, tuple[str, str, int]] = {
    "too much": (GET_JOB, "99999999999", 413),
    "too much of a sandbox": (UPLOAD, "99999999999", 413),
    "what is taken": (GET_JOB, str(len(ASK)), 100),
}


@pytest.mark.parametrize("case", EXPECTING)
def test_who_asks_whether_to_send_a_body_is_told(gateway: Alone, case: str) -> None:
    path, length, expected = EXPECTING[case]
    with gateway.connect() as connection:
        kind = "Content-Type: multipart/form-data; boundary=B\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n{kind}"
        connection.sendall(head.encode() + b"\r\n")
        if expected == 100:
            assert statuses(connection.recv(65536)) == [expected]
            connection.sendall(ASK)
            expected = 200
        assert statuses(everything(connection)) == [expected]


def test_of_several_requests_the_one_at_work_hears_that_its_client_has_gone(tmp_path: Path) -> None:
    with alone(tmp_path, longest_wait_s=60, most_requests=1) as one:
        one.told(STOP)
        with one.connect() as connection:
            asked = request("GET", "/api/v1/pilot/get_job_status?job_ids=5", close=False)
            connection.sendall(asked + asked + b"GET /li")
            wait_until(lambda: statuses(one.send(DOCUMENT)) == [503], "the first is worked at")
        wait_until(lambda: statuses(one.send(DOCUMENT)) == [200], "it is given up")


def test_whoever_takes_no_answer_and_asks_on_is_left(tmp_path: Path) -> None:
    with alone(tmp_path, {"connections": 10, "pause_s": 0.5}) as one, one.connect() as connection:
        connection.sendall(DOCUMENT.replace(b"Connection: close\r\n", b"") * 300 + b"GET /li")
        wait_until(
            lambda: [line for line in one.lines() if line.get("reason") == "nobody took the answer"], "it is left"
        )
        assert statuses(one.send(LIVEZ)) == [200]
