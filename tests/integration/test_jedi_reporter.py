"""What JEDI is told, on a real broker: in order, at least once, whoever dies and whatever is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest

from jedi import held_queues, reporter, status
from jedi.reporter import Reporter
from lab.services import Services
from panda_fsm.effects import Effects, Outgoing
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.ports import Published, Publisher
from panda_fsm.status_queues import STATUS, queue_of_task
from panda_fsm.trouble import Condition
from sql.jedi_statuses import Statuses
from tests import factories
from tests.broker_side import channel_of, waiting
from tests.driver import Database
from tests.inprocess import Outlet, Serve, put
from tests.integration.test_jedi_messages import CAUSE
from tests.integration.test_process import Creator
from tests.polling import wait_until
from tests.processes import Processes

TASKS = range(1, 9)
SHARDS = 2
LEFT = "SELECT count(*) FROM jedi_message"
Move = Callable[..., None]


@pytest.fixture
def move(serve: Serve, database: Database) -> Move:
    """One job of JEDI's in each task, named like it, and sent; steps of theirs, a batch a trigger."""
    store = serve(Creator())
    store.handle(factories.submit(*(factories.draft(task, task_id=task, is_jedis=True) for task in TASKS)))
    put(database, TASKS, State.SENT)

    def moved(*triggers: Trigger, job_ids: Sequence[int] = TASKS) -> None:
        for trigger in triggers:
            effects = Effects()
            for job in store.store.load(job_ids, files=True, report=False).values():
                effects.step(job, trigger, CAUSE, None)
            with store.store.transaction() as tx:
                tx.write(effects)

    return moved


class NoQueues:
    """Nothing to declare."""

    def declare(self, vo: str) -> None: ...


@pytest.fixture
def report(database_url: str, database: Database) -> Iterator[Callable[[Publisher], Condition]]:
    """A reporter inside the test, until nothing is left or it is in trouble."""
    statuses = Statuses(database_url, 30)

    def told(publisher: Publisher) -> Condition:
        condition = Condition(lambda _part, _trouble: telling.end())
        telling = Reporter(statuses, publisher, NoQueues(), SHARDS, 1, condition)
        running = threading.Thread(target=telling.run)
        running.start()
        wait_until(lambda: not running.is_alive() or database.value(LEFT) == 0, "all is told, or it ends")
        telling.end()
        running.join(30)
        return condition

    yield told
    statuses.close()


def received(broker_url: str, *queues: str) -> list[dict[str, Any]]:
    """All that lies in these queues, taken."""
    found: list[dict[str, Any]] = []
    with channel_of(broker_url) as channel:
        for queue in queues:
            left = int(channel.queue_declare(queue, passive=True).method.message_count)
            for _ in range(left):
                _, _, told = next(channel.consume(queue, auto_ack=True))
                found.append(orjson.loads(told or b""))
            channel.cancel()
    return found


QUEUES = sorted({queue_of_task("lab", task, SHARDS) for task in TASKS})
AS_SET = {"PANDA_FSM_JEDI_SHARDS": str(SHARDS)}


def test_each_task_is_told_in_order_in_its_own_queue_and_others_may_listen(
    move: Move, processes: Processes, broker_url: str, database: Database
) -> None:
    processes.start("jedi.status", **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "births are told")
    with channel_of(broker_url) as channel:
        channel.queue_declare("another")
        channel.queue_bind("another", STATUS, "lab.*.running")
    move(Trigger.PILOT_STARTING, Trigger.PILOT_RUNNING)
    wait_until(lambda: database.value(LEFT) == 0, "steps are told")
    for queue in QUEUES:
        told = received(broker_url, queue)
        assert {queue_of_task("lab", one["taskid"], SHARDS) for one in told} == {queue}
        assert [one["seq"] for one in told] == sorted(one["seq"] for one in told)
        for task in {one["taskid"] for one in told}:
            assert [one["status"] for one in told if one["taskid"] == task] == ["defined", "starting", "running"]
    assert sorted(one["jobid"] for one in received(broker_url, "another")) == list(TASKS)


