"""Pins: which inputs that are at the site already are kept there in a block, with which others, and how called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus
from panda_fsm.outcomes import NewBlock
from panda_fsm.plans import Replicas
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.pins import FILES_PER_PIN, JOBS_PER_PIN
from tests import factories
from tests.decisions import defined, going
from tests.unit.test_generic_blocks import NOWHERE, A, B, Everything

Pins = dict[int, set[str]]


class Here(Everything):
    """A catalogue in which every file is at the queue, but for those that are far."""

    def __init__(self) -> None:
        self.known: dict[str, list[tuple[str, str]]] = {}

    def replicas(self, files: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Replicas]:
        return {file: Replicas((A,) if file[1] == "far.csv" else (A, B)) for file in files}

    def register_blocks(self, blocks: Mapping[NewBlock, Sequence[tuple[str, str]]]) -> None:
        self.known |= {block.name: list(files) for block, files in blocks.items()}


def kept(*jobs: Job) -> tuple[list[NewBlock], Pins, dict[str, list[tuple[str, str]]]]:
    """The pins in the plans of these jobs, by job the names of those that hold its inputs, and what is registered."""
    catalogue = Here()
    plans = {job_id: going(plan) for job_id, plan in GenericPlugin(NOWHERE, catalogue).setup(jobs).items()}
    blocks = {block for plan in plans.values() for block in plan.blocks if block.kind is BlockKind.DISPATCH}
    names = {block.name for block in blocks}
    of_job: Pins = {}
    for job in jobs:
        changes = {change.seq: change for change in plans[job.job_id].files}
        inputs = [changes[file.seq] for file in job.files if not file.is_output and file.lfn != "far.csv"]
        assert all(change.status is FileStatus.READY for change in inputs)
        of_job[job.job_id] = {change.block for change in inputs if change.block is not None}
        assert of_job[job.job_id] <= names
    return sorted(blocks, key=lambda block: block.name), of_job, catalogue.known


def managed(job_id: int, *inputs: str, **fields: Any) -> Job:
    return defined(job_id, *inputs, **{"label": "managed"} | fields)


@pytest.mark.parametrize(
    ("label", "is_kept"), [("managed", True), ("test", True), ("prod_test", False), ("user", False)]
)
def test_inputs_of_production_are_kept_where_they_are(label: str, is_kept: bool) -> None:
    pins, of_job, known = kept(defined(1, "near.csv", "far.csv", label=label))
    assert len(pins) == len(of_job[1]) == int(is_kept)
    for pin in pins:
        assert pin == NewBlock(pin.name, BlockKind.DISPATCH, "", factories.VO, 7, B, B)
        assert known[pin.name] == [(factories.SCOPE, "near.csv")], "what must come has a block of its own"


def test_twenty_jobs_have_their_pins_in_common() -> None:
    entered = datetime(2026, 1, 2, tzinfo=UTC)
    jobs = [managed(n, "shared.csv", f"own.{n}", entered_at=entered) for n in range(5, 6 + JOBS_PER_PIN)]
    pins, of_job, known = kept(*jobs)
    assert len(pins) == 2
    first, last = of_job[5], of_job[5 + JOBS_PER_PIN]
    assert all(of_job[n] == first for n in range(5, 5 + JOBS_PER_PIN))
    assert first != last
    uuid = r"[0-9a-f]{8}-[0-9a-f-]{27}"
    assert re.fullmatch(rf"panda\.7\.01\.02\.GEN\.{uuid}_dis005", min(first))
    assert re.fullmatch(rf"panda\.7\.01\.02\.GEN\.{uuid}_dis00{5 + JOBS_PER_PIN}", min(last))
    assert len(set(known[min(first)])) == JOBS_PER_PIN + 1
    assert kept(*jobs)[0] == pins, "the same whenever it is asked"


def test_a_pin_holds_five_hundred_files() -> None:
    pins, of_job, known = kept(managed(1, *(f"in.{n}" for n in range(FILES_PER_PIN + 1))), managed(2, "in.0"))
    assert len(of_job[1]) == 2
    assert {name[-3:] for name in of_job[1]} == {"001", "011"}
    (shared,) = of_job[2]
    assert (len(set(known[shared])), len(pins)) == (FILES_PER_PIN, 2)


@pytest.mark.parametrize("what", [{"task_id": 8}, {"vo": "else"}])
def test_what_is_not_of_one_task_shares_no_pin(what: dict[str, Any]) -> None:
    assert len(kept(managed(1, "a"), managed(2, "a"))[0]) == 1
    assert len(kept(managed(1, "a"), managed(2, "a", **what))[0]) == 2


def test_a_pin_that_was_made_before_gets_a_successor() -> None:
    """It is complete, so nothing joins it."""
    job = managed(1, "a")
    (pin,), _, _ = kept(job)
    job.closed_blocks = frozenset({pin.name})
    (other,), _, _ = kept(job)
    assert other.name != pin.name
