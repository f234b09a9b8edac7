"""The seat: what tells pilots apart, what becomes of jobs whose pilots are silent, gone, or lost their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.watcher import Watcher
from gateway.wire.pilot_requests import AcquireRequest
from gateway.work.claims import Claims
from gateway.work.places import place
from gateway.work.publishing import Publishing
from gateway.work.waiting import CURRENT, Waiting
from panda_fsm.claims import Claim, Filters, Given, Seat
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Effects, Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import HANDED_OUT_AGAIN, TableLimits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import DeadlinePassed
from panda_fsm.outcomes import Advance, Ignore, Outcome
from tests import factories

S = State
OVERDUE = datetime.now(UTC) - timedelta(seconds=1)
WORKER: dict[str, Any] = {"site_name": "Q", "node": "n1", "harvester_id": "h", "worker_id": 77}
FACTORY = {"site_name": "Q", "node": "n1", "scheduler_id": "h", "worker_id": 77}
SLOT = {"site_name": "Q", "node": "slot1_2@n1"}


def place_of(holder: str = "pilot", **fields: Any) -> str | None:
    return place(holder, AcquireRequest.model_validate(fields))


@pytest.mark.parametrize("ask", [WORKER, FACTORY, SLOT], ids=["worker", "factory", "slot"])
def test_the_same_pilot_has_the_same_place_whatever_else_it_says(ask: dict[str, Any]) -> None:
    again = ask | {"memory": 1, "task_id": 7, "worker_id": str(ask["worker_id"]) if "worker_id" in ask else None}
    assert place_of(**ask) == place_of(**again) is not None


@pytest.mark.parametrize(
    "other",
    [{"worker_id": 78}, {"harvester_id": "i"}, {"node": "n2"}, {"site_name": "R"}, {"holder": "another"}],
    ids=lambda other: next(iter(other)),
)
def test_what_makes_it_another_pilot(other: dict[str, Any]) -> None:
    fields: dict[str, Any] = WORKER | other
    assert place_of(**WORKER) != place_of(**fields)


@pytest.mark.parametrize(
    "ask",
    [{}, {"scheduler_id": "unknown"}, {"scheduler_id": "factory"}, {"worker_id": ""}, {"worker_id": "NULL"},
     {"harvester_id": "h", "worker_id": 0}, {"node": "a@b"}],
    ids=str,
)  # fmt: skip
def test_where_nothing_tells_pilots_apart_there_is_no_place(ask: dict[str, Any]) -> None:
    """A machine runs many pilots with one token, a factory sends thousands."""
    assert place_of(**({"site_name": "Q", "node": "n1"} | ask)) is None


def test_parts_of_a_place_do_not_run_into_each_other() -> None:
    assert place_of(site_name="Q", harvester_id="a", worker_id="bc") != place_of(
        site_name="Q", harvester_id="ab", worker_id="c"
    )


def decide(message: Any, job: Job) -> Outcome:
    """What the Watcher makes of a message about a job."""
    return Watcher(TableLimits({}, {})).decide(factories.item(message, job))


def passed(job: Job) -> DeadlinePassed:
    """The deadline of this very state of the job."""
    return DeadlinePassed(job_id=1, state=job.state, version=job.version)


def ends_in(outcome: Outcome, job: Job) -> State:
    """Apply an Advance as process.py does."""
    assert isinstance(outcome, Advance), outcome
    Effects().step(job, outcome.trigger, "cause", outcome.detail)
    return job.state


def test_a_job_whose_pilot_never_spoke_goes_to_another_one_but_not_for_ever() -> None:
    job = factories.job(S.SENT, deadline_at=OVERDUE)
    effects = Effects()
    for number in range(1, HANDED_OUT_AGAIN + 1):
        outcome = decide(passed(job), job)
        assert isinstance(outcome, Advance)
        assert outcome.changes.errors == (), "it is no error of the job"
        effects.step(job, outcome.trigger, "cause", outcome.detail)
        assert (job.state, job.returns) == (S.ACTIVATED, number)
        effects.step(job, Trigger.ACQUIRED, "cause", None)
    assert ends_in(decide(passed(job), job), job) is S.FAILED
    heard = factories.job(S.SENT, deadline_at=OVERDUE, entered_at=OVERDUE - timedelta(hours=2))
    heard.heard_at = OVERDUE - timedelta(hours=1)
    assert ends_in(decide(passed(heard), heard), heard) is S.FAILED, "its pilot spoke: it may still work"


def test_a_report_that_was_accepted_before_the_job_went_to_another_pilot_changes_nothing() -> None:
    job = factories.job(S.SENT, returns=1)
    assert isinstance(decide(factories.report(1, "finished", returns=0), job), Ignore)
    assert ends_in(decide(factories.report(1, "starting", returns=1), job), job) is S.STARTING


def row(**fields: Any) -> JobRow:
    """A job as it is read before a report is judged."""
    values: dict[str, Any] = {
        "job_id": 1, "state": S.SENT, "attempt_nr": 0, "owner": "o", "holder": "p", "label": "user", "command": None,
        "batch_id": None, "has_report": False, "node": "n2",
    }  # fmt: skip
    return JobRow(**(values | fields))


@pytest.mark.parametrize(
    ("left_by", "node", "is_ghost"),
    [
        (["n1"], "n1", True),
        (["n1"], "n2", False),
        (["n1", "n2"], "n2", False),
        (["n1"], "n3", False),
        (["n1"], None, False),
        (None, "n1", False),
    ],
    ids=[
        "was silent",
        "has it",
        "was silent and has it now",
        "of whoever acquired for it",
        "unsaid",
        "nobody was silent",
    ],
)
def test_the_pilot_that_lost_the_job_by_silence_is_a_ghost(
    left_by: list[str] | None, node: str | None, is_ghost: bool
) -> None:
    """All pilots of a queue may share one token: who had the job before is known by its node."""
    report = factories.report(1, "starting", attributes={} if node is None else {"node": node})
    assert (judge(report, row(left_by=left_by), True) is Judgement.GHOST) == is_ghost


class Jobs:
    """A store with jobs; `go` lets claims through, one each, `trouble` is raised instead of the next claim."""

    def __init__(self, *job_ids: int) -> None:
        self.left = list(job_ids)
        self.returned: list[int] = []
        self.go = asyncio.Semaphore(1000)
        self.asked = asyncio.Event()
        self.trouble: list[Exception | None] = []

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble is not None:
            raise trouble
        claim = Claim([], [])
        for filters, seats in groups:
            found = [JobDescription(self.left.pop(0), {}, {}, []) if self.left else None for _ in seats]
            claim.jobs += found
            if None in found:
                claim.more_waiting.add(filters)
        self.asked.set()
        await self.go.acquire()
        return claim

    async def give_back(self, given: Sequence[Given]) -> list[Outgoing]:
        self.returned += [one.job.job_id for one in given]
        return []

    async def forget_published(self, message_ids: Sequence[str]) -> None: ...


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
def test_a_job_that_was_claimed_for_somebody_who_has_gone_is_given_back(others: int) -> None:
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
        # A claim that is for nobody any more is given up with its transaction; the store looks after that one.
        assert jobs.returned in ([], [1])

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
