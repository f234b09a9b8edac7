"""Why no pilot got a job: what it needs beyond what its queue gives, or which wishes of those that asked lately."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from panda_fsm.offers import NO_TESTS, Offer
from panda_fsm.sites import Status
from panda_fsm.views.jobs import JobNow
from panda_fsm.views.words import counted, dotted, duration, number

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
"""What pilots and queues bound, what of the job must be within it, and in which unit."""


def kept_by(now: JobNow, offer: Offer | None) -> tuple[str, ...]:
    """Sentences that say why its queue gives the job to no pilot, whoever asks; nothing where it would."""
    if offer is None:
        return ()
    if offer.shut is not None:
        return (f"Pilots get no jobs there: {dotted(offer.shut)}",)
    site, slot = now.job.site, offer.slot
    found = [f"{site} gives {most}, it {needs}." for most, needs in _beyond(now, asdict(slot))]
    if 1 <= now.core_count <= slot.too_few_cores:
        found.append(f"{site} takes jobs of at least {slot.too_few_cores + 1} cores, it needs {now.core_count}.")
    if offer.status == Status.TEST and now.job.label in NO_TESTS:
        found.append(f"{site} is in test: it gives tests only, and its label is {now.job.label}.")
    return tuple(found)


def _beyond(now: JobNow, bounds: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is at most, and what the job needs beyond that."""
    for key, column, unit in _BOUNDS:
        most, needs = bounds.get(key), getattr(now, column)
        if isinstance(most, int) and needs > most:
            yield f"at most {number(most)} {unit}", f"needs {number(needs)}"


def misfits(now: JobNow, filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of a pilot's wishes the job does not fit: what the pilots asked for, and what the job is."""
    found = [(f"asked for {most}", f"it {needs}") for most, needs in _beyond(now, filters)]
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
