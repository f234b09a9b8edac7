"""Which jobs share a dispatch block, and how it is called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_fsm.jobs.job import Job
from plugins.experiments.generic import FILES_PER_DISPATCH_BLOCK, JOBS_PER_DISPATCH_BLOCK
from tests.decisions import defined, going
from tests.unit.test_generic_blocks import A, B, anywhere, names


@pytest.mark.parametrize(
    ("jobs", "files_each", "blocks"),
    [
        (JOBS_PER_DISPATCH_BLOCK, 0, 1),
        (JOBS_PER_DISPATCH_BLOCK + 1, 0, 2),
        (FILES_PER_DISPATCH_BLOCK, 1, 1),
        (11, 2, 2),
    ],
)
def test_dispatch_blocks_hold_20_files_or_21_jobs(jobs: int, files_each: int, blocks: int) -> None:
    """0 files each: all jobs share one."""
    members = [
        defined(number, *([f"in.{number}.{part}" for part in range(files_each)] or ["shared"]))
        for number in range(1, jobs + 1)
    ]
    plans = [going(plan) for plan in anywhere().setup(members).values()]
    assert len({transfer.block for plan in plans for transfer in plan.transfers}) == blocks
    assert all(len(plan.transfers) == 1 for plan in plans), "a job is never split over two blocks"


def test_a_dispatch_block_that_is_closed_gets_a_successor() -> None:
    job = defined(1, "far.csv")
    (first,) = going(anywhere().setup([job])[1]).transfers
    job.closed_blocks = frozenset({first.block.name})
    (second,) = going(anywhere().setup([job])[1]).transfers
    assert second.block.name != first.block.name
    assert (second.block.source, second.block.destination) == (A, B)


def carriers(*jobs: Job) -> list[str]:
    """The dispatch block of each of these jobs."""
    plans = anywhere().setup(jobs)
    return [going(plans[job.job_id]).transfers[0].block.name for job in jobs]


NOT_ALIKE: dict[str, dict[str, Any]] = {
    "queue of one storage": {"site": "OTHER"},
    "task": {"task_id": 8},
    "experiment": {"vo": "else"},
    "transfer type": {"transfer_type": "direct"},
    "processing type": {"processing_type": "reco"},
    "owner of the task": {"is_jedis": True},
}


@pytest.mark.parametrize("what", NOT_ALIKE)
def test_what_does_not_travel_alike_shares_no_dispatch_block(what: str) -> None:
    assert len(set(carriers(defined(1, "far.csv"), defined(2, "near.csv")))) == 1
    assert len(set(carriers(defined(1, "far.csv"), defined(2, "near.csv", **NOT_ALIKE[what])))) == 2


def test_a_test_of_production_travels_alone_and_so_does_each_dataset() -> None:
    assert len(set(carriers(*(defined(number, "far.csv", label="prod_test") for number in (1, 2))))) == 2
    other = defined(2, "far.csv")
    other.files[0].dataset = "user.lab.other"
    assert len(set(carriers(defined(1, "far.csv"), other))) == 2


@pytest.mark.parametrize(
    ("dataset", "tags", "stem"),
    [
        ("mc26.1234.physics.merge.AOD.e1_s2", "", "AOD.transfer."),
        ("mc26.1234.physics.merge.AOD.e1_s2/", "pc,ip", "AOD.prestaging."),
        (f"mc26.1234.physics.merge.{'X' * 20}.e1", "", f"{'X' * 20}.transfer."),
        (f"mc26.1234.physics.merge.{'X' * 21}.e1", "", "GEN.transfer."),
        ("mc26.1234.physics.merge..e1", "", "GEN.transfer."),
        ("user.me.in", "ipx", "GEN.transfer."),
    ],
)
def test_a_dispatch_block_says_what_it_carries_and_how(dataset: str, tags: str, stem: str) -> None:
    job = defined(1, "far.csv", entered_at=datetime(2026, 1, 2, tzinfo=UTC), special_handling=tags)
    job.files[0].dataset = dataset
    assert carriers(job)[0].startswith(f"panda.7.01.02.{stem}")


KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "urgent": {"priority": 6001},
    "of a test": {"label": "prod_test"},
    "build": {"label": "panda"},
    "of another task": {"task_id": 8},
    "for elsewhere": {"destination": A},
    "late": {"closed": 1},
    "latest": {"closed": 2},
}


def kin(job_id: int, inputs: Sequence[str], kind: str) -> Job:
    """A job of a kind; those that come late find the blocks of one or two generations closed."""
    fields = dict(KINDS[kind])
    rounds = fields.pop("closed", 0)
    job = defined(job_id, *inputs, **fields)
    for _ in range(rounds):
        job.closed_blocks |= frozenset(names(anywhere().setup([job])[job_id]))
    return job


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.integers(1, 130),
        st.tuples(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), st.sampled_from(sorted(KINDS))),
        max_size=60,
    )
)
def test_no_dispatch_block_is_split_over_two_sub_blocks(jobs: dict[int, tuple[list[str], str]]) -> None:
    plans = anywhere().setup([kin(job_id, inputs, kind) for job_id, (inputs, kind) in jobs.items()])
    outputs: dict[str, set[tuple[str, ...]]] = {}
    for plan in map(going, plans.values()):
        for transfer in plan.transfers:
            outputs.setdefault(transfer.block.name, set()).add(tuple(names(plan)))
    assert all(len(found) == 1 for found in outputs.values()), outputs
