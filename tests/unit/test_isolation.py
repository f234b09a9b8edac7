"""A plugin that raises, hangs, forgets or answers nonsense: its own jobs wait, with the reason, and nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panda_fsm.blocks.states import BlockKind
from panda_fsm.errors import TransientError
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.names import NameRule
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus, State
from panda_fsm.outcomes import FileChange
from panda_fsm.plans import Go, Later, Plan, Refuse
from panda_fsm.trouble import IN_A_ROW, Condition
from plugins.experiments.isolation import MOST_CALLS, MOST_HUNG, TRY_AGAIN_S, Isolated, Question
from tests import factories
from tests.polling import wait_until

SETUP = Question(lambda plugin, jobs: plugin.setup(jobs), BlockKind.DISPATCH)
Answer = Callable[[Sequence[Job]], Any]


class Plugin:
    """Answers as the test wants, and counts what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[int] = []

    names: ClassVar[NameRule] = NameRule("a", 9, "a")

    def setup(self, jobs: Sequence[Job]) -> Mapping[int, Plan]:
        self.calls.append(len(jobs))
        answers: Mapping[int, Plan] = self.answer(jobs)
        return answers

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Mapping[int, Plan]:
        raise NotImplementedError

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Mapping[int, Plan]:
        raise NotImplementedError


class Walled:
    """A plugin in its isolation, and a clock that the test turns."""

    def __init__(
        self, answer: Answer, limit_s: float = 30.0, make: Callable[[], Plugin] | None = None, patience_s: float = 30
    ) -> None:
        self.now = 0.0
        self.condition = Condition()
        self.plugin = Plugin(answer)
        self._isolated = Isolated("x", make or (lambda: self.plugin), self.condition, limit_s, lambda: self.now)
        self._isolated.load()
        self._isolated.await_loaded(time.monotonic() + patience_s)

    def accuse(self, job_id: int) -> None:
        """Say that its plan for the job could not be written."""
        self._isolated.accuse(factories.job(State.DEFINED, job_id=job_id), "no such type")

    def ask(self, *job_ids: int) -> dict[int, Plan]:
        """One question; whatever happens, each job has a plan."""
        jobs = [factories.job(State.DEFINED, job_id=number) for number in job_ids]
        plans = self._isolated.finish(self._isolated.start(jobs, SETUP), jobs)
        assert plans.keys() == set(job_ids)
        return plans


def go(jobs: Sequence[Job]) -> dict[int, Plan]:
    """The answer of a plugin that works."""
    return {job.job_id: Go() for job in jobs}


def why(plan: Plan) -> str:
    """Why a job is put off."""
    assert isinstance(plan, Later), plan
    return plan.reason


def fails_on(*guilty: int) -> Answer:
    """A plugin that raises whenever one of these is among the jobs."""

    def answer(jobs: Sequence[Job]) -> dict[int, Plan]:
        for job in jobs:
            if job.job_id in guilty:
                raise ValueError(f"job {job.job_id} is odd")
        return go(jobs)

    return answer


def test_a_plugin_that_works_is_asked_once() -> None:
    walled = Walled(go)
    assert walled.ask(1, 2, 3) == dict.fromkeys((1, 2, 3), Go())
    assert walled.plugin.calls == [3]
    assert walled.condition.trouble is None


@settings(max_examples=50)
@given(guilty=st.sets(st.integers(1, 200), min_size=1, max_size=4))
def test_only_the_guilty_wait(guilty: set[int]) -> None:
    walled = Walled(fails_on(*guilty))
    plans = walled.ask(*range(1, 201))
    assert {job_id for job_id, plan in plans.items() if isinstance(plan, Later)} == guilty
    assert {why(plans[job_id]) for job_id in guilty} == {
        f"experiment x failed: ValueError: job {job_id} is odd" for job_id in guilty
    }
    assert len(walled.plugin.calls) <= MOST_CALLS
    assert walled.condition.trouble is None, "the experiment works"


def test_a_plugin_that_always_raises_costs_few_calls_and_then_rests() -> None:
    walled = Walled(fails_on(*range(1, 201)))
    for _ in range(IN_A_ROW):
        assert "is odd" in why(walled.ask(*range(1, 201))[200])
    asked = len(walled.plugin.calls)
    assert asked <= IN_A_ROW * MOST_CALLS
    assert "experiment x: failed" in str(walled.condition.trouble)
    assert "is odd" in why(walled.ask(201)[201]), "whoever comes now is told"
    assert len(walled.plugin.calls) == asked, "but it is not asked"
    walled.now += 11
    walled.ask(1, 2, 3)
    assert walled.plugin.calls[asked:] == [1], "one job tells that it still fails"
    walled.now += 61
    walled.plugin.answer = go
    plans = walled.ask(1, 2, 3)
    assert sorted(type(plan).__name__ for plan in plans.values()) == ["Go", "Later", "Later"]
    assert walled.ask(1, 2, 3) == dict.fromkeys((1, 2, 3), Go())
    assert walled.condition.trouble is None


def test_a_lone_guilty_job_that_comes_again_and_again_stops_nobody() -> None:
    walled = Walled(fails_on(1))
    for _ in range(2 * IN_A_ROW):
        assert "is odd" in why(walled.ask(1)[1])
    assert walled.ask(2) == {2: Go()}


def test_an_outside_system_that_is_away_is_nobodys_guilt() -> None:
    def away(jobs: Sequence[Job]) -> dict[int, Plan]:
        raise TransientError("catalogue is away")

    walled = Walled(away)
    for _ in range(IN_A_ROW + 1):
        plans = walled.ask(*range(1, 51))
        assert {why(plan) for plan in plans.values()} == {"experiment x failed: TransientError: catalogue is away"}
    assert walled.plugin.calls == [50] * IN_A_ROW


