"""Sources in trouble: what they send changes nothing, everybody can read why, and the others go on."""

from __future__ import annotations

import gzip
import json
import time
from http.server import BaseHTTPRequestHandler

import pytest

from panda_fsm.information.models import Kind
from tests import cric
from tests.configuring import Configuring
from tests.cric import Cric, answer
from tests.driver import Database


def _html(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, b"<!DOCTYPE html><html><body>Sign in</body></html>")


def _half(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, content[: len(content) // 2])


def _cut_short(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:100])


def _error(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, b"no", 503)


def _empty(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, b"{}")


def _to_a_file(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, b"", 302, Location="file:///etc/passwd")


def _in_circles(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, b"", 302, Location=handler.path)


def _dripping(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(300):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.1)


def _packed(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    answer(handler, gzip.compress(b" " * 100_000_000, 1), 200, **{"Content-Encoding": "gzip"})


def _packed_twice(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, gzip.compress(gzip.compress(content)), 200, **{"Content-Encoding": "gzip, gzip"})


def _less(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, json.dumps(dict(list(json.loads(content).items())[:10])).encode())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (_html, "it is a web page"), (_half, "it is no whole JSON"), (_cut_short, "it cannot be asked"),
        (_error, "it answers 503"), (_empty, "it has no entry that can be used: the 20 that are known stay"),
        (_to_a_file, "it cannot be asked: Request URL"), (_in_circles, "it cannot be asked"),
        (_dripping, "takes longer than 3 s"), (_packed, "more than 60 MB"), (_packed_twice, "packed more than once"),
        (_less, "it lacks 10 of the 20 entries"),
    ],
)  # fmt: skip
def test_a_source_in_trouble_changes_nothing_and_holds_up_nobody(
    configuring: Configuring, source: Cric, database: Database, fault: cric.Fault, reason: str
) -> None:
    configuring.run()
    known = configuring.known.now
    source.faults[Kind.QUEUE] = fault
    source.documents[Kind.STORAGE]["NEW"] = cric.storage("NEW", "S")
    configuring.run(limit_s=3 if fault is _dripping else 60)
    assert reason in (_trouble(database) or "")
    assert "source cric.queue" in (configuring.condition.trouble or "")
    assert configuring.known.queues == known.queues
    assert "NEW" in configuring.known.storages
    del source.faults[Kind.QUEUE]
    configuring.run()
    assert (_trouble(database), configuring.condition.trouble) == (None, None)


def test_nobody_waits_for_a_source_that_drips(configuring: Configuring, source: Cric, database: Database) -> None:
    configuring.run()
    seen: list[bool] = []

    def drip(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Until what the other source says is known, or for half a minute."""
        handler.send_response(200)
        handler.end_headers()
        for _ in range(300):
            handler.wfile.write(b" ")
            if database.value("SELECT count(*) FROM information WHERE name = 'NEW'"):
                seen.append(True)
                break
            time.sleep(0.1)
        handler.wfile.write(content)

    source.faults[Kind.STORAGE] = drip
    source.documents[Kind.QUEUE]["NEW"] = cric.queue("NEW", astorages={"pw": ["CRIC_0001_DISK"]})
    configuring.run(silence_s=1)
    assert seen == [True]
    assert database.rows("SELECT trouble FROM information_source") == [(None,), (None,)]


def _trouble(database: Database) -> str | None:
    said: str | None = database.value("SELECT trouble FROM information_source WHERE name = 'cric.queue'")
    return said
