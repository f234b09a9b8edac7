"""Measure 16: people look at the dashboards of a full system: what do claims lose, and how long does each page take?

Claims are taken as fast as they are answered, which leaves nothing of the machine: whatever a look costs, by gateway
or database, claims lose. How people look is told in `viewers.py`; the figure with an aim is of ten open screens, which
is how operators look, the other one of people who click once a second each. Rounds with and without viewers take
turns, and each is compared with the rounds beside it, for the machine gets faster and slower meanwhile. What does not
depend on that is in the details: the CPU time of a look, and of a claim with and without viewers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from bench import server_side, waiting
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import BenchError, Plant
from bench.planted import FIRST_ID, FIRST_TASK, plant_archive
from bench.processes import Cost, together
from bench.rollups import plant_rollups
from bench.viewers import Latencies, Viewers, Way, looked_alone
from gateway.dashboard.table import PAGES
from lab.site import QUEUE, VO

_TASK = 30
_TIMES = 12
_ROUNDS = 5
_OPEN_S = 5.0
"""Screens have been open for a while when claims begin: that all are opened at once is not what they cost."""
_WAYS: tuple[Way, ...] = get_args(Way)
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


@dataclass(slots=True)
class Rounds:
    """Rounds of claims of one kind: a second, by the slowest of a hundred, and by what they cost."""

    claims_per_s: list[float] = field(default_factory=list)
    acquire_ms: list[float] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    seen_ms: Latencies = field(default_factory=dict)
    """Of viewers meanwhile, by page."""

    def as_json(self, claims: int) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "claims_per_s": [round(one, 1) for one in self.claims_per_s],
            "acquire": spread(self.acquire_ms),
            **together(self.costs).as_json(claims * len(self.costs)),
            "pages": {name: {"looks": len(ms), **spread(ms)} for name, ms in self.seen_ms.items()},
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rounds without viewers, those with them by how these looked, and pages with nobody else there."""

    size: Size
    without: Rounds
    ways: dict[Way, Rounds]
    alone_ms: Latencies
    alone_cost: Cost

    def claims_to_without(self, way: Way) -> float:
        """What is left of the rate of claims: the median of rounds, each to the mean of those before and after it."""
        place, found = _WAYS.index(way), []
        for number, rate in enumerate(self.ways[way].claims_per_s):
            before = number * len(_WAYS) + place
            found.append(rate / statistics.mean(self.without.claims_per_s[before : before + 2]))
        return statistics.median(found)

    @property
    def slowest_p95_ms(self) -> float:
        """Of the page that takes longest, for one viewer alone: the server's time."""
        return max(spread(ms)["p95_ms"] for ms in self.alone_ms.values())

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        looks = sum(map(len, self.alone_ms.values()))
        return {
            "archived": self.size.archived,
            "live": self.size.live,
            "viewers": self.size.viewers,
            "without": self.without.as_json(self.size.claims),
            **{way: rounds.as_json(self.size.claims) for way, rounds in self.ways.items()},
            "pages_alone": {name: spread(ms) for name, ms in self.alone_ms.items()},
            "cpu_us_per_look": self.alone_cost.per_job(looks),
        }


def measure(plant: Plant, size: Size, say: Callable[[str], None]) -> Outcome:
    """Fill archive and queue, look at each page alone, then claim with and without viewers in turn."""
    server_side.measure(plant, server_side.prepare(plant, 100, _TASK))
    started = time.monotonic()
    like = plant.value("SELECT job_id FROM job WHERE task_id = %(task)s ORDER BY 1 LIMIT 1", task=_TASK)
    plant_archive(plant, like, size.archived)
    plant_rollups(plant)
    with PilotProcess(plant.port) as pilots:
        waiting.plant_template(plant, pilots, task_id=5)
    waiting.fill(plant, size.live)
    _count(plant, size)
    say(f"planted {size.archived:,} archived and {size.live:,} live jobs in {time.monotonic() - started:.0f} s")
    paths = _paths(say)
    try:
        with plant.metered() as costs:
            alone_ms = looked_alone(plant.port, paths, _TIMES)
        outcome = Outcome(size, Rounds(), {way: Rounds() for way in _WAYS}, alone_ms, costs[0])
        # Connected only now: who is idle for a minute is hung up.
        with PilotProcess(plant.port) as pilots:
            _take_turns(plant, pilots, paths, outcome)
    finally:
        waiting.leave(plant, 0)
    for name, ms in sorted(alone_ms.items(), key=lambda item: -spread(item[1])["p95_ms"]):
        say(f"{name or 'now'}: p95 {spread(ms)['p95_ms']:.0f} ms")
    return outcome


def _take_turns(plant: Plant, pilots: PilotProcess, paths: dict[str, str], outcome: Outcome) -> None:
    """Without, with these, without, with those, and so on; the last round is one without."""
    claims = outcome.size.claims
    for _ in range(_ROUNDS):
        for way in _WAYS:
            _round(plant, pilots, claims, outcome.without)
            with Viewers(plant.port, paths, outcome.size.viewers, way) as viewers:
                time.sleep(_OPEN_S)
                _round(plant, pilots, claims, outcome.ways[way])
            for name, found in viewers.latencies.items():
                outcome.ways[way].seen_ms.setdefault(name, []).extend(found)
    _round(plant, pilots, claims, outcome.without)


def _round(plant: Plant, pilots: PilotProcess, claims: int, rounds: Rounds) -> None:
    with plant.metered() as costs:
        served = pilots.acquire(claims)
    if len(set(served.job_ids)) != claims:
        raise BenchError("a job was handed to two pilots")
    rounds.claims_per_s.append(claims / served.took_s)
    rounds.acquire_ms += served.latencies_ms["acquire"]
    rounds.costs += costs


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
