"""Answers: JSON always, success exactly 200, and refusals in the convention of who asked."""

import re
from enum import Enum
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.refusal import RefusalError, UndecodableError

RETRY_AFTER_S = 5
NOT_ACCEPTED = "not accepted for the moment, please repeat: the server is busy, or a service behind it is away"
_RETRY = {"Retry-After": str(RETRY_AFTER_S)}
_BYTES = re.compile(rb"\s*bytes\s*=[-0-9,\s]+")
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: _RETRY, 503: _RETRY}


class Convention(Enum):
    """How a caller wants to be told no."""

    USER = "true 4xx with the envelope: the only way panda-client shows the reason"
    PILOT = "200 with the envelope and data.StatusCode"
    LEGACY_PILOT = "200 with a flat StatusCode and errorDialog"
    PAGE = "true 4xx with a page that says what may be asked instead"

    @property
    def is_true(self) -> bool:
        """Whether a refusal has its true status: pilots would not read its reason then."""
        return self in (Convention.USER, Convention.PAGE)


class StatusCode:
    """The pilot protocol's codes."""

    OK = 0
    NO_JOBS = 20
    FAILED = 30
    INVALID = 50
    PERMISSION = 70
    KEY_MISSING = 80
    NO_PROXY = 90


class Answer(Response):
    """JSON. `reason`: why a request was refused or not accepted, for the log; `kind`: the same for counting."""

    media_type = "application/json"
    reason = ""
    kind = "not_accepted"


class File(FileResponse):
    """A file, or the bytes of it that are asked for; who asks for parts in another way is given all of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [one for one in scope["headers"] if one[0] != b"range" or _BYTES.fullmatch(one[1])]
        await super().__call__({**scope, "headers": headers}, receive, send)


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Any JSON value."""
    return Answer(orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), status, headers)


def success(data: Any = None, message: str = "") -> Answer:
    """The envelope of something that worked."""
    return json_response({"success": True, "message": message, "data": data})


def failure(message: str, status: int = 200, data: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """The envelope of something that did not."""
    return json_response({"success": False, "message": message, "data": data}, status, headers)


def refusal(error: RefusalError, convention: Convention) -> Answer:
    """The answer to a request that was refused."""
    true_status = isinstance(error, UndecodableError) or convention.is_true
    answer = (
        failure(error.message, error.status, headers=_HEADERS.get(error.status))
        if true_status
        else json_response(_for_pilot(error, convention))
    )
    answer.reason, answer.kind = error.message, error.kind
    return answer


def turned_away(error: RefusalError, convention: Convention) -> Answer:
    """The answer to a request that was not let in: the true status, for a pilot must not take it for accepted."""
    if convention.is_true:
        return refusal(error, convention)
    answer = json_response(_for_pilot(error, convention), error.status)
    answer.reason, answer.kind = error.message, error.kind
    return answer


def _for_pilot(error: RefusalError, convention: Convention) -> dict[str, Any]:
    code = StatusCode.PERMISSION if error.status == 403 else StatusCode.INVALID
    if convention is Convention.LEGACY_PILOT:
        return {"StatusCode": code, "errorDialog": error.message}
    return {"success": False, "message": error.message, "data": {"StatusCode": code}}


def unavailable(reason: str) -> Answer:
    """Not accepted, nothing lost: the caller may repeat it. `reason` is for the log."""
    content = {"success": False, "message": NOT_ACCEPTED, "data": None}
    answer = json_response(content, 503, _RETRY)
    answer.reason = reason
    return answer


def no_jobs_now(reason: str) -> Answer:
    """The old getJob when nothing was decided: after two errors the real pilot ends, without jobs it asks later."""
    answer = json_response({"StatusCode": StatusCode.NO_JOBS, "errorDialog": f"no jobs: {NOT_ACCEPTED}"})
    answer.reason = reason
    return answer


def refusing(status: int, message: str) -> ASGIApp:
    """An application that says no to what it did not read, for the last time on its connection."""
    return _last(status, message)


def as_bytes(status: int, message: str) -> bytes:
    """The same as it is sent, where there is no request that it could answer."""
    answer = _last(status, message)
    head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + head + b"\r\n" + bytes(answer.body)


def _last(status: int, message: str) -> Answer:
    return failure(message, status, headers={"Connection": "close"} | _HEADERS.get(status, {}))
