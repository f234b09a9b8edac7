"""One act on all jobs that a filter finds: beforehand with how many, then in slices, never more than is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from consumers.watcher import Watcher
from lab.site import VO
from panda_fsm.jobs.acts import Order
from panda_fsm.messages import AnyMessage, KillJob, ReleaseJobs, SetPriority, decode, new_message_id
from panda_fsm.views.job_list import JobsWanted
from panda_fsm.views.operations import BulkRun, Operation, OperationsWanted, as_filter, wanted_of
from sql.operators import OperatorStore
from sql.pool import Pool
from sql.views.operations import OperationReads
from tests.clockwork import Clock
from tests.driver import Database
from tests.inprocess import LIMITS, Serve
from tests.waiting_jobs import add_jobs

Found = TypeVar("Found")
EVERYWHERE = frozenset({""})
KILL = Order("kill", "ana", "s:ana", "bad inputs", code=91)


def asked(database_url: str, ask: Callable[[Pool], Awaitable[Found]]) -> Found:
    """What the database answers over a pool of connections."""

    async def scene() -> Found:
        pool = Pool(database_url, "test", 1, 20, by_index=False)
        await pool.open()
        try:
            return await ask(pool)
        finally:
            await pool.close()

    return asyncio.run(scene())


def begin(database_url: str, wanted: JobsWanted, vos: tuple[str, ...] = ("",), **fields: Any) -> Operation:
    """An operation that somebody asks for."""
    values: dict[str, Any] = {
        "operation_id": new_message_id(), "actor": "s:ana", "actor_name": "ana", "act": "kill", "wishes": {"code": 91},
        "reason": "bad inputs", "total": 1, "is_at_least": False,
    }  # fmt: skip
    operation = Operation(filter=as_filter(wanted), vos=vos, **(values | fields))
    assert asked(database_url, lambda pool: OperatorStore(pool).begin(operation))
    return operation


def now(database_url: str, operation: Operation) -> Operation:
    """How far it is."""
    found = asked(database_url, lambda pool: OperationReads(pool).one(operation.operation_id))
    assert found is not None
    return found


def requests(database: Database) -> list[AnyMessage]:
    """What was asked of services, and is not handled."""
    return [decode(body.encode()) for (body,) in database.rows("SELECT body FROM request ORDER BY message_id")]


def handled(database: Database) -> list[AnyMessage]:
    """The services have done what was asked."""
    found = requests(database)
    database.execute("DELETE FROM request")
    return found


def dry(database_url: str, wanted: JobsWanted, order: Order = KILL, vos: frozenset[str] = EVERYWHERE) -> BulkRun:
    return asked(database_url, lambda pool: OperationReads(pool).dry_run(wanted, order, vos))


@pytest.fixture
def jobs(database_url: str) -> None:
    """Of two VOs and sites, in states of which some are over."""
    add_jobs(database_url, range(1, 41))
    add_jobs(database_url, range(41, 51), state="running", site="OTHER")
    add_jobs(database_url, range(51, 56), state="finished", site="OTHER")
    add_jobs(database_url, range(56, 61), vo="era", task_id=8, user_name="Bob")
    add_jobs(database_url, range(61, 63), state="running", command="tobekilled")


@pytest.mark.usefixtures("jobs")
def test_a_dry_run_says_with_how_many_and_why_not_with_others(database_url: str) -> None:
    found = dry(database_url, JobsWanted())
    reasons = {one.why: (one.jobs, set(one.sample)) for one in found.rows}
    assert (found.eligible, found.is_cut, found.is_confirmed_by_typing) == (55, False, False)
    assert reasons == {
        "is finished already": (5, set(range(51, 56))), "its pilot is told already": (2, {61, 62}),
    }  # fmt: skip
    in_vo = dry(database_url, JobsWanted(site=None, state="activated"), vos=frozenset({"era"}))
    assert (in_vo.eligible, [one.jobs for one in in_vo.rows]) == (5, [40])
    assert "where you are no operator" in in_vo.rows[0].why
    assert dry(database_url, JobsWanted(user="Bob", task=8)).eligible == 5
    assert dry(database_url, JobsWanted(site="nowhere")) == BulkRun(0, (), (), False)


@pytest.mark.usefixtures("jobs")
def test_it_is_done_once_to_each_job_with_an_audit(database_url: str, database: Database, clock: Clock) -> None:
    operation = begin(database_url, JobsWanted(site="OTHER"), total=10)
    assert not asked(database_url, lambda pool: OperatorStore(pool).begin(operation)), "the same again"
    add_jobs(database_url, range(100, 102), site="OTHER")
    clock.round("operations")
    kills = [one for one in handled(database) if isinstance(one, KillJob)]
    assert [one.job_id for one in kills] == list(range(41, 51)), "and none that came later"
    assert {(one.actor, one.code, one.reason) for one in kills} == {
        ("ana", 91, f"bad inputs (operation {operation.operation_id})")
    }
    assert database.value("SELECT count(*) FROM outbox") == 10, "left to the relay"
    found = now(database_url, operation)
    assert (found.status, found.done, found.skipped, found.share) == ("done", 10, 5, 1.0)
    assert found.why_not == {"is finished already": 5}
    (begun, killed) = database.rows("SELECT actor, action, object, detail FROM audit ORDER BY audit_id")
    assert begun[:3] == ("s:ana", "operation_begun", f"operation {operation.operation_id}")
    assert (begun[3]["reason"], begun[3]["filter"], begun[3]["jobs"]) == ("bad inputs", {"site": "OTHER"}, 10)
    assert killed[:3] == ("s:ana", "kill_requested", "jobs 41-50")
    assert (killed[3]["operation"], killed[3]["jobs"]) == (operation.operation_id, 10)
    assert not clock.slice("operations")


def test_thousands_go_in_slices_and_wait_for_their_services(
    database_url: str, database: Database, clock: Clock, serve: Serve
) -> None:
    add_jobs(database_url, range(1, 3501))
    operation = begin(database_url, JobsWanted(site=None, task=7), total=3500)
    clock.round("operations")
    assert len(requests(database)) == 2000, "no more than services have yet to do"
    found = now(database_url, operation)
    assert (found.status, found.done, found.cursor) == ("running", 2000, 2000)
    database.execute("DELETE FROM outbox")
    watcher = serve(Watcher(LIMITS))
    first = handled(database)
    clock.round("operations")
    second = requests(database)
    assert len({one.job_ids[0] for one in first + second}) == 3500
    assert now(database_url, operation).status == "done"
    watcher.handle(*first[:3])
    assert database.states() == {"cancelled": 3, "activated": 3497}


@pytest.mark.usefixtures("jobs")
def test_priorities_and_releases_go_by_their_own_messages(database_url: str, database: Database, clock: Clock) -> None:
    add_jobs(database_url, range(70, 73), state="pending")
    begin(database_url, JobsWanted(state="activated"), act="priority", wishes={"priority": 7})
    begin(database_url, JobsWanted(state="pending"), act="release", wishes={})
    clock.round("operations")
    found = {type(one): one for one in requests(database)}
    assert set(found) == {SetPriority, ReleaseJobs}
    assert found[ReleaseJobs].job_ids == (70, 71, 72)
    assert found[SetPriority].job_ids == (*range(1, 41), *range(56, 61))


@pytest.mark.usefixtures("jobs")
def test_in_a_vo_only_its_jobs_are_meant_and_what_is_cancelled_ends(
    database_url: str, database: Database, clock: Clock
) -> None:
    mine, other = (begin(database_url, JobsWanted(state="activated"), vos=(vo,)) for vo in ("era", VO))
    cancel = lambda pool: OperatorStore(pool).cancel(other.operation_id, "s:bob", "bob", "wrong ones")  # noqa: E731
    assert asked(database_url, cancel)
    assert not asked(database_url, cancel), "it is over"
    clock.round("operations")
    assert [one.job_ids[0] for one in requests(database)] == [56, 57, 58, 59, 60]
    assert (now(database_url, mine).skipped, now(database_url, other).done) == (40, 0)
    cancelled = now(database_url, other)
    assert (cancelled.status, cancelled.cancelled_by) == ("cancelled", "bob")
    page = asked(database_url, lambda pool: OperationReads(pool).page(OperationsWanted(limit=1)))
    rest = asked(database_url, lambda pool: OperationReads(pool).page(OperationsWanted(status="done")))
    assert ([one.operation_id for one in page.rows], page.next is not None) == ([other.operation_id], True)
    assert [one.operation_id for one in rest.rows] == [mine.operation_id]


@pytest.mark.usefixtures("jobs")
def test_one_that_cannot_be_done_ends_and_holds_up_no_other(
    database_url: str, database: Database, clock: Clock
) -> None:
    broken = begin(database_url, JobsWanted(state="activated"), act="priority", wishes={"priority": "high"})
    good = begin(database_url, JobsWanted(site="OTHER"))
    with pytest.raises(ValueError, match="priority"):
        clock.slice("operations")
    clock.round("operations")
    failed = now(database_url, broken)
    assert (failed.status, "priority" in str(failed.trouble)) == ("failed", True)
    assert now(database_url, good).done == 10


def test_a_filter_is_kept_as_it_stands_in_an_address() -> None:
    wanted = wanted_of({"state": "failed", "task": "7", "code": "pilot:1151", "since": "2026-11-26T14:00:00+00:00"})
    assert wanted_of(as_filter(wanted)) == wanted
    assert as_filter(JobsWanted(task=0)) == {"task": "0"}
