"""The OpenAPI document: what each route takes and answers, made from the route table and the models it names."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from pydantic import BaseModel

from gateway.http.answers import RETRY_AFTER_S, Convention
from gateway.http.route import MB, Content, Link, Route
from gateway.http.schemas import Schema, Schemas, reference
from gateway.wire.answers import Refused
from gateway.wire.pilot_answers import RefusedToOldPilot, RefusedToPilot

_ABOUT = f"""Bodies may be JSON or a form, plain or gzip; numbers may be written as text, and "", NULL or null stand for
no value. Fields that nobody knows are ignored. Success is exactly 200.

Users are refused with a true status. Pilots are refused with 200 and a code in the answer: they read nothing else. A
true status they get only for what was not let in or cannot be read at all, and 503 for what they shall repeat.

503 means that nothing was changed; repeat it after {RETRY_AFTER_S} seconds. What is only read by GET has HEAD. Other
methods of a path are answered with 405 and `Allow`, other paths with 404."""
_REASONS = {
    400: "Not understood, or against the schema or a rule that the message names.",
    401: "Who asks is not known, or what was shown is not valid.",
    403: "Not allowed; or sent by a page of another site, or through a proxy.",
    404: "There is no such thing.",
    408: "The request did not come in time.",
    409: "The name stands for something else, or it is too late.",
    413: "Larger, or more items, than is taken.",
    414: "The URL is too long.",
    416: "The file has no such part.",
    421: "This server is not called what the request's Host says.",
    422: "The key was sent with another request.",
    429: "Too many large requests at this moment: repeat it.",
    431: "The request's head is too large.",
    503: "Not accepted for the moment, nothing was changed: repeat it.",
    507: "No room for it, nothing was kept.",
}
_OF_ALL = (400, 403, 408, 414, 421, 431, 503)
_NOT_LET_IN = (403, 421)
_OWN_REFUSAL: dict[Convention, type[BaseModel]] = {
    Convention.USER: Refused,
    Convention.PILOT: RefusedToPilot,
    Convention.LEGACY_PILOT: RefusedToOldPilot,
    Convention.PAGE: Refused,
}
_HEADERS: dict[int, Schema] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
}
_FORMS = {"application/json": False, "application/x-www-form-urlencoded": True}
"""Whether it is text."""


Models = tuple[type[BaseModel], ...]


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    return _Document(list(routes)).whole()


class _Document:
    """Collects what operations share: schemas and responses."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._schemas = Schemas(model for route in routes for model in _models(route))
        self._responses: dict[str, Schema] = {}
        self._ids = {f"{route.method} {route.path}": _operation_id(route) for route in routes}

    def whole(self) -> dict[str, Any]:
        paths: dict[str, Schema] = {}
        for route in self._routes:
            paths.setdefault(route.path, {})[route.method.lower()] = self._operation(route)
        return {
            "openapi": "3.0.3",
            "info": {"title": "panda-fsm", "version": program_version(), "description": _ABOUT},
            "servers": [{"url": "/"}],
            "security": [{}, {"token": []}],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.components.items())),
                "responses": dict(sorted(self._responses.items())),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }

    def _operation(self, route: Route) -> Schema:
        answers = {"200": self._answer(route)}
        if isinstance(route.answer, Content) and route.answer.is_file:
            answers["206"] = {"description": "The part that was asked for.", "content": _bytes("*/*")}
            answers["416"] = {"description": _REASONS[416], "content": _bytes("text/plain")}
        if isinstance(route.answer, Content) and route.answer.leads_on:
            where = {"Location": {"schema": {"type": "string"}, "description": "the page"}}
            answers["303"] = {"description": "It is on another page.", "content": _bytes("text/html"), "headers": where}
        if isinstance(route.answer, Content) and route.answer.is_kept:
            tag = {"ETag": {"schema": {"type": "string"}, "description": "of its content, for If-None-Match"}}
            answers["200"]["headers"] = tag
            answers["304"] = {"description": "It is as it was.", "content": _bytes("*/*"), "headers": tag}
        answers |= {str(status): self._refusal(route, status) for status in _refusals(route)}
        operation: Schema = {
            "summary": route.summary,
            "description": f"{(route.handler.__doc__ or '').strip()}\n\nAccess: {route.access.who}.".strip(),
            "x-access": route.access.name.lower(),
            "tags": [route.tag],
            "operationId": _operation_id(route),
            "parameters": [*self._parameters(route)],
            "responses": dict(sorted(answers.items())),
        }
        if route.method == "POST" and (body := self._body(route)):
            operation["requestBody"] = body
        return operation

    def _answer(self, route: Route) -> Schema:
        answer = route.answer
        if isinstance(answer, Content):
            content = {name: part for media_type in answer.media_types for name, part in _bytes(media_type).items()}
            return {"description": answer.description, "content": content}
        models = _either(answer)
        described = " Or: ".join((model.__doc__ or "").strip() for model in models)
        if not route.convention.is_true:
            models = (*models, _OWN_REFUSAL[route.convention])
            described += f" Refusals: {route.convention.value}."
        found = {"description": described, "content": _json(self._schemas.of(models))}
        if route.links:
            found["links"] = {link.route.rpartition("/")[2]: self._link(link) for link in route.links}
        return found

    def _link(self, link: Link) -> Schema:
        part = [link.part] if link.is_list else link.part
        where = {"requestBody": {link.to: part}} if link.route.startswith("POST") else {"parameters": {link.to: part}}
        return {"operationId": self._ids[link.route]} | where

    def _refusal(self, route: Route, status: int) -> Schema:
        """The shared response, by the statuses and the convention of who asks."""
        own, is_pilot = _OWN_REFUSAL[route.convention], not route.convention.is_true
        models: Models = (own,) if status in _NOT_LET_IN else (Refused, own) if status == 400 else (Refused,)
        name = f"Status{status}" + (f"{own.__name__}" if is_pilot and own in models else "")
        described: Schema = {"description": _REASONS[status], "content": _json(self._schemas.of(models))}
        if route.convention is Convention.PAGE:  # what is turned away at the door is no page
            described["content"] |= _bytes("text/html")
            name += "Page"
        if status in _HEADERS:
            described["headers"] = _HEADERS[status]
        if route.is_health and status == 503 and not isinstance(route.answer, Content):
            models = (*_either(route.answer), Refused)
            return {"description": "Not ready, or no connection is left.", "content": _json(self._schemas.of(models))}
        self._responses[name] = described
        return {"$ref": f"#/components/responses/{name}"}

    def _parameters(self, route: Route) -> Iterator[Schema]:
        for name in re.findall(r"{(\w+)}", route.path):
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for header in route.headers:
            said: Schema = {"type": "string", "maxLength": header.longest}
            yield {"name": header.name, "in": "header", "description": header.description, "schema": said}
        if route.method == "GET" and route.model is not None:
            asked = self._schemas.components[self._schemas.request(route.model, _is_old(route), is_text=True)]
            for name, part in asked.get("properties", {}).items():
                said = {word: value for word, value in part.items() if word != "description"}
                yield {
                    "name": name, "in": "query", "required": name in asked.get("required", ()),
                    "description": part.get("description", ""), "schema": said,
                }  # fmt: skip

    def _body(self, route: Route) -> Schema | None:
        limit = f"{route.body_limit // MB} MiB at most, unpacked too."
        if route.model is None:
            return _upload(route) if route.upload else None
        if not route.model.model_fields:
            return None  # whatever comes is not looked at
        content: Schema = {}
        for media_type, is_text in _FORMS.items():
            name = self._schemas.request(route.model, _is_old(route), is_text)
            content[media_type] = {"schema": reference(name)}
        is_required = bool(self._schemas.components[name].get("required"))
        return {"description": limit, "required": is_required, "content": content, "x-body-limit": route.body_limit}


