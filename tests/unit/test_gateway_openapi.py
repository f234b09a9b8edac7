"""The API document: valid, complete, and written as OpenAPI 3.0 so that the packaged reader shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis

from gateway.http.answers import Convention
from gateway.http.route import Content, Route
from gateway.http.schemas import translated
from gateway.table import ROUTES
from tests.api_document import DOCUMENT

COMPONENTS = DOCUMENT["components"]


def operation(route: Route) -> Any:
    """What the document says of a route."""
    return DOCUMENT["paths"][route.path][route.method.lower()]


def property_of(schema: str, name: str) -> Any:
    """A field of a named schema."""
    return COMPONENTS["schemas"][schema]["properties"][name]


def test_it_is_valid_and_small_enough_to_read() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.0.")
    text = json.dumps(DOCUMENT)
    assert len(text) < 300_000
    for word in ('"prefixItems"', '"const"', '"type": "null"', '"$defs"'):
        assert word not in text, f"{word} is no word of OpenAPI 3.0"


def name_of(route: Route) -> str:
    """What the report of the tests calls it."""
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_every_route_says_what_it_answers(route: Route) -> None:
    answers = operation(route)["responses"]
    content = answers["200"]["content"]
    if not isinstance(route.answer, Content):
        assert "$ref" in json.dumps(content["application/json"])
    assert {"400", "403", "414", "421", "431", "503"} <= answers.keys()
    assert ("401" in answers) == route.convention.is_true
    assert ("404" in answers) == ("{" in route.path or 404 in route.refusals)
    if route.method == "POST" and route.model is not None:
        assert {"413", "429"} <= answers.keys()


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.convention.is_true], ids=name_of)
def test_pilots_refusals_are_described(route: Route) -> None:
    own = "RefusedToPilot" if route.convention is Convention.PILOT else "RefusedToOldPilot"
    assert own in json.dumps(operation(route)["responses"]["200"])


def test_limits_are_told() -> None:
    assert property_of("DescribeRequest", "job_ids")["anyOf"][0]["maxItems"] == 5500
    assert property_of("DescribeQueryAsText", "job_ids")["anyOf"][0]["maxItems"] == 2000
    assert property_of("KillRequest", "job_ids")["anyOf"][0]["maxItems"] == 10_000
    assert property_of("KillRequest", "code")["anyOf"][0]["maximum"] == 999
    assert property_of("SubmitRequest", "jobs")["anyOf"][0]["maxItems"] == 10_000
    submit = DOCUMENT["paths"]["/api/v1/job/submit"]["post"]
    assert submit["requestBody"]["x-body-limit"] == 64 * 1024 * 1024
    assert "Idempotency-Key" in [parameter["name"] for parameter in submit["parameters"]]


def test_uploads_are_multipart() -> None:
    upload = DOCUMENT["paths"]["/api/v1/file_server/upload_cache_file"]["post"]
    schema = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"]["file"]["format"] == "binary"
    assert {"409", "413", "507"} <= upload["responses"].keys()


def test_old_pilots_find_their_names() -> None:
    assert {"siteName", "prodSourceLabel", "mem"} <= COMPONENTS["schemas"]["OldAcquireRequest"]["properties"].keys()
    assert COMPONENTS["schemas"]["OldUpdateRequest"]["required"] == ["jobId"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"const": 1}, {"enum": [1]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"prefixItems": [{"type": "string"}]}, {"items": {"anyOf": [{"type": "string"}]}}),
        ({"$ref": "#/x", "description": "d"}, {"allOf": [{"$ref": "#/x"}], "description": "d"}),
        ({"properties": {"title": {"type": "string", "title": "T"}}}, {"properties": {"title": {"type": "string"}}}),
    ],
)  # fmt: skip
def test_words_that_3_0_does_not_know(written: Any, read: Any) -> None:
    assert translated(written) == read


def test_links_lead_somewhere() -> None:
    known = {one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()}
    links = [
        link for path in DOCUMENT["paths"].values() for one in path.values()
        for link in one["responses"]["200"].get("links", {}).values()
    ]  # fmt: skip
    assert links
    assert {link["operationId"] for link in links} <= known
