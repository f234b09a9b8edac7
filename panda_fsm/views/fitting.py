"""Why no pilot that asked got a job: which of its wishes the job does not fit, said of all that asked lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from panda_fsm.views.jobs import JobNow
from panda_fsm.views.words import counted, duration, number

LATELY = timedelta(hours=6)
"""Pilots that asked longer ago say nothing of today."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What pilots that are about alike asked for last, when, how often, and how many jobs they were given."""

    filters: Mapping[str, Any]
    last_at: datetime
    asks: int
    jobs: int


_BOUNDS = (
    ("memory", "min_ram", "MB of memory"),
    ("disk", "max_disk", "MB of disk"),
    ("remaining_time", "max_walltime", "s of time"),
    ("core_count", "core_count", "cores"),
)
"""What pilots bound, what of the job must be within it, and in which unit."""


def misfits(now: JobNow, filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of a pilot's wishes the job does not fit: what the pilots asked for, and what the job is."""
    found = []
    for key, column, unit in _BOUNDS:
        most, needs = filters.get(key), getattr(now, column)
        if isinstance(most, int) and needs > most:
            found.append((f"asked for at most {number(most)} {unit}", f"it needs {number(needs)}"))
    labels = filters.get("labels")
    if isinstance(labels, list) and now.job.label not in labels:
        found.append((f"asked for {' or '.join(map(str, labels))} jobs", f"its label is {now.job.label}"))
    wanted = filters.get("resource_type")
    if wanted is not None and wanted != now.resource_type:
        found.append((f"asked for {wanted} jobs", f"it is {now.resource_type}"))
    if filters.get("task_id") is not None and filters["task_id"] != now.job.task_id:
        found.append((f"asked for jobs of task {filters['task_id']}", f"it is of task {now.job.task_id}"))
    if filters.get("user_name") is not None and filters["user_name"] != now.user_name:
        found.append((f"asked for jobs of {filters['user_name']}", f"it is of {now.user_name}"))
    if filters.get("background") and not now.is_background:
        found.append(("asked for background jobs", "it is none"))
    return found


def unfit(now: JobNow, asks: Sequence[Ask], at: datetime) -> tuple[str, ...]:
    """A sentence for each reason, those of most pilots first; nothing where a pilot fits that asked lately."""
    recent = [ask for ask in asks if at - ask.last_at <= LATELY]
    reasons: dict[tuple[str, str], tuple[int, datetime]] = {}
    for ask in recent:
        wrong = misfits(now, ask.filters)
        if not wrong:
            return ()
        times, last_at = reasons.get(wrong[0], (0, ask.last_at))
        reasons[wrong[0]] = times + ask.asks, max(last_at, ask.last_at)
    ordered = sorted(reasons.items(), key=lambda reason: (-reason[1][0], reason[0]))
    return tuple(
        f"{counted(times, 'request')} of pilots {asked}, {is_so} (last {duration((at - last).total_seconds())} ago)."
        for (asked, is_so), (times, last) in ordered
    )
