"""What is accepted: kept first and published behind it; who was heard is written down; the broker decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from gateway.access.identity import Identity
from gateway.http.refusal import TooLargeError
from gateway.work import publishing, submissions
from gateway.work.activity import Activity
from gateway.work.ids import BLOCK, JobIds
from gateway.work.publishing import Publishing
from gateway.work.pulse import Pulse
from gateway.work.reports import Reports
from gateway.work.requests import Requests
from panda_fsm.claims import Filters
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import HEARTBEAT_PERIOD_S
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.plain import Taken
from panda_fsm.jobs.states import State
from panda_fsm.messages import LARGEST_BODY, KillJob, PilotReport, SubmitJobs, decode
from tests import factories
from tests.gateway_memory import Broker, Memory

PILOT = Identity("iss", "pilot", "pilot")


def job(state: State, **fields: Any) -> JobRow:
    """A job as it is read before a report is judged."""
    values: dict[str, Any] = {
        "job_id": 1, "attempt_nr": 0, "owner": "iss|user", "holder": PILOT.key, "label": "user", "command": None,
        "batch_id": None, "has_report": False,
    }  # fmt: skip
    return JobRow(state=state, **(values | fields))


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene."""
    asyncio.run(scene())


REPORTS = [
    # state of the job, has a report, what the pilot says, what is written, what is published, answer
    (State.SENT, False, "starting", [("keep", (["report.starting"], [1]))], ["report.starting"], "NULL"),
    (State.STARTING, False, "running", [("keep", (["report.running"], [1]))], ["report.running"], "NULL"),
    (State.RUNNING, False, "running", [("hear", [1])], ["heartbeat"], "NULL"),
    (State.RUNNING, False, "finished", [("keep", (["report.finished"], [1]))], ["report.finished"], "NULL"),
    (State.HOLDING, False, "running", [("hear", [1])], [], "NULL"),
    (State.HOLDING, False, "finished", [("keep", (["report.finished"], [1]))], ["report.finished"], "NULL"),
    (State.HOLDING, True, "finished", [("hear", [1])], [], "NULL"),
    (State.TRANSFERRING, True, "running", [("hear", [1])], [], "NULL"),
    (State.FINISHED, True, "finished", [], [], "NULL"),
    (State.FAILED, False, "running", [], [], "tobekilled"),
    (State.ACTIVATED, False, "running", [], [], "tobekilled"),
]


@pytest.mark.parametrize(("state", "has_report", "said", "written", "published", "answer"), REPORTS)
def test_every_report_but_a_ghosts_is_written_down(
    state: State, has_report: bool, said: Any, written: list[Any], published: list[str], answer: str
) -> None:
    async def scene() -> None:
        store, broker = Memory(job(state, has_report=has_report)), Broker()
        behind = Publishing(broker, store.leave)
        reports = Reports(store, Requests(store, behind))
        assert await reports.accept(PilotReport(job_id=1, state=said), PILOT) == answer
        await behind.drain()
        assert (store.did, broker.published) == (written, published)

    play(scene)


@pytest.mark.parametrize("state", [State.SENT, State.RUNNING, State.HOLDING])
def test_what_cannot_be_written_down_is_not_acknowledged(state: State) -> None:
    async def scene() -> None:
        store, broker = Memory(job(state)), Broker()
        store.trouble = TransientError("away")
        behind = Publishing(broker, store.leave)
        with pytest.raises(TransientError):
            await Reports(store, Requests(store, behind)).accept(PilotReport(job_id=1, state="running"), PILOT)
        await behind.drain()
        assert broker.published == []

    play(scene)


def test_reports_that_come_together_share_a_statement() -> None:
    async def scene() -> None:
        store = Memory(*(job(State.RUNNING, job_id=n) for n in range(1, 8)))
        behind = Publishing(Broker(), store.leave)
        reports = Reports(store, Requests(store, behind))
        said = [PilotReport(job_id=n, state="running" if n < 6 else "finished") for n in (7, 3, 1, 2, 3, 6)]
        await asyncio.gather(*(reports.accept(one, PILOT) for one in said))
        await behind.drain()
        assert sorted(store.did) == [("hear", [1, 2, 3, 3]), ("keep", (["report.finished"] * 2, [7, 6]))]

    play(scene)


@pytest.mark.parametrize(
    ("taken", "published", "answer"),
    [
        (Taken(None, False), "report.running", "NULL"),
        (Taken("tobekilled", False), "report.running", "tobekilled"),
        (Taken("tobekilled", True), "heartbeat", "tobekilled"),
    ],
)
def test_the_usual_report_waits_for_one_statement(taken: Taken, published: str, answer: str) -> None:
    async def scene() -> None:
        store, broker = Memory(), Broker()
        store.plain[1] = taken
        behind = Publishing(broker, store.leave)
        reports = Reports(store, Requests(store, behind))
        assert await reports.accept(PilotReport(job_id=1, state="running"), PILOT) == answer
        await behind.drain()
        assert (store.did, broker.published) == ([("keep_plain", [1])], [published])

    play(scene)


@pytest.mark.parametrize("silent", [True, False], ids=["a broker that says nothing", "no broker"])
def test_a_kept_request_is_accepted_whatever_the_broker_does(silent: bool) -> None:
    async def scene() -> None:
        store, broker = Memory(), Broker(away=True)
        if silent:
            broker.go.clear()
        behind = Publishing(broker, store.leave)
        requests = Requests(store, behind)
        kills = [Outgoing.of(KillJob(job_id=n)) for n in (1, 2)]
        await requests.accept(kills)
        assert store.did == [("keep", (["kill", "kill"], []))]
        broker.go.set()
        await behind.drain()
        assert store.did == [("keep", (["kill", "kill"], []))], "nothing is taken back or handed over"
        assert store.left == [one.message_id for one in kills], "the relay need not wait for us"

    play(scene)


