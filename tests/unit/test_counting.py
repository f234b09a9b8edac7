"""What is counted of a batch: messages by what became of them, steps with how long jobs had been where they were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from engine.blame import Blame
from engine.counting import Counted, handled
from engine.fold import fold
from engine.receive import Received
from panda_fsm import figures
from panda_fsm.effects import Effects
from panda_fsm.handler import Item
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import made_at, new_message_id
from panda_fsm.outcomes import Advance, Ignore, Outcome, Reject, Wait
from panda_fsm.tally import Labels
from tests import factories
from tests.figures import grown_by

QUEUE = "test_counting"


@pytest.fixture
def counted() -> Counted:
    """Of a queue of this test's own."""
    return Counted(QUEUE, Blame())


def decided(*outcomes: tuple[Job, Outcome]) -> tuple[list[Received], Effects]:
    """Messages, and what was decided of each."""
    effects, received = Effects(), []
    for number, (job, outcome) in enumerate(outcomes):
        item: Item[None] = factories.item(factories.report(job.job_id, "running"), job)
        item.delivery.body = b"%d" % number
        fold(item, outcome, effects)
        received.append(Received(item.delivery, item.message, [job.job_id]))
    return received, effects


def commit(counted: Counted, received: list[Received], effects: Effects) -> Callable[[Labels], float]:
    """What was counted of it, by queue and outcome."""
    with grown_by(figures.MESSAGES) as grown:
        counted.committed(effects, received, handled(received, effects))
    return grown


def test_messages_are_counted_by_what_became_of_them(counted: Counted) -> None:
    job = factories.job(State.SENT)
    received, effects = decided(
        (job, Advance(Trigger.PILOT_RUNNING)), (job, Advance(Trigger.PILOT_RUNNING)), (job, Ignore("late")),
        (job, Wait("later", 60.0)), (job, Reject("nonsense")),
    )  # fmt: skip
    with grown_by(figures.IGNORED) as ignored:
        grown = commit(counted, received, effects)
    assert [grown((QUEUE, one)) for one in ("handled", "deferred", "buried")] == [3, 1, 1]
    assert ignored((QUEUE,)) == 2, "a repeated report and one that came late"


def test_a_step_is_counted_with_the_time_before_it_and_a_second_one_of_the_batch_without(counted: Counted) -> None:
    job = factories.job(State.SENT)
    job.entered_at -= timedelta(seconds=100)
    before = figures.STAYED.rows()
    received, effects = decided((job, Advance(Trigger.PILOT_RUNNING)), (job, Advance(Trigger.PILOT_ENDED)))
    with grown_by(figures.TRANSITIONS) as steps:
        commit(counted, received, effects)
    assert [steps(("sent", "running", QUEUE)), steps(("running", "holding", QUEUE))] == [1, 1]
    after = figures.STAYED.rows()
    assert after["sent", "running"][1] - before.get(("sent", "running"), ([], 0.0))[1] >= 100
    assert after.get(("running", "holding")) == before.get(("running", "holding"))


def test_ends_are_counted_by_queue(counted: Counted) -> None:
    job = factories.job(State.HOLDING)
    with grown_by(figures.ENDED) as ended:
        commit(counted, *decided((job, Advance(Trigger.OUTPUTS_FAILED))))
    assert ended((job.site, "failed")) == 1


def test_the_breaker_shows_while_many_fail_alike() -> None:
    blame = Blame()
    Counted(QUEUE, blame)
    assert figures.BREAKER.values()[QUEUE,] == 0
    for number in range(4):
        blame.unforeseen(b"%d" % number, "a bug")
    with pytest.raises(Exception, match="all alike"):
        blame.unforeseen(b"last", "a bug")
    assert figures.BREAKER.values()[QUEUE,] == 1


def test_an_id_tells_when_its_message_was_made() -> None:
    first, second = made_at("018f0000-0000-7000-8000-000000000000"), made_at(new_message_id())
    assert first == 0x018F00000000 / 1000
    assert second is not None
    assert second > first
    assert made_at("018f0000-0000-4000-8000-000000000000") is None, "an id of another maker"
