"""What needs a human: composed of what others judge, each thing once, the worst first, each with a way on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from panda_fsm.views.dead_letters import Group
from panda_fsm.views.flow import Series
from panda_fsm.views.health import Trouble
from panda_fsm.views.now import needs, underway, worth_a_look
from panda_fsm.views.pipeline import FlowView, Stage
from panda_fsm.views.queues import QueueNow
from panda_fsm.views.stuck import BY_NAME, Place, StuckNow
from panda_fsm.views.workers import WorkerNow

AT = datetime(2026, 11, 26, 13, 12, tzinfo=UTC)
STAGE = Stage("transferring", 7331, 371.0, "", "")
FLOW = FlowView(AT, 1.0, 300.0, (STAGE,), (), Series(AT, (), ()), ())
QUEUE = QueueNow(
    "adder", "service", "", 5, 1.0, False, 1.0, 1.0, None, 1, 1, 1, 3, 1.0, 0, 0, AT, "ok", "flows", ""
)  # fmt: skip
STUCK = StuckNow(
    BY_NAME["sent_no_pilot"], (Place("QUEUE_A", 12, AT), Place("QUEUE_B", 200, AT)), is_least=False, looked_at=AT
)
GROUP = Group("f1", "adder", "unknown site 'SITE_Z'", 3, 0, AT, AT, 9)


def test_where_all_is_well_nothing_needs_anybody() -> None:
    assert needs([], [QUEUE], [], [], FLOW) == ()


def test_the_worst_comes_first_and_each_leads_on() -> None:
    slow = replace(QUEUE, level="warn", word="growing", says="more wait")
    piled = replace(FLOW, stages=(replace(STAGE, tone="bad", note="▲ piles up: grows by 9/s"),))
    found = needs([Trouble("outbox", "5 messages in the outbox", is_bad=True)], [slow], [STUCK], [GROUP], piled)
    assert [(need.tone, need.says, need.url) for need in found] == [
        ("bad", "5 messages in the outbox", "/ui/system"),
        ("bad", "Jobs pile up in transferring", "/ui/jobs?state=transferring"),
        ("warn", "Queue adder: growing", "/ui/queues/adder"),
        ("warn", "212 jobs: handed to a pilot that has not spoken since", "/ui/stuck?rule=sent_no_pilot"),
        ("warn", "3 dead letters, 1 cause: unknown site 'SITE_Z'", "/ui/dead?fingerprint=f1"),
    ]
    assert found[1].more == "7,331 jobs are there; piles up: grows by 9/s"
    assert found[3].more.startswith(
        "QUEUE_B 200, QUEUE_A 12. The oldest since 2026-11-26 13:12 UTC. Look at the site's"
    )
    assert found[4].more == "since 2026-11-26 13:12 UTC"


def test_what_two_judgements_say_of_one_thing_is_said_once() -> None:
    again = replace(STUCK, rule=BY_NAME["no_consumer"])
    dead = replace(QUEUE, alive=0, level="bad", word="nobody serves it")
    told = [Trouble("service", "nobody serves adder", is_bad=True), Trouble("dead letters", "3 dead letters: …")]
    assert [need.says for need in needs(told, [dead], [again], [GROUP], FLOW)] == [
        "Nobody serves adder",
        "3 dead letters, 1 cause: unknown site 'SITE_Z'",
    ]


def test_many_causes_are_counted_and_the_newest_is_named() -> None:
    later = replace(GROUP, fingerprint="f2", cause="no such file", letters=5000, last_at=datetime.now(UTC))
    (need,) = needs([], [], [], [GROUP, later], FLOW)
    assert (need.says, need.url) == ("At least 5,003 dead letters, 2 causes", "/ui/dead")
    assert need.more.endswith("the newest: no such file")


def test_what_is_under_way_is_of_those_who_live() -> None:
    alive, gone = WorkerNow("adder", "h", 1, 9, 1, in_hand=3), WorkerNow("adder", "h", 2, 9, 99, in_hand=5)
    found = underway([alive, gone], [QUEUE, replace(QUEUE, name="jedi.status.lab.0", reader="jedi", ready=9)])
    assert (found.processes, found.known, found.at_work, found.ready, found.in_hand) == (1, 2, 1, 5, 3)


def test_queues_that_are_not_well_are_among_the_few_that_are_shown() -> None:
    many = [replace(QUEUE, name=f"q{number:02}", ready=number) for number in range(20)]
    shown, more = worth_a_look([*many, replace(QUEUE, name="ill", ready=0, level="bad")])
    assert [queue.name for queue in shown[:2]] == ["ill", "q19"]
    assert (len(shown), more) == (12, 9)