def test_what_was_published_before_a_crash_comes_again_as_it_was(
    move: Move, report: Callable[[Publisher], Condition], database: Database
) -> None:
    move(Trigger.PILOT_RUNNING)

    class Dying(Outlet):
        def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
            super().publish(messages, timeout_s)
            raise MemoryError

    dying, living = Dying(), Outlet()
    assert "MemoryError" in str(report(dying).trouble)
    assert database.value(LEFT) == len(TASKS) * 2
    assert report(living).trouble is None
    assert [(one.message_id, one.body) for one in living.taken] == [(one.message_id, one.body) for one in dying.taken]


def test_what_is_not_confirmed_comes_again_with_all_behind_it(
    move: Move, report: Callable[[Publisher], Condition]
) -> None:
    move(Trigger.PILOT_RUNNING)
    taken: list[Outgoing] = []

    class Losing(Outlet):
        def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
            first = not taken
            taken.extend(messages)
            return Published(confirmed=[*messages[:3], *messages[4:]] if first else list(messages))

    assert report(Losing()).trouble is None
    told = [orjson.loads(one.body)["seq"] for one in taken]
    first, second = ([seq for seq in range(1, 17) if _queue_of(taken, seq) == queue] for queue in QUEUES)
    assert told == [*first, *second, *first[3:]], "queue by queue, and of the one that missed a message all behind it"


def _queue_of(taken: Sequence[Outgoing], seq: int) -> str:
    return next(one.exchange for one in taken if orjson.loads(one.body)["seq"] == seq)


