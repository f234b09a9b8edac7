"""Production managers of working groups: whose jobs they may act on, and how."""

from __future__ import annotations

import pytest

from gateway.access import policy
from gateway.access.policy import Action
from gateway.http.refusal import ForbiddenError
from lab.site import VO
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import Killer
from panda_fsm.jobs.states import State
from tests.callers import NOBODY, seen
from tests.gateway_http import bearer

OTHER_VO = "era"


@pytest.mark.parametrize(
    ("label", "group", "vo", "may"),
    [
        ("managed", "higg", VO, True), ("test", "AP_HIGG", VO, True), ("managed", "", VO, False),
        ("managed", "AP_SUSY", VO, False), ("managed", "XHIGG", VO, False),
        ("managed", "HIGG_SUSY", VO, False), ("managed", "higg", OTHER_VO, False), ("user", "higg", VO, False),
        ("prod_test", "higg", VO, False),
    ],
)  # fmt: skip
def test_production_of_a_working_group_acts_on_its_production_jobs(label: str, group: str, vo: str, may: bool) -> None:
    groups = [f"/{VO}/Higg/production", f"{VO}/susy/pilot", f"{OTHER_VO}/top/production"]
    manager = seen(bearer({"iss": "iss", "sub": "m", "groups": groups}))
    one = JobRow(1, State.RUNNING, 1, "s:other", None, label, None, None, False, vo, working_group=group)
    assert policy.killer(manager, one) == Killer(is_owner=False, is_production=may)
    allowed = {action for action in Action if policy.may_with(manager, action, one)}
    more = {Action.KILL, Action.DEBUG, Action.COMMAND, Action.DESCRIBE_WHOLLY} if may else set[Action]()
    assert allowed - {action for action in Action if policy.may_with(NOBODY, action, one)} == more


def test_production_of_a_working_group_is_admitted_where_a_job_may_be_its() -> None:
    manager = seen(bearer({"sub": "m", "groups": [f"{VO}/higg/production"]}))
    policy.admit(manager, Action.COMMAND)
    for action in (Action.REASSIGN, Action.SUBMIT_PRODUCTION):
        with pytest.raises(ForbiddenError):
            policy.admit(manager, action)
