"""Who may do what with a job of whom, and how a refusal is told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from pydantic import BaseModel
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gateway.access import audit, policy, submitting
from gateway.access.identity import Identity, IdentityProvider
from gateway.access.loopback import TrustedLoopback
from gateway.access.policy import Action
from gateway.access.submitting import PriorityLimits
from gateway.context import Gateway
from gateway.http.answers import Convention, success
from gateway.http.bodies import Bodies
from gateway.http.endpoint import endpoint
from gateway.http.refusal import ForbiddenError, RefusalError, UnauthenticatedError
from gateway.http.route import Call, Route
from gateway.work.waiting import Crowd, Waiting
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import Killer
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob
from tests.callers import NOBODY, opaque, seen
from tests.gateway_http import bearer

JOB_VO, OTHER_VO = "lab", "era"


def test_a_role_without_a_vo_counts_for_jobs_without_one() -> None:
    who = Identity("iss", "me", "Me", frozenset({("", "production")}))
    assert policy.may(who, Action.KILL, "", "s:other")
    assert not policy.may(Identity("iss", "me", "Me", frozenset({("lab", "production")})), Action.KILL, "", "s:other")


def job(**fields: Any) -> JobRow:
    """A job of somebody else, held by somebody else."""
    values: dict[str, Any] = {
        "job_id": 1, "state": State.RUNNING, "attempt_nr": 1, "owner": "s:other", "holder": "s:harvester",
        "label": "user", "command": None, "batch_id": None, "has_report": False, "vo": JOB_VO,
    }  # fmt: skip
    return JobRow(**(values | fields))


def test_harvester_acquires_and_a_pilot_reports() -> None:
    harvester, pilot = Identity("iss", "harvester", ""), Identity("iss", "p", "", frozenset({(JOB_VO, "pilot")}))
    assert policy.may_report(pilot, job(holder=harvester.key))
    assert not policy.may_report(pilot, job(holder=harvester.key, vo=OTHER_VO))
    assert not policy.may_report(Identity("iss", "p", ""), job(holder=harvester.key))
    assert not policy.may_report(pilot, job(holder=harvester.key, vo=""))


def test_a_renewed_token_is_the_same_pilot() -> None:
    before, after = (seen(bearer({"iss": "i", "sub": "pilot", "exp": at})) for at in (1, 2))
    assert policy.may_report(after, job(holder=before.key))
    for holder in (opaque("before").key, opaque("before").former_key):
        assert policy.may_report(opaque("after"), job(holder=holder))
    assert not policy.may_report(opaque("after"), job(holder=before.key))
    assert not policy.may_report(before, job(holder=opaque("before").key))
    assert not policy.may_report(seen({}), job(holder=opaque("before").key))
    assert not policy.may_report(opaque("after"), job(holder=None))
    # It stands for a holder only: another opaque token owns nothing of theirs.
    assert not policy.may(opaque("after"), Action.KILL, JOB_VO, opaque("before").key)


def test_who_kills_is_told_by_the_role_in_the_jobs_vo() -> None:
    manager = Identity("iss", "m", "", frozenset({(JOB_VO, "production"), (OTHER_VO, "pilot")}))
    assert policy.killer(manager, job()) == Killer(is_owner=False, is_production=True)
    assert policy.killer(manager, job(vo=OTHER_VO)) == Killer(is_owner=False, is_production=False)
    assert policy.killer(manager, job(vo=OTHER_VO, owner=manager.key)) == Killer(is_owner=True, is_production=False)


def test_jobs_of_the_release_before_keep_their_owner_and_holder() -> None:
    who = seen(bearer({"iss": "https://iam", "sub": "s1"}))
    before = job(owner="https://iam|s1", holder="https://iam|s1")
    assert policy.killer(who, before).is_owner
    assert policy.may_report(who, before)


class Refusing:
    """An identity provider that turns everybody away."""

    asks_for_names = False

    def __init__(self, error: RefusalError) -> None:
        self._error = error

    async def identify(self, request: HTTPConnection) -> Identity:
        """Nobody."""
        raise self._error


def answer(route: Route, identities: IdentityProvider) -> Response:
    """What a request without headers is told."""
    gateway = cast("Gateway", SimpleNamespace(identities=identities))
    scope = {"type": "http", "method": "GET", "path": route.path, "query_string": b"", "headers": []}

    async def ask() -> Response | None:
        run = endpoint(gateway, route, Bodies(), Crowd(1, 10))
        return await run(Request(scope), Waiting(None))

    told = asyncio.run(ask())
    assert told is not None
    return told


def route(convention: Convention, action: Action = Action.LOOK) -> Route:
    """A route that does nothing."""

    async def handle(_gateway: Gateway, call: Call, _ask: None) -> Response:
        return success(call.identity.name)

    return Route("GET", "/x", handle, action, "", BaseModel, convention=convention)


@pytest.mark.parametrize(
    ("convention", "error", "status", "told"),
    [
        (Convention.USER, UnauthenticatedError("who?"), 401, {"success": False, "message": "who?", "data": None}),
        (Convention.USER, ForbiddenError("no"), 403, {"success": False, "message": "no", "data": None}),
        (Convention.PILOT, UnauthenticatedError("who?"), 200,
         {"success": False, "message": "who?", "data": {"StatusCode": 50}}),
        (Convention.PILOT, ForbiddenError("no"), 200, {"success": False, "message": "no", "data": {"StatusCode": 70}}),
        (Convention.LEGACY_PILOT, UnauthenticatedError("who?"), 200, {"StatusCode": 50, "errorDialog": "who?"}),
        (Convention.LEGACY_PILOT, ForbiddenError("no"), 200, {"StatusCode": 70, "errorDialog": "no"}),
    ],
)  # fmt: skip
def test_a_provider_turns_callers_away_in_their_convention(
    convention: Convention, error: RefusalError, status: int, told: dict[str, Any]
) -> None:
    refused = answer(route(convention), Refusing(error))
    assert (refused.status_code, orjson.loads(bytes(refused.body))) == (status, told)
    assert refused.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_what_nobody_may_try_is_refused_before_the_handler() -> None:
    trusting = TrustedLoopback("127.0.0.1")
    assert answer(route(Convention.USER), trusting).status_code == 200
    assert answer(route(Convention.USER, Action.SUBMIT_PRODUCTION), trusting).status_code == 401


LAB_MANAGER = Identity("iss", "m", "", frozenset({(JOB_VO, "production")}))
USER = Identity("iss", "u", "")
LIMITS = PriorityLimits(4000, {OTHER_VO: 9000, "none": 0})


def draft(**fields: Any) -> JobDraft:
    """A user's job of the laboratory."""
    values: dict[str, Any] = {"job_id": 1, "site": "Q", "vo": JOB_VO}
    return JobDraft(**(values | fields))