def _upload(route: Route) -> Schema:
    file = {"type": "string", "format": "binary", "description": "with its name"}
    schema = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {"description": route.upload, "required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _models(route: Route) -> Iterator[type[BaseModel]]:
    yield Refused
    yield _OWN_REFUSAL[route.convention]
    if not isinstance(route.answer, Content):
        yield from _either(route.answer)
    if route.model is not None:
        yield route.model


def _either(answer: Any) -> tuple[type[BaseModel], ...]:
    """The models of a union, or the only one."""
    return get_args(answer) or (answer,)


def _refusals(route: Route) -> list[int]:
    """The statuses with which a request may be refused."""
    found = {*_OF_ALL, *route.refusals}
    if route.convention.is_true:
        found.add(401)
    if "{" in route.path:
        found.add(404)
    if route.method == "POST" and route.model is not None:
        found |= {413, 429}
    return sorted(found)


def _is_old(route: Route) -> bool:
    return route.convention is Convention.LEGACY_PILOT


def _operation_id(route: Route) -> str:
    return re.sub(r"\W+", "_", f"{route.method.lower()} {route.path}").strip("_")


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _bytes(media_type: str) -> Schema:
    if media_type == "application/json":
        return _json({"type": "object"})
    form = {} if media_type.startswith("text/") else {"format": "binary"}
    return {media_type: {"schema": {"type": "string", **form}}}


@lru_cache(maxsize=1)
def program_version() -> str:
    """Of what is installed."""
    try:
        return version("panda-fsm")
    except PackageNotFoundError:
        return "0"
