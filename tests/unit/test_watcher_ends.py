"""How the Watcher ends jobs: sub-statuses, repeated kills, and the deadlines that only some jobs have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.jobs.facts import HANDED_OUT_AGAIN
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob
from panda_fsm.outcomes import Ignore
from tests import factories
from tests.unit.test_consumers_watcher import CODES, ERROR_OF, OVERDUE, changes_of, decide, ends_in, passed

S = State
SUB_STATUS = {2: "toreassign", 4: "toreassign", 51: "toreassign", 55: "taskdone"}


@pytest.mark.parametrize("wanted", [None, "mine"])
@pytest.mark.parametrize("code", CODES)
def test_the_sub_status_of_a_killed_job(code: int, wanted: str | None) -> None:
    """By it the submitter knows what to do with the inputs."""
    kill = KillJob(job_id=1, code=code, sub_status=wanted)
    expected = wanted or SUB_STATUS.get(code)
    written = changes_of(decide(kill, factories.job(S.HOLDING))).pilot
    assert written == ({} if expected is None else {"job_sub_status": expected})
    assert changes_of(decide(kill, factories.job(S.RUNNING))).pilot == {}, "it has not ended"


def test_that_the_unmerged_are_kept_is_known_however_the_job_ends() -> None:
    kill = KillJob(job_id=1, code=51, keep_unmerged=True)
    assert changes_of(decide(kill, factories.job(S.RUNNING))).pilot == {"keep_unmerged": True}
    assert changes_of(decide(kill, factories.job(S.ACTIVATED))).pilot == {
        "keep_unmerged": True, "job_sub_status": "toreassign",
    }  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_a_repeated_kill_counts_with_some_codes(code: int) -> None:
    outcome = decide(KillJob(job_id=1, code=code, actor="another"), factories.job(S.RUNNING, command="tobekilled"))
    if code in (2, 9, 10, 51, 52, 60, 99):
        (note,) = changes_of(outcome).errors
        assert (note.component, note.code, changes_of(outcome).command) == (
            "kill",
            ERROR_OF.get(code, 100),
            "tobekilled",
        )
        assert "another" in note.diagnostic
    else:
        assert isinstance(outcome, Ignore)


@pytest.mark.parametrize(
    ("state", "fields", "end"),
    [
        (S.ACTIVATED, {"label": "managed"}, (S.CLOSED, "task_buffer", 100)),
        (S.TRANSFERRING, {"has_report": True}, (S.FAILED, "task_buffer", 101)),
        (S.STARTING, {"label": "managed", "entered_at": OVERDUE - timedelta(hours=48)}, (S.CLOSED, "task_buffer", 100)),
        (S.RUNNING, {"created_at": OVERDUE - timedelta(days=21)}, (S.CLOSED, "task_buffer", 102)),
        (S.SENT, {"created_at": OVERDUE - timedelta(days=21)}, (S.CLOSED, "task_buffer", 102)),
    ],
)
def test_deadlines_of_some_jobs_only(state: State, fields: dict[str, Any], end: tuple[State, str, int]) -> None:
    job = factories.job(state, **({"deadline_at": OVERDUE, "heard_at": datetime.now(UTC)} | fields))
    outcome = decide(passed(job), job)
    error = changes_of(outcome).errors[0]
    assert (ends_in(outcome, job), error.component, error.code) == end


@pytest.mark.parametrize(
    ("state", "code"), [(S.STARTING, 101), (S.RUNNING, 101), (S.HOLDING, 101), (S.TRANSFERRING, 101), (S.SENT, 102)]
)
def test_a_job_that_is_lost_after_an_error_could_not_be_recovered(state: State, code: int) -> None:
    job = factories.job(state, deadline_at=OVERDUE, has_erred=True, returns=HANDED_OUT_AGAIN)
    (error,) = changes_of(decide(passed(job), job)).errors
    assert (error.component, error.code) == ("job_dispatcher", code)
    assert ("recovery failed" in error.diagnostic) == (code == 101)
    moving = factories.job(S.TRANSFERRING, deadline_at=OVERDUE, has_erred=True, has_report=True)
    (error,) = changes_of(decide(passed(moving), moving)).errors
    assert (error.component, error.code) == ("task_buffer", 101), "no pilot has to do with it"
