"""Numbers about numbers: percentiles, and rounding for people."""

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed, between neighbours by interpolation; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest of latencies in ms."""
    found = {f"p{round(share * 100)}_ms": round(percentile(values, share), 2) for share in (0.5, 0.95, 0.99)}
    return found | {"max_ms": round(max(values, default=0.0), 2)}
