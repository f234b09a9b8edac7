"""Holds what a gateway answers against its API document: status, media type, headers and model."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import schemathesis

from gateway.http.openapi import document
from gateway.table import ROUTES

DOCUMENT: dict[str, Any] = document(ROUTES)
_NAME = "{name}"


def conforms(response: httpx.Response) -> None:
    """Fails unless the document allows this answer. For a hook of httpx, which calls it before the body is read."""
    response.read()
    method, path = response.request.method, _path(response.request.url.path)
    operation = DOCUMENT["paths"].get(path, {}).get(method.lower())
    if operation is None:
        return  # no operation of ours: others say what is answered then
    where = f"{method} {path} answered {response.status_code} {response.text[:300]}"
    documented = operation["responses"].get(str(response.status_code))
    assert documented is not None, f"{where}: the document does not know this status"
    if "$ref" in documented:
        documented = DOCUMENT["components"]["responses"][documented["$ref"].rpartition("/")[2]]
    media_type = response.headers.get("content-type", "").partition(";")[0]
    assert media_type in documented["content"] or "*/*" in documented["content"], f"{where}: {media_type}"
    missing = [name for name in documented.get("headers", ()) if name not in response.headers]
    assert not missing, f"{where}: without {missing}"
    if media_type == "application/json":
        _schema()[path][method].validate_response(_without_body(response))


def _without_body(response: httpx.Response) -> httpx.Response:
    """The same, for a reader who also wants the request: its body may be gone."""
    asked = httpx.Request(response.request.method, response.request.url)
    headers = {"content-type": response.headers["content-type"]}
    same = httpx.Response(response.status_code, headers=headers, content=response.content, request=asked)
    same.elapsed = timedelta()
    return same


def _path(path: str) -> str:
    """The path as the document writes it."""
    if path in DOCUMENT["paths"]:
        return path
    place, _, name = path.rpartition("/")
    twin = f"{place}/{_NAME}.{name.rpartition('.')[2]}"
    return twin if twin in DOCUMENT["paths"] else f"{place}/{_NAME}"


@cache
def _schema() -> Any:
    return schemathesis.openapi.from_dict(DOCUMENT)
