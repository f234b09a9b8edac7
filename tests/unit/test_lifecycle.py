"""The tables of steps and commands: complete, without dead ends, and never left by any sequence of triggers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from panda_fsm.bindings import bindings
from panda_fsm.blocks.states import BlockStatus
from panda_fsm.blocks.table import BLOCK, BlockTrigger
from panda_fsm.effects import Effects
from panda_fsm.errors import IllegalTransitionError
from panda_fsm.jobs.commands import COMMANDS, Answer
from panda_fsm.jobs.deadlines import Kind, Since
from panda_fsm.jobs.facts import FACTS, FINAL, HANDED_OUT_AGAIN, LIVE, Replay, Span, TableLimits, span
from panda_fsm.jobs.kills import deadline_trigger
from panda_fsm.jobs.states import Phase, State
from panda_fsm.jobs.table import IGNORED, ILLEGAL, JOB, TABLE, Trigger
from panda_fsm.machine import Ignored, Step
from tests import factories

EDGES = {(trigger, source, destination) for trigger, source, destination, _ in JOB.rows()}
BIRTHS = [Trigger.SUBMITTED, Trigger.SUBMITTED_PENDING]

# Who must hear what, written down a second time: a service that misses one of these leaves jobs behind.
LISTENS = {
    "setupper": {"release", "reassign", "job.defined", "job.waiting"},
    "setupper.submissions": {"submit"},
    "activator": {"ddm.arrived.dispatch", "ddm.failed.dispatch"},
    "watcher": {
        "report.starting", "report.running", "report.holding", "report.transferring", "report.finished",
        "report.failed", "kill", "deadline", "tell",
    },
    "watcher.heartbeats": {"heartbeat"},
    "watcher.large": {"large.report", "throttle", "unthrottle", "priority", "share", "pause", "hold"},
    "adder": {"job.holding"},
    "finisher": {"job.outputs_added", "ddm.arrived.sub", "ddm.failed.sub", "job.merging"},
    "closer": {"job.failed", "job.closed", "job.cancelled", "block.check"},
    "ddm": {"block.requested"},
    "ddm.blocks": {"block.settle"},
}  # fmt: skip


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_state_has_a_way_out_and_a_deadline_that_takes_it(state: State) -> None:
    assert any(source == state and destination != state for _, source, destination in EDGES)
    deadlines = FACTS[state].deadlines
    renewed_for_all = [one for one in deadlines if one.jobs == "all" and one.since is Since.HEARD]
    assert len(renewed_for_all) == 1, "a state without one for all jobs is stayed in for ever"
    assert renewed_for_all[0].seconds == max(one.seconds for one in deadlines if one.since is Since.HEARD)
    for deadline in deadlines:
        assert deadline.seconds > 0
        step = JOB.advance(factories.job(state), deadline_trigger(deadline))
        assert isinstance(step, Step), "a deadline must end the job, or it stays for ever"
        assert step.destination in FINAL


def test_how_long_a_job_may_be_sent_is_the_same_for_all() -> None:
    """The claim writes it without knowing what kind of job it is."""
    assert {one.jobs for one in FACTS[State.SENT].deadlines} == {"all"}


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_final_states_are_irreversible(state: State, trigger: Trigger) -> None:
    subject = factories.job(state, forced_kill=True)
    assert isinstance(JOB.advance(subject, trigger), Ignored | None)
    assert subject.state is state
    assert not FACTS[state].deadlines


@pytest.mark.parametrize("state", sorted(FINAL - {State.CANCELLED}))
def test_from_every_birth_each_end_can_be_reached(state: State) -> None:
    for trigger in BIRTHS:
        reached = {JOB.birth(trigger).destination.value}
        while grown := {to for _, source, to in EDGES if source in reached} - reached:
            reached |= grown
        assert state in reached


def test_applied_and_ignored_never_overlap_but_by_a_guard() -> None:
    for row in TABLE:
        overlap = {s for s in row.sources if s in IGNORED.get(row.trigger, ())}
        assert not overlap or row.guard, f"{row.trigger} from {overlap} is both applied and ignored"
        if row.guard:
            assert row.sources <= IGNORED[row.trigger], "a step that its guard refuses must be ignored, not illegal"


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_row_of_facts(state: State) -> None:
    """Forgotten rows are named here: phase, deadline or end, what is said again and when."""
    facts = FACTS[state]
    assert (not facts.deadlines) == (facts.phase is Phase.FINAL), "an end by time, or the end"
    assert (facts.remind_s is None) == (facts.replay in (Replay.NOTHING, Replay.BLOCKS))
    for deadline in facts.deadlines:
        assert (facts.remind_s or 0) < deadline.seconds, "a reminder after the end helps nobody"


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_is_answered_and_by_one_table_only(trigger: Trigger, state: State) -> None:
    """A new state answers by its phase; a new phase, or a state that a step leaves out, is named here."""
    rows = [row for row in TABLE if row.trigger is trigger and state in row.sources]
    guarded = bool(rows) and all(row.guard for row in rows)
    answers = {
        "made": bool(rows) and not guarded,
        "ignored": state in IGNORED[trigger],
        "illegal": state in ILLEGAL[trigger],
    }
    assert sum(answers.values()) == 1, f"{trigger} in {state}: {answers}; say it in TABLE, IGNORED or ILLEGAL"


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_answered_in_every_phase(command: Any, phase: Phase) -> None:
    assert command.answer(phase) in Answer
    assert command.acts_in, "a command that never acts is none"
    assert command.on, "a command that hears of nothing is none"


def test_the_clock_looks_at_whatever_comes_first() -> None:
    limits = TableLimits({State.DEFINED: 60}, {State.HOLDING: 30})
    user, managed = Kind("user", 0, has_task=True, has_report=True), Kind("managed", 0, has_task=True, has_report=True)
    assert span(limits, State.DEFINED, user, 600) == Span(60, 60, 7 * 86400)
    assert span(limits, State.HOLDING, user, 600) == Span(3 * 3600, 30, 21 * 86400)
    assert span(limits, State.HOLDING, managed, 600) == Span(48 * 3600, 30, 21 * 86400)
    assert span(limits, State.ASSIGNED, user, 600) == Span(7 * 86400, 600, 7 * 86400)
    assert span(limits, State.ACTIVATED, managed, 600) == Span(2 * 86400, 2 * 86400, 7 * 86400)
    merges, stays = user._replace(merges=True), managed._replace(no_reassign=True)
    assert span(limits, State.ACTIVATED, merges, 600) == Span(7 * 86400, 30 * 60, 7 * 86400)
    assert span(limits, State.ACTIVATED, stays, 600) == Span(7 * 86400, 7 * 86400, 7 * 86400)
    assert span(limits, State.FINISHED, user, 5) == Span(5, 5)
    long_s = 10**6
    assert span(TableLimits({State.STARTING: long_s}, {}), State.STARTING, managed, 5) == Span(
        long_s, 48 * 3600, 21 * 86400
    ), "what counts from entry is not set differently, and is looked at in time"


@pytest.mark.parametrize("status", list(BlockStatus))
@pytest.mark.parametrize("trigger", list(BlockTrigger))
def test_every_pair_of_the_blocks_is_answered(trigger: BlockTrigger, status: BlockStatus) -> None:
    made = BLOCK.leads(trigger, status) is not None
    assert made != (status in BLOCK.ignored[trigger])


# Written down a second time: facts about a job that cannot be, so whoever says them is wrong.
MUST_BE_ILLEGAL = {
    (Trigger.PILOT_RUNNING, State.ACTIVATED), (Trigger.PILOT_ENDED, State.DEFINED), (Trigger.ACQUIRED, State.RUNNING),
    (Trigger.OUTPUTS_DONE, State.RUNNING), (Trigger.OUTPUTS_MOVING, State.ACTIVATED),
    (Trigger.INPUTS_ARRIVED, State.PENDING), (Trigger.KILL_OBEYED, State.RUNNING),
    (Trigger.ACQUIRED, State.THROTTLED), (Trigger.ACQUIRED, State.WAITING), (Trigger.UPSTREAM_FAILED, State.PENDING),
}  # fmt: skip
MUST_BE_IGNORED = {
    (Trigger.PILOT_STARTING, State.RUNNING), (Trigger.PILOT_RUNNING, State.HOLDING),
    (Trigger.PILOT_ENDED, State.FINISHED), (Trigger.INPUTS_ARRIVED, State.RUNNING), (Trigger.LOST, State.ACTIVATED),
    (Trigger.CANCELLED, State.FINISHED), (Trigger.SUBMITTED, State.RUNNING),
    (Trigger.PILOT_TRANSFERRING, State.HOLDING),
    (Trigger.CANCELLED, State.RUNNING), (Trigger.CLOSED, State.RUNNING), (Trigger.UNDELIVERED, State.STARTING),
    (Trigger.UNCLAIMED, State.RUNNING), (Trigger.UNCLAIMED, State.ACTIVATED), (Trigger.INPUTS_ARRIVED, State.DEFINED),
    (Trigger.INPUTS_FAILED, State.DEFINED), (Trigger.REASSIGNED, State.DEFINED), (Trigger.REASSIGNED, State.SENT),
    (Trigger.REASSIGNED, State.THROTTLED), (Trigger.THROTTLED, State.SENT), (Trigger.RELEASED, State.WAITING),
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_answers_apply_ignore_or_illegal(trigger: Trigger, state: State) -> None:
    subject = factories.job(state)
    step = JOB.advance(subject, trigger)
    if isinstance(step, Step):
        assert (trigger, state, subject.state) in EDGES
        assert (step.source, step.destination) == (state, subject.state)
    else:
        assert subject.state is state, "what is not applied changes nothing"
    assert (step is None) == (state in ILLEGAL[trigger])
    assert (step is None) >= ((trigger, state) in MUST_BE_ILLEGAL)
    assert isinstance(step, Ignored) >= ((trigger, state) in MUST_BE_IGNORED)


def test_services_hear_exactly_what_they_act_on() -> None:
    assert bindings() == LISTENS


def test_only_the_guard_lets_a_second_final_report_in() -> None:
    for state in (State.HOLDING, State.TRANSFERRING):
        declared = factories.job(state)
        assert isinstance(JOB.advance(declared, Trigger.PILOT_ENDED), Step)
        assert declared.state is State.HOLDING
        reported = factories.job(state, has_report=True)
        assert isinstance(JOB.advance(reported, Trigger.PILOT_ENDED), Ignored)


def test_only_the_guard_lets_a_job_out_again() -> None:
    silent = factories.job(State.SENT, returns=HANDED_OUT_AGAIN - 1)
    assert isinstance(JOB.advance(silent, Trigger.UNCLAIMED), Step)
    too_often = factories.job(State.SENT, returns=HANDED_OUT_AGAIN)
    assert isinstance(JOB.advance(too_often, Trigger.UNCLAIMED), Ignored)
    heard = factories.job(State.SENT)
    heard.heard_at = heard.entered_at + timedelta(seconds=1)
    assert isinstance(JOB.advance(heard, Trigger.UNCLAIMED), Ignored), "its pilot has it and lives"
    heard.heard_at = heard.entered_at - timedelta(seconds=1)
    assert isinstance(JOB.advance(heard, Trigger.UNCLAIMED), Step), "that was a pilot before"


@given(st.lists(st.sampled_from(Trigger), max_size=30), st.booleans(), st.booleans())
def test_version_counts_the_applied_steps(triggers: list[Trigger], forced: bool, reported: bool) -> None:
    subject = factories.job(State.DEFINED, version=1, forced_kill=forced, has_report=reported)
    effects = Effects()
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
        self.job = factories.job(JOB.birth(trigger).destination, version=1)
        self.ended: State | None = None

    @rule(trigger=st.sampled_from(Trigger), forced=st.booleans(), reported=st.booleans())
    def happens(self, trigger: Trigger, forced: bool, reported: bool) -> None:
        self.job.forced_kill = forced
        self.job.has_report = self.job.has_report or reported
        before = self.job.state
        step = JOB.advance(self.job, trigger)
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
