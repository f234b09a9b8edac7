"""Measure 7: what a pilot waits for the answer that nothing fits it, with few and with many jobs waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import waiting
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import Plant
from bench.processes import Cost

ASKED = 200
"""Requests of each kind, one after another: nobody else asks, so this is latency, not throughput."""
_KINDS: Mapping[str, dict[str, Any]] = {
    "label": {"prod_source_label": "managed"},
    "resource_type": {"resource_type": "MCORE"},
    "memory": {"memory": 1500},
    "disk": {"disk_space": 500},
    "remaining_time": {"remaining_time": 600},
}
"""What the pilot has too little of, or the wrong one, for all that wait (see `waiting.vary`)."""


class Answers:
    """Latencies by kind, and the slowest kind's."""

    def __init__(self, jobs: int, latencies_ms: dict[str, list[float]], cost: Cost) -> None:
        self._jobs = jobs
        self._spreads = {kind: spread(ms) for kind, ms in latencies_ms.items()}
        self._cost = cost

    def worst(self, percentile: str) -> float:
        """Of the kind for which it is greatest."""
        return max(found[percentile] for found in self._spreads.values())

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {"waiting": self._jobs, "kinds": self._spreads, **self._cost.as_json(ASKED * len(_KINDS))}


def measure(plant: Plant, pilots: PilotProcess) -> Answers:
    """Ask in vain, for each reason that nothing fits; no two requests alike, so that no answer is a remembered one."""
    latencies_ms = {}
    with plant.metered() as costs:
        for kind, lacks in _KINDS.items():
            asks = [{"remaining_time": 1_000_000 + n, "memory": 100_000 + n, **lacks} for n in range(ASKED)]
            latencies_ms[kind] = pilots.ask_in_vain(asks).latencies_ms["acquire"]
    return Answers(waiting.count(plant), latencies_ms, costs[0])
