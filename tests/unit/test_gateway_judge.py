"""Which reports are news, which are repeats, and which pilots are ghosts; who acts, and where that may be believed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.access.identity import TrustedLoopback, provider
from panda_fsm.errors import SettingsError
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.kills import Killer, is_forced, may_kill
from panda_fsm.jobs.states import State
from panda_fsm.messages import PilotReport

NEWS, HEARD, REPEAT, GHOST = Judgement.NEWS, Judgement.HEARD, Judgement.ALREADY_DONE, Judgement.GHOST
HOLDER = "issuer|pilot"


def row(state: State, **fields: Any) -> JobRow:
    """A job as it is read before a report is judged."""
    values: dict[str, Any] = {
        "job_id": 1, "attempt_nr": 1, "owner": "issuer|user", "holder": HOLDER, "label": "user", "command": None,
        "batch_id": None, "has_report": False,
    }  # fmt: skip
    return JobRow(state=state, **(values | fields))


def report(state: Any, **fields: Any) -> PilotReport:
    """What a pilot says."""
    return PilotReport(job_id=1, state=state, **({"attempt_nr": 1} | fields))


TABLE: list[tuple[State, bool, str, Judgement]] = [
    (State.ACTIVATED, False, "running", GHOST),
    (State.SENT, False, "starting", NEWS),
    (State.SENT, False, "finished", NEWS),
    (State.STARTING, False, "running", NEWS),
    (State.RUNNING, False, "starting", NEWS),
    (State.RUNNING, False, "running", NEWS),
    (State.RUNNING, False, "failed", NEWS),
    (State.HOLDING, False, "finished", NEWS),
    (State.HOLDING, True, "finished", REPEAT),
    (State.HOLDING, True, "running", REPEAT),
    (State.HOLDING, False, "holding", HEARD),
    (State.HOLDING, False, "running", HEARD),
    (State.TRANSFERRING, True, "finished", REPEAT),
    (State.TRANSFERRING, True, "running", REPEAT),
    (State.FINISHED, True, "finished", REPEAT),
    (State.FAILED, True, "failed", REPEAT),
    (State.FINISHED, True, "running", GHOST),
    (State.CLOSED, False, "finished", GHOST),
    (State.CANCELLED, False, "running", GHOST),
    (State.FAILED, False, "finished", GHOST),
]


@pytest.mark.parametrize(("state", "has_report", "said", "judgement"), TABLE)
def test_report_by_state(state: State, has_report: bool, said: str, judgement: Judgement) -> None:
    assert judge(report(said), row(state, has_report=has_report), HOLDER) is judgement


def test_ghosts() -> None:
    running = row(State.RUNNING, batch_id="host.12.a")
    assert judge(report("running"), None, HOLDER) is GHOST
    assert judge(report("running", attempt_nr=2), running, HOLDER) is GHOST
    assert judge(report("running"), running, "issuer|other") is GHOST
    assert judge(report("running", attributes={"batch_id": "host.13.a"}), running, HOLDER) is GHOST


@pytest.mark.parametrize(
    ("known", "said"), [("12", "13"), ("a", "13"), ("12", "b"), (None, "b"), ("a", "a"), ("a", "")]
)
def test_batch_ids_that_prove_nothing(known: str | None, said: str) -> None:
    running = row(State.RUNNING, batch_id=known)
    assert judge(report("running", attributes={"batch_id": said}), running, HOLDER) is NEWS


def token(claims: Any) -> dict[str, str]:
    """Headers with an unsigned JWT."""
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return {"authorization": f"Bearer e30.{part}."}


def test_identity_is_what_the_token_claims() -> None:
    who = TrustedLoopback("127.0.0.1").identify(
        token({"iss": "https://iam", "sub": "s1", "name": "Jane Doe", "groups": ["lab", "lab/production"]})
    )
    assert (who.key, who.name, who.is_production) == ("https://iam|s1", "Jane Doe", True)


def test_two_people_of_one_name_are_two() -> None:
    trusting = TrustedLoopback("127.0.0.1")
    first, second = (trusting.identify(token({"sub": sub, "name": "Jane Doe"})) for sub in ("s1", "s2"))
    assert first.name == second.name
    assert first.key != second.key


STRANGE_TOKENS = [
    {}, {"authorization": "Bearer"}, {"authorization": "Basic abc"}, {"authorization": "Bearer x"},
    {"authorization": "Bearer a.b.c"}, {"authorization": "Bearer a.%%%.c"}, token([1]), token({"sub": ["x"]}),
    token({"sub": "a\x00b"}), token({"sub": "x" * 5000}), token({"sub": "s", "roles": "production"}),
    token({"sub": "s", "iss": 5, "name": {"a": 1}, "groups": [1, None]}), {"authorization": "Bearer " + "x" * 50_000},
]  # fmt: skip


@pytest.mark.parametrize("headers", STRANGE_TOKENS)
def test_strange_tokens_give_a_plain_label_without_rights(headers: dict[str, str]) -> None:
    who = TrustedLoopback("127.0.0.1").identify(headers)
    assert who.name.isprintable()
    assert len(who.key) <= 256
    assert not who.is_production


def test_equal_opaque_tokens_are_one_caller() -> None:
    trusting = TrustedLoopback("127.0.0.1")
    one, same, other = (trusting.identify({"authorization": f"Bearer {t}"}) for t in ("abc", "abc", "abd"))
    assert one == same != other
    assert "abc" not in one.key


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_trusted(host: str) -> None:
    assert provider("trusted_loopback", host).identify({}).name == "anonymous"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])  # noqa: S104
def test_nothing_else_is_trusted(host: str) -> None:
    with pytest.raises(SettingsError, match="loopback addresses only"):
        provider("trusted_loopback", host)


def test_unknown_provider_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="PANDA_FSM_IDENTITY_PROVIDER"):
        provider("nobody", "127.0.0.1")


OWNER, STRANGER, MANAGER = Killer(True, False), Killer(False, False), Killer(False, True)


@pytest.mark.parametrize(
    ("who", "label", "code", "may", "forced"),
    [
        (OWNER, "user", 0, True, False),
        (OWNER, "user", 99, True, False),
        (OWNER, "managed", 9, True, False),
        (STRANGER, "user", 0, False, False),
        (STRANGER, "managed", 9, False, False),
        (MANAGER, "user", 0, False, False),
        (MANAGER, "user", 91, True, False),
        (MANAGER, "user", 99, True, True),
        (MANAGER, "user", 9, True, False),
        (MANAGER, "managed", 0, True, False),
        (MANAGER, "managed", 9, True, True),
        (MANAGER, "test", 52, True, True),
    ],
)
def test_who_may_kill_what(who: Killer, label: str, code: int, may: bool, forced: bool) -> None:
    assert may_kill(who, label, code) is may
    assert is_forced(who, label, code) is forced
