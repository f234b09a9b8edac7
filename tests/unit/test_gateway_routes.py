"""The table of routes: each says who may use it, and the API document shows it."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from gateway.access.policy import TABLE, Action
from gateway.http.openapi import document
from gateway.http.route import Route
from gateway.table import ROUTES

DOCUMENT = document(ROUTES)


def test_a_route_cannot_be_made_without_saying_who_may_use_it() -> None:
    (access,) = (field for field in fields(Route) if field.name == "access")
    assert access.default is MISSING
    assert access.default_factory is MISSING


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_names_its_policy_and_the_document_shows_it(route: Route) -> None:
    assert route.access in TABLE
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert operation["x-access"] == route.access.name.lower()
    assert operation["description"].endswith(f"Access: {route.access.who}.")


def test_what_changes_jobs_is_not_for_everybody() -> None:
    changing = {
        "job/kill": Action.KILL, "job/submit": Action.SUBMIT, "job/reassign": Action.REASSIGN,
        "pilot/update_job": Action.REPORT,
    }  # fmt: skip
    by_path = {route.path: route for route in ROUTES}
    assert {name: by_path[f"/api/v1/{name}"].access for name in changing} == changing


def test_every_route_stands_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
