"""What may be paused, and what is written down of it."""

from __future__ import annotations

from typing import Any

import pytest

from panda_fsm.messages import SetPause
from panda_fsm.pausing import audited, refusal

QUEUES, SITES = ("adder", "watcher.large"), ("SITE_A",)
REFUSED: dict[str, dict[str, Any]] = {
    "there is no queue 'gateway': it is one of adder, watcher.large": {"name": "gateway"},
    "there is no site 'adder': it is one of SITE_A": {"kind": "site"},
    "watcher.large cannot be paused: it takes the requests to resume": {"name": "watcher.large"},
    "say why it is paused: others will ask": {"reason": " "},
}


def asked(**fields: Any) -> SetPause:
    """A request that is fine but for these fields."""
    fine = {"kind": "queue", "name": "adder", "is_paused": True, "reason": "why", "actor": "ana"}
    return SetPause.model_validate(fine | fields)


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_paused_is_refused_with_a_reason(reason: str) -> None:
    assert refusal(asked(**REFUSED[reason]), QUEUES, SITES) == reason


def test_what_can_is_not() -> None:
    assert refusal(asked(), QUEUES, SITES) is None
    assert refusal(asked(kind="site", name="SITE_A"), QUEUES, SITES) is None
    assert refusal(asked(name="watcher.large", is_paused=False, reason=""), QUEUES, SITES) is None


def test_it_is_written_down_with_who_and_why() -> None:
    request = asked(actor_key="user:1")
    row = audited(request, "ana", roles=["operator"])
    assert (row.actor, row.action, row.object) == ("user:1", "pause_requested", "queue adder")
    known = {"name": "ana", "message_id": request.message_id, "reason": "why", "roles": ["operator"]}
    assert row.detail == known
    assert audited(asked(is_paused=False), "ana").action == "resume_requested"