def test_a_queue_that_takes_nothing_stops_no_other_and_gets_all_in_order_when_it_does(
    move: Move, report: Callable[[Publisher], Condition], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is to be told there, the others' messages come behind it in the same windows."""
    monkeypatch.setattr(reporter, "_WINDOW", 4)
    monkeypatch.setattr(held_queues, "_ALONE_S", (0.1, 0.1))
    bad, good = QUEUES
    move(Trigger.PILOT_STARTING)
    move(Trigger.PILOT_RUNNING)
    total = int(database.value(LEFT))
    heard: dict[str, list[int]] = {queue: [] for queue in QUEUES}
    tries: list[int] = []

    class Refusing(Outlet):
        def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
            published = Published()
            for message in messages:
                told = orjson.loads(message.body)
                queue = queue_of_task("lab", told["taskid"], SHARDS)
                works = queue == good or len(heard[good]) == total // 2
                (published.confirmed if works else published.declined).append(message)
                (heard[queue] if works else tries).append(told["seq"])
            return published

    assert report(Refusing()).trouble is None
    assert {queue: sorted(seqs) for queue, seqs in heard.items()} == heard
    assert sum(map(len, heard.values())) == total
    assert set(tries) <= set(heard[bad][:4]), "after the first window, only the first of them is tried"


def test_what_no_broker_takes_is_buried_and_holds_up_nobody(
    move: Move, processes: Processes, broker_url: str, database: Database
) -> None:
    database.execute(
        "UPDATE jedi_message SET body = jsonb_build_object('gshare', repeat('x', 16000000)) WHERE job_id = 3"
    )
    processes.start("jedi.status", **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "all are told or buried")
    assert sorted(one["jobid"] for one in received(broker_url, *QUEUES)) == [task for task in TASKS if task != 3]
    ((queue, key, reason),) = database.rows("SELECT queue, routing_key, reason FROM dead_letter")
    assert (queue, key) == (queue_of_task("lab", 3, SHARDS), "lab.3.defined")
    assert "more than the" in reason


def test_what_no_body_can_be_made_of_is_buried_and_holds_up_nobody(
    move: Move, report: Callable[[Publisher], Condition], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_queues, "_ALONE_S", (0.1, 0.1))
    made = status.body
    monkeypatch.setattr(
        reporter, "body", lambda one: made(one) if one.job_id != 3 or one.glance is None else {"x": 2**70}
    )
    outlet = Outlet()
    report(outlet)
    assert {orjson.loads(one.body)["jobid"] for one in outlet.taken} == set(TASKS) - {3}
    ((key, reason),) = database.rows("SELECT routing_key, reason FROM dead_letter")
    assert (key, reason.partition(":")[0]) == ("lab.3.defined", "no body can be made of it")


def test_a_queue_that_was_deleted_is_made_again_and_gets_what_it_missed(
    move: Move, processes: Processes, broker_url: str, database: Database
) -> None:
    processes.start("jedi.status", **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "births are told")
    with channel_of(broker_url) as channel:
        for queue in QUEUES:
            channel.queue_delete(queue)
    move(Trigger.PILOT_RUNNING)
    wait_until(lambda: database.value(LEFT) == 0, "steps are told")
    assert {one["jobid"] for one in received(broker_url, *QUEUES) if one["status"] == "running"} == set(TASKS)
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_a_queue_without_a_leader_is_made_anew_and_the_others_are_told_meanwhile(
    services: Services, move: Move, processes: Processes, broker_url: str, database: Database
) -> None:
    bad, good = QUEUES
    processes.start("jedi.status", **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "births are told")
    with channel_of(broker_url) as channel:
        channel.queue_delete(bad)
        channel.connection.sleep(1.5)  # the others' names are on disk
        for seconds in (0.15, 0.1):  # mostly it says nothing at all afterwards; made once, it nacks
            channel.queue_delete(bad)
            channel.queue_declare(bad, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(bad, STATUS, bad)
            channel.connection.sleep(seconds)
    services.rabbitmq.kill()
    services.rabbitmq.start()
    move(Trigger.PILOT_RUNNING)
    mine = [task for task in TASKS if queue_of_task("lab", task, SHARDS) == bad]
    of_others = f"{LEFT} WHERE task_id <> ALL(%s)"
    wait_until(lambda: database.value(of_others, (mine,)) == 0, "the others are told", 60)
    told = {(one["taskid"], one["status"]) for one in received(broker_url, good)}
    assert told == {(task, status) for task in set(TASKS) - set(mine) for status in ("defined", "running")}
    wait_until(lambda: database.value(LEFT) == 0, "all is told", 120)
    assert sorted({one["taskid"] for one in received(broker_url, bad)}) == mine


def test_one_tells_and_another_takes_over(
    move: Move, processes: Processes, broker_url: str, database: Database, database_url: str
) -> None:
    one, other = Statuses(database_url, 30), Statuses(database_url, 30)
    with one.window(5) as window:
        assert window is not None
        with other.window(5) as second:
            assert second is None
    with other.window(5) as second:
        assert second is not None
    one.close()
    other.close()
    for name in ("first", "second"):
        processes.start("jedi.status", name=name, **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "births are told")
    move(Trigger.PILOT_STARTING)
    processes.kill("first")
    move(Trigger.PILOT_RUNNING)
    wait_until(lambda: database.value(LEFT) == 0, "the other tells")
    last: dict[int, int] = {}
    for told in received(broker_url, *QUEUES):
        if told["seq"] > last.get(told["jobid"], 0):
            last[told["jobid"]] = told["seq"]
    assert last == dict(database.rows("SELECT job_id, seq FROM jedi_job"))


def test_what_is_told_waits_for_the_broker(
    move: Move, processes: Processes, broker_url: str, database: Database
) -> None:
    away = processes.environment["PANDA_FSM_BROKER_URL"].rpartition("@")[0] + "@127.0.0.1:1/none"
    processes.start("jedi.status", PANDA_FSM_BROKER_URL=away, PANDA_FSM_CONFIRM_TIMEOUT_S="0.5", **AS_SET)
    trouble = "SELECT trouble FROM process WHERE service = 'jedi.status' AND trouble IS NOT NULL"
    assert "jedi.status" in str(wait_until(lambda: database.rows(trouble), "it says what is wrong"))
    assert database.value(LEFT) == len(TASKS)
    processes.start("jedi.status", name="another", **AS_SET)
    wait_until(lambda: database.value(LEFT) == 0, "who has a broker tells")
    assert sum(waiting(broker_url, queue) for queue in QUEUES) == len(TASKS)


def test_a_database_that_is_away_is_trouble_and_no_end(database_url: str) -> None:
    gone = Statuses(database_url.rpartition("@")[0] + "@127.0.0.1:1/none", 5)
    condition = Condition(lambda _part, _trouble: telling.end())
    telling = Reporter(gone, Outlet(), NoQueues(), SHARDS, 1, condition)
    telling.run()
    assert "jedi.status: TransientError" in str(condition.trouble)
