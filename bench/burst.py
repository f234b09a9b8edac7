"""Measure 12: thousands of connections that ask at once: who is turned away, how long the served wait, what follows."""

from __future__ import annotations

from typing import Any

from bench import waiting
from bench.crowd import Burst
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import Plant

CONNECTIONS = 2000
_ROUNDS = 3
_LONE = 500
"""Jobs for those who ask alone."""


class Outcome:
    """What is answered to all of them together."""

    def __init__(self, burst: Burst) -> None:
        self._burst = burst

    @property
    def shed_share(self) -> float:
        """Of all requests, those turned away."""
        burst = self._burst
        return len(burst.shed_ms) / (len(burst.shed_ms) + len(burst.served_ms))

    @property
    def served(self) -> dict[str, float]:
        return spread(self._burst.served_ms)

    @property
    def recovered_s(self) -> float:
        """Of the slowest round."""
        return max(self._burst.recovered_s)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "connections": CONNECTIONS,
            "rounds": len(self._burst.recovered_s),
            "served": len(self._burst.served_ms),
            "shed": len(self._burst.shed_ms),
            "served_waited": self.served,
            "shed_waited": spread(self._burst.shed_ms),
            "recovered_s": [round(seconds, 3) for seconds in self._burst.recovered_s],
        }


def measure(plant: Plant, pilots: PilotProcess) -> Outcome:
    """Whoever is served is given a job: enough wait for all."""
    waiting.fill(plant, CONNECTIONS * _ROUNDS + _LONE)
    burst = pilots.burst(CONNECTIONS, _ROUNDS)
    waiting.leave(plant, 0)
    return Outcome(burst)
