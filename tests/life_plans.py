"""What the jobs of the model are and what their pilots may say: drafts and reports, each with its life or word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.jobs.job import TO_MERGE
from panda_fsm.messages import PilotReport
from tests import factories
from tests.life_model import Life, Said

UNREADABLE = "no report at all"
_TROUBLE = {"pilot_error_code": 1150, "pilot_error_diag": "looping", "job_sub_status": "slow"}
SAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "starting": ("starting", {}),
    "running": ("running", {}),
    "in trouble": ("running", {"attributes": _TROUBLE}),
    "holding": ("holding", {}),
    "transferring": ("transferring", {}),
    "finished": ("finished", {}),
    "failed": ("failed", {}),
    "fails without reason": ("failed", {"attributes": {}}),
    "loses an output": ("finished", {"output_report": ""}),
    "says nonsense": ("finished", {"output_report": UNREADABLE}),
    "fails and says nonsense": ("failed", {"attributes": {}, "output_report": UNREADABLE}),
    "gives back": ("failed", {"attributes": {"job_sub_status": "pilot_closed"}}),
}
"""States that pilots report, and with what."""


@dataclass(frozen=True)
class Plan:
    """Of a job: how many inputs are away, whether one is nowhere yet, whether its outputs go elsewhere, whether its
    output is to be merged, whether it is held back at first."""

    away: int
    is_late: bool
    moves: bool
    is_unmerged: bool
    is_pending: bool
    label: str


def planned(job_id: int, plan: Plan, task_id: int) -> tuple[JobDraft, Life]:
    """A job of a plan; every other one is JEDI's, which is told of it."""
    lfns = [f"far.{job_id}.{n}.csv" for n in range(plan.away)]
    home = factories.SOURCE_STORAGE if plan.moves else ""
    inputs = (factories.INPUT, *lfns)
    draft = factories.draft(
        job_id, inputs=inputs, destination=home, task_id=task_id, label=plan.label, is_jedis=job_id % 2 == 0
    )
    life = _life(draft, set(lfns), plan.moves)
    life.nowhere = set(lfns[: plan.is_late])
    life.state = "pending" if plan.is_pending else "defined"
    if plan.is_unmerged:
        output = next(file for file in draft.files if file.type == "output")
        output.place_token = TO_MERGE
        life.unmerged = {output.lfn}
    return draft, life


def merging(job_id: int, of: Sequence[Life], task_id: int, is_last: bool) -> tuple[JobDraft, Life]:
    """A job that merges outputs of others, at its last attempt or before."""
    spec = {"transformation": "merge.py", "max_attempt": "2"}
    attempt = 2 if is_last else 1
    draft = factories.draft(job_id, inputs=(), task_id=task_id, attempt_nr=attempt, spec=spec, processing_type="pmerge")
    draft.files += [
        FileDraft(type="input", lfn=lfn, scope=factories.SCOPE, status="ready", place_token=TO_MERGE)
        for life in of
        for lfn in life.unmerged
    ]
    life = _life(draft, set(), moves=False)
    life.attempt, life.has_attempt_left, life.merges = attempt, not is_last, list(of)
    return draft, life


def _life(draft: JobDraft, away: set[str], moves: bool) -> Life:
    files = dict.fromkeys(factories.output_lfns(draft.job_id), "unknown")
    return Life(draft.job_id, draft.label, away, files, moves)


def report(life: Life, says: str, attempts: int = 0) -> PilotReport:
    """What the pilot of a job says, of this attempt or of one that many later."""
    state, fields = SAYS[says]
    if fields.get("output_report") == "":
        fields = {"output_report": factories.output_report(life.job_id, factories.output_lfns(life.job_id)[1])}
    return factories.report(life.job_id, state, attempt_nr=life.attempt + attempts, returns=life.returns, **fields)


def heard(message: PilotReport) -> Said:
    """What a report says, for the model."""
    listed = message.output_report
    is_read = listed is not None and listed != UNREADABLE
    return Said(
        message.state,
        message.attempt_nr,
        message.returns,
        int(message.attributes.get("pilot_error_code", 0)),
        None if (told := message.attributes.get("job_sub_status")) is None else str(told),
        frozenset(json.loads(str(listed))) if is_read else None,
        bool(message.foreign_batch),
    )
