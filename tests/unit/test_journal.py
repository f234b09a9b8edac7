"""Log lines name jobs and messages, so that one search tells a job's story; of what went well there is none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog

from command.job_logs import _is_about
from engine.blame import Blame
from engine.counting import Counted
from engine.fold import fold, put_off, to_dead_letter
from gateway.work.claims import Claims
from gateway.work.publishing import Publishing
from panda_fsm.claims import Filters, Seat
from panda_fsm.effects import Effects
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.log_ids import few, named_in
from panda_fsm.messages import new_message_id
from panda_fsm.outcomes import Advance
from tests import factories
from tests.unit.test_gateway_claims import Jobs, NoBroker, nobody

ID = new_message_id()


def written(effects: Effects, log_steps: bool = False) -> list[dict[str, Any]]:
    """The lines of a batch that is committed."""
    with structlog.testing.capture_logs() as lines:
        Counted("test_journal", Blame(), log_steps).committed(effects)
    return [dict(line) for line in lines]


def test_of_what_went_well_nothing_is_written_unless_steps_are_wanted() -> None:
    effects, job = Effects(), factories.job(State.SENT, job_id=4711)
    item = factories.item(factories.report(4711, "running"), job)
    fold(item, Advance(Trigger.PILOT_RUNNING), effects)
    assert written(effects) == []
    (line,) = written(effects, log_steps=True)
    assert (line["event"], line["job_id"], line["message_id"]) == ("step", 4711, item.message.message_id)
    assert (line["from"], line["to"], line["trigger"], line["version"]) == ("sent", "running", "pilot_running", 6)
    assert _is_about(line, 4711, [])


def test_what_is_buried_and_what_comes_again_is_found_by_its_job_or_message() -> None:
    effects = Effects()
    report = factories.report(4711, "running")
    effects.dead_letters.append(to_dead_letter(factories.delivery(report), "nonsense"))
    put_off(factories.delivery(report), "somebody holds it", effects, message_id=ID)
    buried, again = written(effects)
    assert (buried["event"], buried["reason"], buried["job_ids"]) == ("dead_letter", "nonsense", [4711])
    assert buried["message_id"] == report.message_id
    assert _is_about(buried, 4711, [])
    assert (again["event"], again["messages"], again["reasons"]) == ("put_off", 1, ["somebody holds it"])
    assert _is_about(again, 1, [ID])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"message_id": ID, "job_id": 7}, {"job_ids": [7], "message_id": ID}),
        ({"message_id": ID, "jobs": [7, 8]}, {"job_ids": [7, 8], "message_id": ID}),
        ({"message_id": ID, "jobs": [{"job_id": 7}, {"job_id": "8"}, None]}, {"job_ids": [7], "message_id": ID}),
        ({"message_id": 5, "job_id": {"a": 1}, "jobs": "many"}, {"job_ids": []}),
        ({"message_id": "x" * 100}, {"job_ids": [], "message_id": "x" * 40}),
        ([1], {}),
        ("text", {}),
    ],
)
def test_ids_are_read_of_any_body(content: Any, named: dict[str, Any]) -> None:
    assert named_in(json.dumps(content).encode()) == named
    assert named_in(b"\xff" + json.dumps(content).encode()) == {}


def test_a_line_names_no_more_than_people_read() -> None:
    assert few(range(1000)) == list(range(50))
    assert len(named_in(json.dumps({"jobs": [*range(10_000)]}).encode())["job_ids"]) == 50


def test_a_claim_is_a_step_too() -> None:
    async def claim() -> None:
        claims = Claims(Jobs(4711), Publishing(NoBroker(), nobody), log_steps=True)
        await claims.acquire(Filters("Q"), [Seat(ID, "pilot", "n1", {})])
        await claims.drain()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(claim())
    (line,) = lines
    assert (line["event"], line["job_id"], line["message_id"], line["to"]) == ("step", 4711, ID, "sent")
