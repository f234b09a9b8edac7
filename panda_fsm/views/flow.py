"""How jobs flow: how many make each step, how long it takes them, and whether that is worse than a week ago."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, log2

FIRST = -1
"""The bucket of a job's first step, which has none before it."""
_LAST = 80
_LEAST_JOBS = 20
"""Of fewer nobody can say that they are slower than others."""
_WORSE_BY = 1.5
_PARTS = (0.5, 0.95, 0.99)
_NOTICED_S = 0.1
"""A hop that lasts no longer is well, whatever it was before."""


def bucket_of(seconds: float) -> int:
    """The bucket of a time: bucket n ends at 2 ^ (n / 2) milliseconds. As `count_steps` in flow.sql has it."""
    return ceil(max(0.0, min(float(_LAST), 2 * log2(max(seconds, 0.001) * 1000))))


def _end_s(bucket: int) -> float:
    return float(2 ** (bucket / 2) / 1000)


def percentile(counts: Mapping[int, int], part: float) -> float | None:
    """The time within which `part` of the jobs made it, in seconds; None: nobody knows of any.

    Found between the ends of its bucket, as if its jobs were spread over it evenly on a logarithmic scale.
    """
    known = sorted((bucket, jobs) for bucket, jobs in counts.items() if bucket > FIRST and jobs > 0)
    left = part * sum(jobs for _, jobs in known)
    for bucket, jobs in known:
        if left <= jobs or bucket == known[-1][0]:
            within = min(1.0, max(0.0, left / jobs))
            if bucket == 0:
                return _end_s(0) * within
            return _end_s(bucket - 1) * float(2 ** (within / 2))
        left -= jobs
    return None


@dataclass(frozen=True, slots=True)
class HopNow:
    """All steps from one state to another: now, and in the same time a week ago; times in seconds.

    `source` is None: jobs come in. A time is None where nobody knows it. `factor`: so many times the p95 of a week ago.
    """

    source: str | None
    destination: str
    per_s: float
    jobs: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    before_jobs: int = 0
    before_p50: float | None = None
    before_p95: float | None = None
    before_p99: float | None = None
    factor: float | None = None
    is_worse: bool = False
    """Slower than a week ago, so that it matters."""


@dataclass(frozen=True, slots=True)
class FlowNow:
    """All hops; counted up to `as_of`, over `seconds` before it. `behind_s`: so long ago was that."""

    as_of: datetime
    behind_s: float
    seconds: float
    hops: tuple[HopNow, ...]

    def into(self, state: str) -> float:
        """Jobs a second that come into a state."""
        return sum(hop.per_s for hop in self.hops if hop.destination == state)

    def out_of(self, state: str) -> float:
        """Jobs a second that leave it."""
        return sum(hop.per_s for hop in self.hops if hop.source == state)

    def slow_hop(self, state: str) -> HopNow | None:
        """Of the hops out of a state that are worse than a week ago the worst."""
        worse = [hop for hop in self.hops if hop.source == state and hop.is_worse]
        return max(worse, key=lambda hop: hop.factor or 0, default=None)

    def is_growing(self, state: str) -> bool:
        """More come into it than leave it, by more than chance."""
        more = (self.into(state) - self.out_of(state)) * self.seconds
        return more >= _LEAST_JOBS and self.into(state) > 1.1 * self.out_of(state)


Counted = tuple[str | None, str, bool, int, int]
"""Source, destination, whether it was a week ago, bucket, jobs."""
_Counts = dict[int, int]


def hops(rows: Iterable[Counted], seconds: float, order: Sequence[str]) -> tuple[HopNow, ...]:
    """The hops of counted steps, whatever triggered them, in the order of the states."""
    found: dict[tuple[str | None, str], tuple[_Counts, _Counts]] = {}
    for source, destination, is_before, bucket, jobs in rows:
        counts = found.setdefault((source, destination), ({}, {}))[is_before]
        counts[bucket] = counts.get(bucket, 0) + jobs
    places = {state: number for number, state in enumerate(order)}

    def place(hop: HopNow) -> tuple[int, int]:
        return places.get(hop.source or "", -1), places.get(hop.destination, len(places))

    return tuple(sorted((_hop(*pair, *counts, seconds) for pair, counts in found.items()), key=place))


def _hop(source: str | None, destination: str, now: _Counts, before: _Counts, seconds: float) -> HopNow:
    jobs, before_jobs = sum(now.values()), sum(before.values())
    p50, p95, p99 = (percentile(now, part) for part in _PARTS)
    before_p50, before_p95, before_p99 = (percentile(before, part) for part in _PARTS)
    enough = min(jobs, before_jobs) >= _LEAST_JOBS
    factor = p95 / before_p95 if enough and p95 is not None and before_p95 else None
    is_worse = (factor or 0) >= _WORSE_BY and (p95 or 0) > _NOTICED_S
    return HopNow(
        source, destination, jobs / seconds, jobs, p50, p95, p99, before_jobs, before_p50, before_p95, before_p99,
        factor, is_worse,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """Jobs a second that ended well and badly, minute by minute from `since` on."""

    since: datetime
    finished: tuple[float, ...]
    failed: tuple[float, ...]
