"""Measure 16: people look at the dashboards of a full system: what do claims lose, and how long does each page take?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import server_side, waiting
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import BenchError, Plant
from bench.planted import FIRST_ID, FIRST_TASK, plant_archive
from bench.viewers import Latencies, Viewers, looked_alone
from gateway.dashboard.table import PAGES
from lab.site import QUEUE, VO

_TASK = 30
_TIMES = 20
_ROUNDS = 3
"""With and without viewers in turn: the machine gets faster and slower meanwhile."""
_NAMES = {
    "queues/{name}": "watcher", "jobs/{name}": str(FIRST_ID + 1), "tasks/{name}": str(FIRST_TASK),
    "sites/{name}": QUEUE,
}  # fmt: skip
"""Which one is looked at of what has a page of its own."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many jobs are archived and how many live, how many claims a round takes, how many people look."""

    archived: int
    live: int
    claims: int
    viewers: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Claims a second without and with viewers; latencies of pages in ms, of one viewer alone and of many meanwhile."""

    size: Size
    without: list[float]
    with_viewers: list[float]
    alone_ms: Latencies
    meanwhile_ms: Latencies

    @property
    def claims_to_without(self) -> float:
        """What is left of the rate of claims."""
        return statistics.median(self.with_viewers) / statistics.median(self.without)

    @property
    def slowest_p95_ms(self) -> float:
        """Of the page that takes longest, for one viewer alone: the server's time."""
        return max(spread(ms)["p95_ms"] for ms in self.alone_ms.values())

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "archived": self.size.archived,
            "live": self.size.live,
            "viewers": self.size.viewers,
            "claims_per_s_without": [round(one, 1) for one in self.without],
            "claims_per_s_with": [round(one, 1) for one in self.with_viewers],
            "pages_alone": {name: spread(ms) for name, ms in self.alone_ms.items()},
            "pages_meanwhile": {name: {"looks": len(ms), **spread(ms)} for name, ms in self.meanwhile_ms.items()},
        }


def measure(plant: Plant, size: Size, say: Callable[[str], None]) -> Outcome:
    """Fill archive and queue, look at each page alone, then claim with and without viewers in turn."""
    server_side.measure(plant, server_side.prepare(plant, 100, _TASK))
    started = time.monotonic()
    like = plant.value("SELECT job_id FROM job WHERE task_id = %(task)s ORDER BY 1 LIMIT 1", task=_TASK)
    plant_archive(plant, like, size.archived)
    with PilotProcess(plant.port) as pilots:
        waiting.plant_template(plant, pilots, task_id=5)
        waiting.fill(plant, size.live)
        _count(plant, size)
        say(f"planted {size.archived:,} archived and {size.live:,} live jobs in {time.monotonic() - started:.0f} s")
        paths = _paths(say)
        try:
            alone_ms = looked_alone(plant.port, paths, _TIMES)
            without: list[float] = []
            with_viewers: list[float] = []
            meanwhile_ms: Latencies = {name: [] for name in paths}
            for _ in range(_ROUNDS):
                without.append(_claims_per_s(pilots, size.claims))
                with Viewers(plant.port, paths, size.viewers) as viewers:
                    with_viewers.append(_claims_per_s(pilots, size.claims))
                for name, found in viewers.latencies.items():
                    meanwhile_ms[name] += found
        finally:
            waiting.leave(plant, 0)
    outcome = Outcome(size, without, with_viewers, alone_ms, meanwhile_ms)
    for name, ms in sorted(alone_ms.items(), key=lambda item: -spread(item[1])["p95_ms"]):
        say(f"{name or 'now'}: p95 {spread(ms)['p95_ms']:.0f} ms")
    return outcome


def _claims_per_s(pilots: PilotProcess, claims: int) -> float:
    served = pilots.acquire(claims)
    if len(set(served.job_ids)) != claims:
        raise BenchError("a job was handed to two pilots")
    return claims / served.took_s


def _count(plant: Plant, size: Size) -> None:
    """The rollup of what was planted beside it: pages show it, and look no further where it says that there is none."""
    plant.database.execute(
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('activated', %(site)s, %(vo)s, %(live)s),"
        " ('finished', %(site)s, %(vo)s, %(archived)s)",
        {"site": QUEUE, "vo": VO, "live": size.live, "archived": size.archived},
    )


def _paths(say: Callable[[str], None]) -> dict[str, str]:
    """Where each page is; of those with a name the one that was chosen."""
    found: dict[str, str] = {}
    for page in PAGES:
        if "{name}" not in page.path:
            found[page.path] = page.url
        elif page.path in _NAMES:
            found[page.path] = page.url.replace("{name}", _NAMES[page.path])
        else:
            say(f"nobody looks at {page.url}: there is none")
    return found
