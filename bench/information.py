"""Measure 17: how soon pilots are answered by what a source of information has just said of their queue."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from bench.figures import spread
from bench.plant import BenchError, Plant
from panda_fsm.information.changes import Bounds
from panda_fsm.information.models import Kind
from panda_fsm.information.reading import read_cric
from panda_fsm.information.sources import Source, Stamp
from sql.information_sources import Sources
from sql.session import Session

QUEUES = 500
_SOURCE = Source("bench", "https://bench/queues", Kind.QUEUE)
_STORAGES = Source("bench.storages", "https://bench/storages", Kind.STORAGE)
_ASKED = "BENCH_0000"
_PATIENCE_S = 30.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(slots=True)
class Outcome:
    """Milliseconds from the commit of a change to the first answer to a pilot that obeys it, and what a change took."""

    followed_ms: list[float]
    taken_ms: list[float]

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {"queues": QUEUES, "followed": spread(self.followed_ms), "taken": spread(self.taken_ms)}


def measure(plant: Plant, changes: int) -> Outcome:
    """Shut one of many queues and open it again, as the configurator does when its source says so."""
    session = Session(plant.database_url, "bench.information", 30)
    sources, outcome = Sources(session.transaction), Outcome([], [])
    try:
        _take(sources, _STORAGES, {"BENCH_DISK": {"site": "BENCH", "arprotocols": {}}})
        for number in range(changes + 1):
            status = "offline" if number % 2 else "online"
            started = time.perf_counter()
            _take(sources, _SOURCE, {f"BENCH_{n:04}": _queue(status if n == 0 else "online") for n in range(QUEUES)})
            committed = time.perf_counter()
            _await(plant, status == "offline")
            if number:  # with the first of them all queues come
                outcome.followed_ms.append((time.perf_counter() - committed) * 1000)
                outcome.taken_ms.append((committed - started) * 1000)
    finally:
        session.close()
    return outcome


def _take(sources: Sources, source: Source, document: dict[str, Any]) -> None:
    assert source.kind is not None
    taken = sources.take(source, read_cric(source.kind, json.dumps(document).encode()), Stamp(), Bounds(20, ()))
    if taken.refused or taken.rejected:
        raise BenchError(f"source {source.name} was not taken: {taken.refused or f'{taken.rejected} entries'}")


def _queue(status: str) -> dict[str, Any]:
    storages = {"write_lan": ["BENCH_DISK"]}
    return {"site": "BENCH", "status": status, "astorages": storages, "maxrss": 4000, "corecount": 1}


def _await(plant: Plant, is_shut: bool) -> None:
    """Return when a pilot is told so."""
    asked = json.dumps({"siteName": _ASKED}).encode()
    url = f"http://127.0.0.1:{plant.port}/server/panda/getJob"
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        request = urllib.request.Request(url, asked, {"Content-Type": "application/json"})
        with _OPENER.open(request, timeout=_PATIENCE_S) as answer:
            said = json.load(answer)
        if said["StatusCode"] == 20 and ("is offline" in said["errorDialog"]) == is_shut:
            return
        time.sleep(0.005)
    raise BenchError(f"pilots do not follow within {_PATIENCE_S:.0f} s: {said}")
