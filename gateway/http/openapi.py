"""The OpenAPI document, made from the route table and the request models."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel

from gateway.http.answers import Convention
from gateway.http.route import Route

_REFUSALS = {"400": "refused, with the reason", "413": "too large or too many"}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "panda-fsm",
            "version": _version(),
            "description": "Bodies may be JSON or a form, plain or gzip. Success is exactly 200.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _version() -> str:
    try:
        return version("panda-fsm")
    except PackageNotFoundError:
        return "0"


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": route.answer}}
    if route.model is not None:
        responses |= {status: {"description": text} for status, text in _REFUSALS.items()}
        responses["503"] = {"description": "not accepted, nothing lost: repeat it"}
    if route.convention is not Convention.USER:
        responses["200"]["description"] += f". Refusals: {route.convention.value}"
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": f"{(route.handler.__doc__ or '').strip()}\n\nAccess: {route.access.who}.".strip(),
        "x-access": route.access.name.lower(),
        "tags": [route.tag],
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()} {route.path}").strip("_"),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
        "responses": responses,
    }
    if route.model is not None:
        _describe_request(route, route.model, operation, schemas)
    return operation


def _describe_request(route: Route, model: type[BaseModel], operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    if route.method == "GET":
        required = schema.get("required", ())
        operation["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": part}
            for name, part in schema.get("properties", {}).items()
        ]
        return
    schemas[model.__name__] = schema
    reference = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    content = {"application/json": reference, "application/x-www-form-urlencoded": reference}
    operation["requestBody"] = {"required": True, "content": content}
