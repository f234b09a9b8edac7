"""THE table of who may do what, row by row, and by what is not in it."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.access import policy
from gateway.access.identity import Identity
from gateway.access.policy import TABLE, Action, Relation
from gateway.dashboard.actions import ACTIONS, EDIT
from gateway.http.refusal import ForbiddenError, UnauthenticatedError
from tests.callers import NOBODY

JOB_VO, OTHER_VO = "lab", "era"
WHO = {
    "nothing": set[tuple[str, str]](),
    "pilot": {(JOB_VO, "pilot")},
    "production": {(JOB_VO, "production")},
    "pilot elsewhere": {(OTHER_VO, "pilot")},
    "production elsewhere": {(OTHER_VO, "production")},
    "production of no VO": {("", "production")},
    "a role that means nothing": {(JOB_VO, "emperor")},
    "viewer": {(JOB_VO, "viewer"), ("", "viewer")},
    "shifter": {(JOB_VO, "shifter")},
    "operator": {(JOB_VO, "operator")},
    "operator elsewhere": {(OTHER_VO, "operator"), (OTHER_VO, "admin")},
    "shifter everywhere": {("", "shifter")},
    "operator everywhere": {("", "operator")},
    "admin everywhere": {("", "admin")},
}
RELATIONS = ("owner", "holder", "stranger")
EVERYBODY = set(product(WHO, RELATIONS))


def held_by(*names: str) -> set[tuple[str, str]]:
    """Whoever is this, whatever their relation to the job."""
    return set(product(names, RELATIONS))


def related(*relations: str) -> set[tuple[str, str]]:
    """Whoever is this to the job, whatever their roles."""
    return set(product(WHO, relations))


OPERATORS = held_by("operator", "operator everywhere", "admin everywhere")
SHIFTERS = OPERATORS | held_by("shifter", "shifter everywhere")
ALLOWED = {
    Action.LOOK: EVERYBODY,
    Action.DESCRIBE: EVERYBODY,
    Action.DESCRIBE_WHOLLY: related("owner") | held_by("production"),
    Action.SUBMIT: EVERYBODY,
    Action.SUBMIT_PRODUCTION: held_by("production"),
    Action.SUBMIT_URGENT: held_by("production"),
    Action.UPLOAD: EVERYBODY,
    Action.KILL: related("owner") | held_by("production") | OPERATORS,
    Action.REASSIGN: held_by("production") | OPERATORS,
    Action.ACQUIRE: EVERYBODY,
    Action.REPORT: related("holder") | held_by("pilot", "production"),
    Action.REGISTER: EVERYBODY,
    Action.DEBUG: related("owner", "holder") | held_by("pilot", "production") | SHIFTERS,
    Action.COMMAND: held_by("production"),
    Action.PRIORITY: OPERATORS,
    Action.RELEASE: OPERATORS,
    Action.HOLD_TASK: OPERATORS,
    Action.BULK: OPERATORS,
    Action.PAUSE: held_by("operator everywhere", "admin everywhere"),
    Action.SET_STATUS: held_by("operator everywhere", "admin everywhere"),
    Action.REPLAY_DEAD: held_by("shifter everywhere", "operator everywhere", "admin everywhere"),
    Action.REPLAY_ALL_DEAD: held_by("operator everywhere", "admin everywhere"),
    Action.DISCARD_DEAD: held_by("operator everywhere", "admin everywhere"),
    Action.EDIT_DEAD: held_by("admin everywhere"),
    Action.THRESHOLDS: held_by("admin everywhere"),
}


LEAST: dict[str, str] = {
    "debug": "shifter", "replay_dead": "shifter", "kill": "operator", "reassign": "operator", "priority": "operator",
    "release": "operator", "hold_task": "operator", "resume_task": "operator", "pause_queue": "operator",
    "resume_queue": "operator", "pause_site": "operator", "resume_site": "operator", "set_status": "operator",
    "lift_status": "operator", "cancel_operation": "operator",
    "discard_dead": "operator", "replay_group": "operator", "discard_group": "operator",
}  # fmt: skip
"""Who does least of all who may: shifters what touches one thing and can be done again, operators what stops, ends or
moves, and what is done to many."""


def test_what_operators_do_from_pages_is_for_whom_it_is_meant() -> None:
    ladder = ("viewer", "shifter", "operator", "admin")
    found = {
        name: next(one for one in ladder if policy.operates(Identity("i", "s", "", frozenset({("", one)})), row.access))
        for name, row in ACTIONS.items()
    }
    assert found == LEAST
    assert EDIT.access is Action.EDIT_DEAD


def test_each_action_has_its_rows() -> None:
    assert set(TABLE) == set(Action) == set(ALLOWED)
    assert all(action.who for action in Action)


@pytest.mark.parametrize("action", Action, ids=lambda action: action.name)
@pytest.mark.parametrize("roles", WHO)
@pytest.mark.parametrize("relation", RELATIONS)
def test_action_role_relation(action: Action, roles: str, relation: str) -> None:
    who = Identity("iss", "me", "Me", frozenset(WHO[roles]))
    parts = {part: who.key if part == relation else "s:other" for part in ("owner", "holder")}
    assert policy.may(who, action, JOB_VO, **parts) is ((roles, relation) in ALLOWED[action])


def test_what_is_decided_before_a_job_is_known() -> None:
    manager = Identity("iss", "m", "", frozenset({(OTHER_VO, "production"), ("", "admin")}))
    of_a_vo = Identity("iss", "o", "", frozenset({(OTHER_VO, "admin")}))
    for action in Action:
        policy.admit(manager, action)
        if TABLE[action] and all(relation is Relation.EVERYWHERE for _, relation in TABLE[action]):
            with pytest.raises(ForbiddenError):
                policy.admit(of_a_vo, action)
        elif any(role.operates for role, _ in TABLE[action]):
            policy.admit(of_a_vo, action)
        if policy.is_open(action):
            policy.admit(NOBODY, action)
            continue
        with pytest.raises(UnauthenticatedError, match=r"only for (production|operators|shifters|administrators)"):
            policy.admit(NOBODY, action)
        with pytest.raises(ForbiddenError, match=r"only for (production|operators|shifters|administrators)"):
            policy.admit(Identity("iss", "u", ""), action)