class Unspeakable:
    """Nothing can be said of it."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


NO_PLAN = "experiment x returned no plan for the job"
NONSENSE: dict[str, tuple[Answer, str]] = {
    "no mapping": (lambda jobs: None, NO_PLAN),
    "a list": (lambda jobs: [Go()], NO_PLAN),
    "empty": (lambda jobs: {}, NO_PLAN),
    "no plan": (lambda jobs: {1: "go"}, "experiment x returned a plan that is str, not a plan"),
    "a class": (lambda jobs: {1: Go}, "experiment x returned a plan that is type, not a plan"),
    "no reason": (lambda jobs: {1: Later(7)}, "experiment x returned a plan that is Later, not a plan"),  # type: ignore[arg-type]
    "unknown file": (lambda jobs: {1: Go((FileChange(9, FileStatus.READY),))}, "changes file 9"),
    "unreadable": (lambda jobs: {1: Go((), (Unspeakable(),))}, "cannot be read: ZeroDivisionError"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_plan_is_no_success(name: str) -> None:
    answer, expected = NONSENSE[name]
    assert expected in why(Walled(answer).ask(1)[1])


def test_a_job_that_is_left_out_waits_and_the_others_do_not() -> None:
    plans = Walled(lambda jobs: go(jobs[1:])).ask(1, 2)
    assert (why(plans[1]), plans[2]) == (NO_PLAN, Go())


def test_an_answer_about_a_job_that_nobody_asked_about_is_ignored() -> None:
    assert Walled(lambda jobs: go(jobs) | {99: Go()}).ask(1) == {1: Go()}


def test_reasons_are_short_and_can_be_stored() -> None:
    plan = Walled(lambda jobs: {1: Refuse("odd\x00\udcff" + "x" * 10_000)}).ask(1)[1]
    assert isinstance(plan, Refuse)
    assert plan.reason.startswith("odd  xxx")
    assert len(plan.reason) == 500


def test_a_plugin_that_ends_its_thread_ends_nothing_else() -> None:
    def leave(jobs: Sequence[Job]) -> dict[int, Plan]:
        raise SystemExit(1)

    assert "SystemExit" in why(Walled(leave).ask(1)[1])


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a plugin waits for that hangs; opened in the end, so that its threads end."""
    event = threading.Event()
    yield event
    event.set()


def hangs_at(gate: threading.Event) -> Answer:
    """A plugin that does not answer before the gate is opened."""

    def answer(jobs: Sequence[Job]) -> dict[int, Plan]:
        gate.wait()
        return go(jobs)

    return answer


def test_a_plugin_that_hangs_is_not_waited_for_again(gate: threading.Event) -> None:
    walled = Walled(hangs_at(gate), limit_s=0.05)
    expected = "experiment x did not answer within 0.05 s"
    assert {why(plan) for plan in walled.ask(1, 2).values()} == {expected}
    assert walled.condition.trouble == "experiment x: did not answer within 0.05 s"
    for _ in range(100):
        assert why(walled.ask(3)[3]) == expected
    assert walled.plugin.calls == [2], "no pile-up"


def test_one_job_a_minute_tells_whether_it_still_hangs(gate: threading.Event) -> None:
    walled = Walled(hangs_at(gate), limit_s=0.05)
    walled.ask(1, 2)
    for hung in range(1, MOST_HUNG):
        walled.now += TRY_AGAIN_S
        walled.ask(3, 4, 5)
        wait_until(lambda: len(walled.plugin.calls) > hung, "a try")  # noqa: B023  # asked before hung changes
    assert walled.plugin.calls == [2] + [1] * (MOST_HUNG - 1)
    walled.now += TRY_AGAIN_S
    assert f"never came back from {MOST_HUNG} questions" in why(walled.ask(3)[3])
    assert f"never came back from {MOST_HUNG} questions" in str(walled.condition.trouble)
    assert len(walled.plugin.calls) == MOST_HUNG


def test_a_plugin_that_answers_again_is_asked_in_full(gate: threading.Event) -> None:
    """The first question never comes back, as on a connection that died silently; new ones do."""
    walled = Walled(hangs_at(gate), limit_s=1.0)
    walled.ask(1)
    walled.plugin.answer = go
    assert isinstance(walled.ask(2)[2], Later)
    walled.now += TRY_AGAIN_S
    walled.ask(2, 3)
    wait_until(lambda: walled.ask(2, 3) == {2: Go(), 3: Go()}, "the answer in time")
    assert walled.condition.trouble is None


def test_plans_that_cannot_be_written_are_shown_and_many_of_them_are_asked_for_no_more() -> None:
    """Each of them costs its batch, so the experiment rests when they become many within a minute."""
    walled = Walled(go)
    for number in range(1, IN_A_ROW):
        walled.accuse(number)
        assert walled.ask(100) == {100: Go()}, "it is asked on"
        assert walled.condition.trouble == "experiment x: returned a plan that cannot be written: no such type"
    walled.accuse(IN_A_ROW)
    assert why(walled.ask(100)[100]) == "experiment x returned a plan that cannot be written: no such type"
    walled.now += TRY_AGAIN_S
    assert walled.ask(100) == {100: Go()}
    assert walled.condition.trouble is None
    walled.accuse(1)
    assert walled.ask(100) == {100: Go()}, "what was long ago does not count"
