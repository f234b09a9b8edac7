"""The steps of a job's life as people read them: how long each took, and what caused it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from panda_fsm.descriptions import HistoryStep
from panda_fsm.jobs.table import Trigger
from panda_fsm.views.jobs import JobNow, LifeStep

CAUSES: Mapping[str, str] = {
    Trigger.SUBMITTED: "submitted",
    Trigger.SUBMITTED_PENDING: "submitted; JEDI releases it later",
    Trigger.RELEASED: "released",
    Trigger.REASSIGNED: "to be set up anew",
    Trigger.INPUTS_UNKNOWN: "an input is on no storage",
    Trigger.INPUTS_REQUESTED: "inputs asked for",
    Trigger.INPUTS_AT_SITE: "inputs are at the site",
    Trigger.SETUP_FAILED: "could not be set up",
    Trigger.UPSTREAM_FAILED: "a job that it needs failed",
    Trigger.INPUTS_ARRIVED: "the last input arrived",
    Trigger.INPUTS_FAILED: "an input cannot come",
    Trigger.THROTTLED: "held back with its task",
    Trigger.UNTHROTTLED: "let go with its task",
    Trigger.ACQUIRED: "a pilot asked",
    Trigger.UNDELIVERED: "the answer did not reach the pilot",
    Trigger.UNCLAIMED: "its pilot never spoke",
    Trigger.PILOT_STARTING: "pilot's report",
    Trigger.PILOT_RUNNING: "pilot's report",
    Trigger.PILOT_HOLDING: "pilot's report",
    Trigger.PILOT_TRANSFERRING: "pilot's report",
    Trigger.PILOT_ENDED: "pilot's final report",
    Trigger.OUTPUTS_MOVING: "outputs asked home",
    Trigger.OUTPUTS_MERGING: "outputs wait to be merged",
    Trigger.OUTPUTS_DONE: "outputs are there",
    Trigger.OUTPUTS_FAILED: "outputs are lost",
    Trigger.KILL_OBEYED: "its pilot obeyed a kill",
    Trigger.CLOSED: "killed",
    Trigger.CANCELLED: "killed",
    Trigger.EXPIRED: "its deadline passed",
    Trigger.UNNEEDED: "its deadline passed: nobody needs it",
    Trigger.LOST: "its deadline passed",
}


def life_steps(history: Sequence[HistoryStep], now: JobNow) -> tuple[LifeStep, ...]:
    """The steps in order, with the time since the one before, and what caused each."""
    steps = []
    before: datetime | None = None
    given = [one.version for one in history if one.trigger == Trigger.ACQUIRED]
    of_this_pilot = given[-1] if given and now.holder is not None else None
    for one in history:
        took_s = None if before is None else max(0.0, (one.at - before).total_seconds())
        pilot = now.pilot_id if one.version == of_this_pilot else ""
        steps.append(
            LifeStep(one.at, took_s, one.source, one.state, one.trigger, _cause(one, pilot), one.service, one.host,
                     one.message_id, one.version)
        )  # fmt: skip
        before = one.at
    return tuple(steps)


def _cause(step: HistoryStep, pilot: str) -> str:
    """Why it was made; who asked for it is in what was noted with it."""
    words = f"pilot {pilot} asked" if pilot else CAUSES.get(step.trigger, step.trigger.replace("_", " "))
    if not step.detail:
        return words
    return f"{words} {step.detail}" if step.detail.startswith("by ") else f"{words}: {step.detail}"
