"""Rows of the audit that are about jobs: which they were, in few words however many."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from panda_fsm.descriptions import AuditRow

_MOST_RANGES = 1000


def about_jobs(actor: str, name: str, action: str, job_ids: Sequence[int], detail: dict[str, object]) -> AuditRow:
    """What `actor`, called `name`, did to these jobs."""
    ids = sorted(job_ids)
    ranges = list(_ranges(ids))
    what = f"job {ids[0]}" if len(ids) == 1 else f"jobs {ids[0]}-{ids[-1]}"
    known: dict[str, object] = {"name": name, "jobs": len(ids), "job_ids": ",".join(ranges[:_MOST_RANGES])}
    if len(ranges) > _MOST_RANGES:
        known["more_ranges"] = len(ranges) - _MOST_RANGES
    return AuditRow(actor, action, what, known | detail)


def _ranges(ids: Sequence[int]) -> Iterable[str]:
    """Growing ids as `1-5`, `9`."""
    first = ids[0]
    for one, following in pairwise([*ids, None]):
        if following is None or (one is not None and following > one + 1):
            yield f"{first}" if first == one else f"{first}-{one}"
            first = following if following is not None else first


def names_job(detail: Mapping[str, Any] | None, job_id: int) -> bool:
    """Whether a row with a job in its range is about it; of one that could not say all of its jobs, it may be."""
    said = (detail or {}).get("job_ids")
    if not isinstance(said, str) or "more_ranges" in (detail or {}):
        return True
    for part in said.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and int(first) <= job_id <= int(last if last.isdecimal() else first):
            return True
    return False
