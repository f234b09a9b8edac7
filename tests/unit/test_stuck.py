"""The rules of what is stuck: every live state has a judge, thresholds by state and site, what is kept and what not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from command.compose import NAMES
from command.settings import Settings
from panda_fsm.jobs.facts import LIVE
from panda_fsm.jobs.states import State
from panda_fsm.views.stuck import (
    BY_NAME,
    NEXT,
    PAGE,
    RULES,
    WALKED,
    Candidate,
    Thresholds,
    complaint,
    judged,
    states_of,
)
from periodic import stuck

NOW = datetime(2026, 11, 26, 14, tzinfo=UTC)
TABLE = Thresholds({})
ROOT = Path(__file__).resolve().parent.parent.parent


def candidate(state: State, minutes: float, heard: float | None = None, *, waits: bool = False) -> Candidate:
    """A job of SITE_B that has been in its state for so long, and was heard of so long ago."""
    heard_at = None if heard is None else NOW - timedelta(minutes=heard)
    return Candidate(1, state, "SITE_B", NOW - timedelta(minutes=minutes), heard_at, waits)


@pytest.mark.parametrize(
    ("one", "rules"),
    [
        (candidate(State.SENT, 9), []),
        (candidate(State.SENT, 11), ["sent_no_pilot"]),
        (candidate(State.RUNNING, 300, 49), []),
        (candidate(State.RUNNING, 300, 51), ["heartbeat_lost"]),
        (candidate(State.STARTING, 51), ["heartbeat_lost"]),
        (candidate(State.STARTING, 51, 1), []),
        (candidate(State.TRANSFERRING, 119), []),
        (candidate(State.TRANSFERRING, 121), ["transferring_slow"]),
        (candidate(State.HOLDING, 11), ["unacked_old"]),
        (candidate(State.HOLDING, 11, waits=True), []),
        (candidate(State.HOLDING, 31, waits=True), ["put_off"]),
        (candidate(State.DEFINED, 11), ["unacked_old"]),
        (candidate(State.WAITING, 31, waits=True), ["put_off"]),
        (candidate(State.PENDING, 31), ["upstream_silent"]),
        (candidate(State.ASSIGNED, 181), ["upstream_silent"]),
        (candidate(State.MERGING, 24 * 60 + 1), ["upstream_silent"]),
        (candidate(State.ACTIVATED, 100_000), []),
        (candidate(State.FAILED, 100_000), []),
    ],
)
def test_a_job_is_stuck_by_its_rule(one: Candidate, rules: list[str]) -> None:
    assert [found.rule for found in judged([one], NOW, TABLE)] == rules


def test_each_live_state_is_somebodys_to_watch() -> None:
    """Those that wait for a pilot or for a person have rules and pages of their own."""
    assert LIVE - WALKED.keys() == {State.ACTIVATED, State.THROTTLED}
    assert {service for services in NEXT.values() for service in services} <= set(NAMES)
    assert states_of("adder") == [State.HOLDING]


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 600),
        ({"sent_no_pilot": {"sent": 60}}, 60),
        ({"sent_no_pilot": {"sent": 60, "@SITE_B": 70}}, 70),
        ({"sent_no_pilot": {"sent": 60, "@SITE_B": 70, "sent@SITE_B": 80}}, 80),
        ({"sent_no_pilot": {"@SITE_C": 70}}, 600),
        ({"heartbeat_lost": {"running": 5}}, 600),
    ],
)
def test_what_is_said_of_a_state_at_a_site_counts_most(settings: dict[str, dict[str, int]], seconds: int) -> None:
    assert complaint(settings) is None
    thresholds = Thresholds(settings)
    assert thresholds.after_s(BY_NAME["sent_no_pilot"], State.SENT, "SITE_B") == seconds
    assert thresholds.least_s()[State.SENT] <= seconds, "no job that is stuck is passed by"


def test_transfers_are_slow_by_what_is_usual_there() -> None:
    rule = BY_NAME["transferring_slow"]
    known = TABLE.knowing({"SLOW": 4 * 3600.0, "QUICK": 10.0})
    after = [known.after_s(rule, State.TRANSFERRING, site) for site in ("SLOW", "QUICK", "NEW")]
    assert after == [12 * 3600.0, 1800.0, 7200]
    assert known.least_s()[State.TRANSFERRING] == 1800
    set_here = Thresholds({"transferring_slow": {"@SLOW": 60}}, {"SLOW": 4 * 3600.0})
    assert set_here.after_s(rule, State.TRANSFERRING, "SLOW") == 60, "who sets it knows better"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"sent": {"sent": 60}}, "is no rule"),
        ({"sent_no_pilot": {"running": 60}}, "no state that it looks at"),
        ({"sent_no_pilot": {"@": 60}}, "neither a state nor a site"),
        ({"sent_no_pilot": {"sent": 0}}, "not a number of seconds"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused_at_start(settings: dict[str, dict[str, int]], word: str) -> None:
    assert word in (complaint(settings) or "")
    with pytest.raises(ValueError, match=word):
        Settings.model_validate({"database_url": "postgresql://x", "broker_url": "amqp://x", "stuck": settings})


class SlowWalk:
    """Each portion takes a second of this clock."""

    now, steps = 0.0, 0

    def step(self, limit: int, thresholds: Thresholds) -> bool:
        self.now += 1
        self.steps += 1
        return True

    def close(self) -> None: ...


def test_the_walk_takes_no_more_than_its_share_of_the_time() -> None:
    walk = SlowWalk()
    duty = stuck.duty(walk, TABLE, share=0.1, clock=lambda: walk.now)
    for second, steps in ((0.0, 1), (5.0, 1), (9.9, 1), (10.0, 2), (11.0, 2)):
        walk.now = second
        assert duty.run() is False
        assert walk.steps == steps, second


def test_each_rule_is_explained_in_its_runbook() -> None:
    text = (ROOT / PAGE).read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [rule.name for rule in RULES]
