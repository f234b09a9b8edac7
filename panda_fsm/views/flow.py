"""How jobs flow: how many make each step, how long it takes them, and whether that is worse than a week ago."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, log2

FIRST = -1
"""The bucket of a job's first step, which has none before it."""
_LAST = 80
_LEAST_JOBS = 20
"""Of fewer nobody can say that they are slower than others."""
_WORSE_BY = 1.5
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
class Times:
    """How long a hop took. `jobs` made it; the times are of those of which it is known."""

    jobs: int
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> "Times":
        """Of jobs by bucket."""
        return cls(sum(counts.values()), *(percentile(counts, part) for part in (0.5, 0.95, 0.99)))


@dataclass(frozen=True, slots=True)
class HopNow:
    """All steps from one state to another: now, and in the same hour a week ago. `source` is None: jobs come in."""

    source: str | None
    destination: str
    per_s: float
    now: Times
    before: Times | None

    @property
    def jobs(self) -> int:
        return self.now.jobs

    @property
    def p50(self) -> float | None:
        return self.now.p50

    @property
    def p95(self) -> float | None:
        return self.now.p95

    @property
    def p99(self) -> float | None:
        return self.now.p99

    @property
    def factor(self) -> float | None:
        """How many times the p95 of a week ago it is; None where one of them says nothing."""
        before = self.before.p95 if self.before is not None else None
        enough = self.before is not None and min(self.now.jobs, self.before.jobs) >= _LEAST_JOBS
        return self.now.p95 / before if enough and before and self.now.p95 is not None else None

    @property
    def is_worse(self) -> bool:
        """Slower than a week ago, so that it matters."""
        return (self.factor or 0) >= _WORSE_BY and (self.now.p95 or 0) > _NOTICED_S


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


@dataclass(slots=True)
class _Hop:
    now: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)


Counted = tuple[str | None, str, bool, int, int]
"""Source, destination, whether it was a week ago, bucket, jobs."""


def hops(rows: Iterable[Counted], seconds: float, order: Sequence[str]) -> tuple[HopNow, ...]:
    """The hops of counted steps, whatever triggered them, in the order of the states."""
    found: dict[tuple[str | None, str], _Hop] = {}
    for source, destination, is_before, bucket, jobs in rows:
        hop = found.setdefault((source, destination), _Hop())
        counts = hop.before if is_before else hop.now
        counts[bucket] = counts.get(bucket, 0) + jobs
    places = {state: number for number, state in enumerate(order)}
    last = len(places)
    return tuple(
        HopNow(source, destination, sum(hop.now.values()) / seconds, Times.of(hop.now), _times(hop.before))
        for (source, destination), hop in sorted(
            found.items(), key=lambda one: (places.get(one[0][0] or "", -1), places.get(one[0][1], last), one[0][1])
        )
    )


def _times(counts: Mapping[int, int]) -> Times | None:
    return Times.of(counts) if counts else None


@dataclass(frozen=True, slots=True)
class Series:
    """Jobs a second that ended well and badly, minute by minute from `since` on."""

    since: datetime
    finished: tuple[float, ...]
    failed: tuple[float, ...]
