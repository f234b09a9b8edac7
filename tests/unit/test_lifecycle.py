"""The table of transitions: complete, without dead ends, and never left by any sequence of triggers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from panda_fsm import lifecycle
from panda_fsm.effects import Effects
from panda_fsm.errors import IllegalTransitionError
from panda_fsm.lifecycle import DEADLINES, IGNORED, TABLE, Ignored, Step, Trigger, advance
from panda_fsm.states import FINAL, LIVE, State
from tests import factories

EDGES = {(trigger, source, destination) for trigger, source, destination, _ in lifecycle.rows()}
BIRTHS = [Trigger.SUBMITTED, Trigger.SUBMITTED_PENDING]

# Who must hear what, written down a second time: a service that misses one of these leaves jobs behind.
LISTENS = {
    "setupper": {"submit", "release", "job.defined"},
    "activator": {"ddm.arrived.dispatch", "ddm.failed.dispatch"},
    "watcher": {
        "report.starting", "report.running", "report.holding", "report.transferring", "report.finished",
        "report.failed", "kill", "deadline",
    },
    "adder": {"job.holding"},
    "finisher": {"job.outputs_added", "ddm.arrived.sub", "ddm.failed.sub"},
    "closer": {
        "job.outputs_added", "job.transferring", "job.failed", "job.closed", "job.cancelled", "block.check",
    },
}  # fmt: skip


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_state_has_a_way_out_and_a_deadline_that_takes_it(state: State) -> None:
    assert any(source == state and destination != state for _, source, destination in EDGES)
    deadline = DEADLINES[state]
    assert deadline.seconds > 0
    step = advance(factories.job(state), deadline.trigger)
    assert isinstance(step, Step), "a deadline must end the job, or it stays for ever"
    assert step.destination in FINAL


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_final_states_are_irreversible(state: State, trigger: Trigger) -> None:
    subject = factories.job(state, forced_kill=True)
    assert isinstance(advance(subject, trigger), Ignored | None)
    assert subject.state is state
    assert state not in DEADLINES


@pytest.mark.parametrize("state", sorted(FINAL - {State.CANCELLED}))
def test_from_every_birth_each_end_can_be_reached(state: State) -> None:
    for trigger in BIRTHS:
        reached = {lifecycle.birth(trigger).destination.value}
        while grown := {to for _, source, to in EDGES if source in reached} - reached:
            reached |= grown
        assert state in reached


def test_applied_and_ignored_never_overlap_but_by_a_guard() -> None:
    for row in TABLE:
        overlap = {s for s in row.sources if s in IGNORED.get(row.trigger, ())}
        assert not overlap or row.guard, f"{row.trigger} from {overlap} is both applied and ignored"
        if row.guard:
            assert row.sources <= IGNORED[row.trigger], "a step that its guard refuses must be ignored, not illegal"


# What must be illegal: facts about a job that cannot be, so whoever says them is wrong.
ILLEGAL = {
    (Trigger.PILOT_RUNNING, State.ACTIVATED), (Trigger.PILOT_ENDED, State.DEFINED), (Trigger.ACQUIRED, State.RUNNING),
    (Trigger.OUTPUTS_DONE, State.RUNNING), (Trigger.OUTPUTS_MOVING, State.ACTIVATED),
    (Trigger.INPUTS_ARRIVED, State.PENDING), (Trigger.KILL_OBEYED, State.RUNNING),
}  # fmt: skip
IGNORABLE = {
    (Trigger.PILOT_STARTING, State.RUNNING), (Trigger.PILOT_RUNNING, State.HOLDING),
    (Trigger.PILOT_ENDED, State.FINISHED), (Trigger.INPUTS_ARRIVED, State.RUNNING), (Trigger.LOST, State.ACTIVATED),
    (Trigger.CANCELLED, State.FINISHED), (Trigger.SUBMITTED, State.RUNNING), (Trigger.EXPIRED, State.SENT),
    (Trigger.CANCELLED, State.RUNNING), (Trigger.CLOSED, State.RUNNING),
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_answers_apply_ignore_or_illegal(trigger: Trigger, state: State) -> None:
    subject = factories.job(state)
    step = advance(subject, trigger)
    if isinstance(step, Step):
        assert (trigger, state, subject.state) in EDGES
        assert (step.source, step.destination) == (state, subject.state)
    else:
        assert subject.state is state, "what is not applied changes nothing"
    assert (step is None) >= ((trigger, state) in ILLEGAL)
    assert isinstance(step, Ignored) >= ((trigger, state) in IGNORABLE)


def test_services_hear_exactly_what_they_act_on() -> None:
    assert lifecycle.bindings() == LISTENS
    assert {row.by for row in TABLE} | {"closer"} == {*LISTENS, "gateway"}


def test_only_the_guard_lets_a_second_final_report_in() -> None:
    declared = factories.job(State.HOLDING)
    assert isinstance(advance(declared, Trigger.PILOT_ENDED), Step)
    reported = factories.job(State.HOLDING, has_report=True)
    assert isinstance(advance(reported, Trigger.PILOT_ENDED), Ignored)


@given(st.lists(st.sampled_from(Trigger), max_size=30), st.booleans(), st.booleans())
def test_version_counts_the_applied_steps(triggers: list[Trigger], forced: bool, reported: bool) -> None:
    subject = factories.job(State.DEFINED, version=1, forced_kill=forced, has_report=reported)
    effects = Effects(lambda state: 60)
    for trigger in triggers:
        with suppress(IllegalTransitionError):
            effects.step(subject, trigger, "cause", None)
    assert [row.version for row in effects.history] == list(range(2, subject.version + 1))
    sources = [State.DEFINED, *(row.step.destination for row in effects.history)]
    assert [row.step.source for row in effects.history] == sources[:-1]
    assert sum(effects.counts.values()) == 0
    assert len(effects.outgoing) == len(effects.history)


class AnyOrder(RuleBasedStateMachine):
    """Triggers in any order, as a broker may deliver them."""

    @initialize(trigger=st.sampled_from(BIRTHS))
    def born(self, trigger: Trigger) -> None:
        self.job = factories.job(lifecycle.birth(trigger).destination, version=1)
        self.ended: State | None = None

    @rule(trigger=st.sampled_from(Trigger), forced=st.booleans(), reported=st.booleans())
    def happens(self, trigger: Trigger, forced: bool, reported: bool) -> None:
        self.job.forced_kill = forced
        self.job.has_report = self.job.has_report or reported
        before = self.job.state
        step = advance(self.job, trigger)
        if isinstance(step, Step):
            assert (trigger.value, before.value, self.job.state.value) in EDGES
        else:
            assert self.job.state is before

    @invariant()
    def final_is_final(self) -> None:
        if getattr(self, "job", None) is None:
            return
        assert self.ended is None or self.job.state is self.ended
        if self.job.state in FINAL:
            self.ended = self.job.state


TestAnyOrder: Callable[..., object] = AnyOrder.TestCase