def test_what_can_never_be_sent_is_refused_before_it_is_kept() -> None:
    async def scene() -> None:
        store = Memory()
        large = PilotReport(job_id=1, state="finished", output_report="x" * LARGEST_BODY)
        with pytest.raises(TooLargeError) as refused:
            await Requests(store, Publishing(Broker(), store.leave)).accept_report(large)
        assert (refused.value.status, store.did) == (413, [])

    play(scene)


def test_what_is_on_its_way_is_bounded_and_the_rest_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_MOST_MESSAGES", 3)

    async def scene() -> None:
        store, broker = Memory(), Broker()
        broker.go.clear()
        behind = Publishing(broker, store.leave)
        confirmed: list[str] = []

        async def note(messages: Sequence[Outgoing]) -> None:
            confirmed.extend(message.routing_key for message in messages)

        for number in range(1, 6):
            behind.publish([Outgoing.of(KillJob(job_id=number))], note)
        broker.go.set()
        await behind.drain()
        assert len(broker.published) == len(confirmed) == 3
        assert len(store.left) == 2
        behind.publish([Outgoing.of(KillJob(job_id=9))])
        await behind.drain()
        assert len(broker.published) == 4

    play(scene)


def test_a_submission_is_split_by_jobs_and_by_bytes() -> None:
    small = [factories.draft(number) for number in range(1, 251)]
    sent = [decode(message.body) for message in submissions.messages("me", small)]
    assert [len(message.jobs) for message in sent if isinstance(message, SubmitJobs)] == [100, 100, 50]
    large = [factories.draft(number, spec={"job_parameters": "x" * (1000 * number)}) for number in range(1, 101)]
    large.append(factories.draft(500, spec={"job_parameters": "x" * 3_000_000}))
    messages = list(submissions.messages("me", large))
    parts = [part for part in map(decode, (message.body for message in messages)) if isinstance(part, SubmitJobs)]
    assert [one.job_id for part in parts for one in part.jobs] == [one.job_id for one in large]
    for message, part in zip(messages, parts, strict=True):
        assert len(message.body) <= submissions.BYTES_PER_MESSAGE or len(part.jobs) == 1
    assert len(messages) < 20, "full messages, not one a job"


def test_the_pulse_goes_on_whatever_happens() -> None:
    async def scene() -> None:
        store = Memory()
        pulse = Pulse(store, every_s=0)
        pulse.start()
        for trouble in (None, TransientError("away"), RuntimeError("a bug"), None):
            store.trouble = trouble
            before = len(store.did)
            while len(store.did) < before + 3:
                await asyncio.sleep(0)
        await pulse.stop()
        assert set(store.did) == {("tick", ("gateway", HEARTBEAT_PERIOD_S))}
        ticks = len(store.did)
        await asyncio.sleep(0)
        assert len(store.did) == ticks

    play(scene)


def test_what_was_counted_is_written_down_once_the_database_is_there() -> None:
    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def scene() -> None:
        store, counted = Memory(), ("asked", {"A": (2, 3, 1), "B": (1, 0, 0)})
        activity = Activity(store, every_s=0)
        store.trouble = TransientError("away")
        for site in ("A", "B", "A"):
            activity.asked(site)
        activity.answered(Filters("A"), 3)
        activity.start()
        await turns()
        activity.answered(Filters("A"), 0)
        await turns()
        store.did.clear()
        await turns()
        assert store.did.count(counted) == len(store.did) > 1, "it is tried again, whole"
        store.trouble = None
        await turns()
        tries = len(store.did)
        activity.asked("B")
        await turns()
        await activity.stop()
        assert store.did[tries - 1 :] == [counted, ("asked", {"B": (1, 0, 0)})], "nothing is counted twice"

    play(scene)


def test_ids_of_what_was_refused_are_given_again_unless_others_came_between() -> None:
    async def scene() -> None:
        ids = JobIds(Memory())
        refused = await ids.take(300)
        ids.give_back(refused)
        assert await ids.take(400) == [*refused, *range(301, 401)]
        refused = await ids.take(BLOCK)
        ids.give_back(refused)
        again = await ids.take(1)
        assert again == [BLOCK + 1], "those of the block before are burned"
        refused = await ids.take(5)
        others = await ids.take(5)
        ids.give_back(refused)
        ids.give_back([])
        assert not set(await ids.take(20)) & {*refused, *others}

    play(scene)


def test_ids_are_given_once_and_trouble_is_told_to_all_who_wait() -> None:
    async def scene() -> None:
        store = Memory()
        ids = JobIds(store)
        given = await asyncio.gather(*(ids.take(count) for count in (300, 900, 1)))
        assert sorted(one for some in given for one in some) == list(range(1, 1202))
        assert [some == sorted(some) for some in given] == [True] * 3
        asked = len(store.did)
        store.trouble = TransientError("away")
        answers = await asyncio.gather(*(ids.take(5000) for _ in range(50)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {TransientError}
        assert len(store.did) <= asked + 2, "one asks for all"
        store.trouble = None
        assert len(await ids.take(1)) == 1

    play(scene)
