"""Claims for pilots that go: what nobody took is given back, all of it, and holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from gateway.work.claims import Claims
from gateway.work.publishing import Publishing
from gateway.work.waiting import CURRENT, Waiting
from panda_fsm.claims import Claim, Filters, Given, GivenBack, Seat
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError


class Jobs:
    """A store with jobs; `go` lets claims through, one each, `trouble` is raised instead of the next claim."""

    def __init__(self, *job_ids: int) -> None:
        self.left = list(job_ids)
        self.returned: list[int] = []
        self.locked: set[int] = set()
        self.doubled: list[Given] = []
        self.go = asyncio.Semaphore(1000)
        self.asked = asyncio.Event()
        self.trouble: list[Exception | None] = []

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble is not None:
            raise trouble
        claim = Claim([], [], doubled=self.doubled)
        for filters, seats in groups:
            found = [JobDescription(self.left.pop(0), {"version": 4}, {}, []) if self.left else None for _ in seats]
            claim.jobs += found
            if None in found:
                claim.more_waiting.add(filters)
        self.asked.set()
        await self.go.acquire()
        return claim

    async def give_back(self, given: Sequence[Given]) -> GivenBack:
        asked = {one.job.job_id for one in given}
        locked, self.locked = self.locked & asked, self.locked - asked
        self.returned += sorted(asked - locked)
        return GivenBack([], frozenset(locked))

    async def forget_published(self, message_ids: Sequence[str]) -> None: ...

    async def paused_sites(self) -> frozenset[str]:
        return frozenset()


async def nobody(_message_ids: Sequence[str]) -> None:
    """What is left is left."""


class NoBroker:
    """Nothing is published here."""

    is_connected = True
    is_blocked = False
    trouble = None

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def publish(self, message: Outgoing) -> None: ...


def play(scene: Callable[[Jobs, Claims], Coroutine[Any, Any, None]], *job_ids: int) -> None:
    """Run a scene with so many jobs."""

    async def run() -> None:
        jobs = Jobs(*job_ids)
        claims = Claims(jobs, Publishing(NoBroker(), nobody))
        await scene(jobs, claims)
        await claims.drain()

    asyncio.run(run())


def ask(claims: Claims, number: int = 1, wanted: int = 1) -> asyncio.Task[list[JobDescription]]:
    """A pilot that asks."""
    seats = [Seat(f"cause-{number}-{n}", "pilot", "n1", {}) for n in range(wanted)]
    return asyncio.create_task(claims.acquire(Filters("Q"), seats))


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
def test_a_claim_for_somebody_who_has_gone_is_given_up_and_costs_nobody_else_his(others: int) -> None:
    async def scene(jobs: Jobs, claims: Claims) -> None:
        jobs.go = asyncio.Semaphore(0)
        first = ask(claims, 0)
        await jobs.asked.wait()
        asked = [first, *(ask(claims, number) for number in range(1, 1 + others))]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait((first,))
        jobs.go.release()
        jobs.go.release()
        for task in asked[1:]:
            assert [job.job_id for job in await task] == [2]
        await claims.drain()
        assert jobs.returned == [], "a claim that is for nobody any more is given up; the store looks after its job"

    play(scene, 1, 2)


def test_of_pilots_that_ask_together_only_the_job_of_the_one_that_has_gone_comes_back() -> None:
    async def scene(jobs: Jobs, claims: Claims) -> None:
        jobs.go = asyncio.Semaphore(0)
        first = ask(claims, 0)
        await jobs.asked.wait()
        stays, goes = ask(claims, 1), ask(claims, 2, wanted=2)
        await asyncio.sleep(0)
        jobs.asked.clear()
        jobs.go.release()
        await first
        await jobs.asked.wait()
        goes.cancel()
        await asyncio.wait((goes,))
        jobs.go.release()
        assert [job.job_id for job in await stays] == [2]
        await claims.drain()
        assert jobs.returned == [3, 4]

    play(scene, 1, 2, 3, 4)


def test_a_job_whose_answer_can_no_more_be_written_is_given_back() -> None:
    """The connection breaks in the moment between the claim and the answer."""

    async def scene(jobs: Jobs, claims: Claims) -> None:
        waiting = Waiting(None)
        CURRENT.set(waiting)
        jobs.go = asyncio.Semaphore(0)
        asked = ask(claims)
        await jobs.asked.wait()
        waiting.has_hung_up = True
        jobs.go.release()
        assert await asked == []
        await claims.drain()
        assert jobs.returned == [1]

    play(scene, 1)


def test_what_somebody_looks_at_is_given_back_a_moment_later_and_holds_up_no_other() -> None:
    """Jobs of pilots that were given another at the same moment."""

    async def scene(jobs: Jobs, claims: Claims) -> None:
        jobs.locked = {7}
        seat = Seat("cause", "pilot", "n1", {})
        jobs.doubled = [Given(seat, JobDescription(job_id, {}, {}, [])) for job_id in (7, 8)]
        assert [job.job_id for job in await ask(claims)] == [1]
        await claims.drain()
        assert jobs.returned == [8, 7]

    play(scene, 1)


def test_trouble_after_a_part_was_claimed_loses_nothing() -> None:
    async def scene(jobs: Jobs, claims: Claims) -> None:
        jobs.trouble = [None, TransientError("away")]
        assert [job.job_id for job in await ask(claims, wanted=2)] == [1], "it is committed and must reach its pilot"
        jobs.trouble = [TransientError("away")]
        with pytest.raises(TransientError):
            await ask(claims)
        await claims.drain()
        assert jobs.returned == []

    play(scene, 1)


def test_trouble_after_others_were_served_is_not_told_as_no_jobs() -> None:
    async def scene(jobs: Jobs, claims: Claims) -> None:
        jobs.go, jobs.trouble = asyncio.Semaphore(0), [None, None, TransientError("away")]
        first = ask(claims, 0)
        await jobs.asked.wait()
        second, third = ask(claims, 1), ask(claims, 2)
        await asyncio.sleep(0)
        jobs.go.release()
        jobs.go.release()
        assert [[job.job_id for job in await one] for one in (first, second)] == [[1], [2]]
        with pytest.raises(TransientError, match="just now"):
            await third

    play(scene, 1, 2)
