"""A job on its way is waited for; one that cannot come is denied at once, whoever burned its id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.api import jobs
from gateway.context import Gateway
from gateway.work.ids import BLOCK, JobIds
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State


class Store:
    """Submissions are handled, and their jobs stored, after so many looks at what waits."""

    def __init__(self, handled_after: int, stored: Sequence[int] = ()) -> None:
        self._handled_after = handled_after
        self._stored = stored
        self.looks = 0
        self.reads: list[list[int]] = []

    async def last_job_id_block(self) -> int:
        return BLOCK + 1

    async def submission_waits(self, age_s: float) -> bool:
        assert age_s >= 0
        self.looks += 1
        return self.looks <= self._handled_after

    async def read(self, job_ids: list[int]) -> dict[int, JobRow]:
        self.reads.append(job_ids)
        there = self._stored if self.looks > self._handled_after else ()
        return {job_id: row(job_id) for job_id in job_ids if job_id in there}


def row(job_id: int) -> JobRow:
    """A job."""
    return JobRow(job_id, State.DEFINED, 0, "s:owner", None, "user", None, None, False)


@pytest.mark.parametrize(
    ("asked", "store", "found", "reads"),
    [
        ([5], Store(0, [5]), [5], [[5], [5]]),
        ([5, 6], Store(2, [5, 6]), [5, 6], [[5, 6]] * 4),
        ([5], Store(0), [], [[5], [5]]),
        ([5, 10 * BLOCK], Store(0, [5]), [5], [[5, 10 * BLOCK], [5]]),
        ([10 * BLOCK], Store(0), [], [[10 * BLOCK]]),
    ],
    ids=["stored meanwhile", "stored later", "a burned id", "never handed out", "nothing to wait for"],
)
def test_patience(asked: list[int], store: Store, found: list[int], reads: list[list[int]]) -> None:
    async def ask() -> dict[int, JobRow]:
        parts = SimpleNamespace(job_ids=JobIds(store), store=SimpleNamespace(requests=store))  # type: ignore[arg-type]
        return await jobs._patiently(cast("Gateway", parts), asked, store.read)

    assert list(asyncio.run(ask())) == found
    assert store.reads == reads
