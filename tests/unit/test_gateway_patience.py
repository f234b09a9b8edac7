"""A job on its way is waited for; one that cannot come is denied at once, whoever burned its id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.requests import Request

from gateway.access.identity import PRODUCTION, Identity
from gateway.api import jobs
from gateway.context import Gateway
from gateway.http.refusal import NotYetError
from gateway.http.route import Call
from gateway.wire.user_requests import ReassignRequest
from gateway.work.idempotency import Made
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


@pytest.mark.parametrize(
    ("asked", "handled_after", "is_late"),
    [([5, 6], 10**6, True), ([5], 0, False), ([10 * BLOCK], 10**6, False)],
    ids=["on their way for long", "a burned id", "never handed out"],
)
def test_who_reassigns_what_is_not_there_yet_is_told_so(
    monkeypatch: pytest.MonkeyPatch, asked: list[int], handled_after: int, is_late: bool
) -> None:
    """Success would say that it was done, and JEDI would never ask again."""
    monkeypatch.setattr(jobs, "_WAIT_S", 0.0)
    store = Store(handled_after)
    requests = SimpleNamespace(jobs=store.read, submission_waits=store.submission_waits)
    parts = SimpleNamespace(job_ids=JobIds(store), store=SimpleNamespace(requests=requests))  # type: ignore[arg-type]
    call = Call(Identity("iss", "boss", "", roles=frozenset({("lab", PRODUCTION)})), cast("Request", None))

    async def ask() -> Made:
        return await jobs._reassigns(cast("Gateway", parts), call, ReassignRequest(job_ids=asked))

    if is_late:
        with pytest.raises(NotYetError, match="2 of the jobs are on their way still"):
            asyncio.run(ask())
    else:
        assert asyncio.run(ask()) == Made([], None, None)