@pytest.mark.parametrize(
    ("fields", "user_may", "manager_may"),
    [
        ({}, True, True),
        ({"label": "panda", "priority": 2000}, True, True),
        ({"priority": -5}, True, True),
        ({"label": "rc_test"}, True, True),
        ({"label": "managed"}, False, True),
        ({"label": "test"}, False, True),
        ({"label": "prod_test"}, False, True),
        ({"label": "install"}, False, True),
        ({"label": "managed", "vo": OTHER_VO}, False, False),
        ({"label": "managed", "vo": ""}, False, False),
        ({"priority": 4000}, True, True),
        ({"priority": 4001}, False, True),
        ({"priority": 2**31 - 1}, False, True),
        ({"priority": 4001, "vo": ""}, False, False),
        ({"priority": 4001, "vo": OTHER_VO}, False, False),
        ({"priority": 1, "vo": "none"}, False, False),
    ],
    ids=str,
)
def test_who_may_submit_what(fields: dict[str, Any], user_may: bool, manager_may: bool) -> None:
    for who, allowed in ((NOBODY, user_may), (USER, user_may), (LAB_MANAGER, manager_may)):
        if allowed:
            submitting.check(who, 7, draft(**fields), LIMITS)
        else:
            with pytest.raises(ForbiddenError, match=r"^job 7: .*needs the production role") as refused:
                submitting.check(who, 7, draft(**fields), LIMITS)
            assert refused.value.status == 403


def test_a_vos_own_limit_is_for_its_members() -> None:
    member = Identity("iss", "u", "", vos=frozenset({OTHER_VO}))
    submitting.check(member, 0, draft(priority=9000, vo=OTHER_VO), LIMITS)
    for job in (draft(priority=9001, vo=OTHER_VO), draft(priority=4001), draft(priority=1, vo="none")):
        with pytest.raises(ForbiddenError):
            submitting.check(member, 0, job, LIMITS)


def kills(*job_ids: int) -> list[KillJob]:
    """Kills of these jobs."""
    return [KillJob(job_id=job_id, code=9, reason="why", forced=job_id == 3) for job_id in job_ids]


def test_an_audit_row_names_who_and_which_jobs() -> None:
    row = audit.killed(USER, kills(9, 1, 3, 2, 11))
    assert (row.actor, row.action, row.object) == (USER.key, "kill_requested", "jobs 1-11")
    assert row.detail == {
        "name": "", "jobs": 5, "job_ids": "1-3,9,11", "code": 9, "reason": "why", "forced": 1,
    }  # fmt: skip
    assert audit.killed(USER, kills(5)).object == "job 5"
    jobs = [draft(job_id=job_id, label=label) for job_id, label in ((7, "user"), (8, "panda"))]
    submitted = audit.submitted(LAB_MANAGER, jobs)
    assert (submitted.action, submitted.object) == ("jobs_submitted", "jobs 7-8")
    assert submitted.detail == {"name": "", "jobs": 2, "job_ids": "7-8", "labels": ["panda", "user"], "vos": ["lab"]}


def test_an_audit_row_is_bounded() -> None:
    row = audit.killed(USER, kills(*range(1, 20_001, 2)))
    assert (row.detail["jobs"], row.detail["more_ranges"]) == (10_000, 9000)
    assert len(str(row.detail["job_ids"])) < 6000
