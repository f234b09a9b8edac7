"""Answers: JSON always, success exactly 200, and refusals in the convention of who asked."""

from enum import Enum
from typing import Any

import orjson
from starlette.responses import Response

from gateway.http.refusal import RefusalError, UndecodableError

RETRY_AFTER_S = 5
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Convention(Enum):
    """How a caller wants to be told no."""

    USER = "true 4xx with the envelope: the only way panda-client shows the reason"
    PILOT = "200 with the envelope and data.StatusCode"
    LEGACY_PILOT = "200 with a flat StatusCode and errorDialog"


class StatusCode:
    """The pilot protocol's codes."""

    OK = 0
    NO_JOBS = 20
    FAILED = 30
    INVALID = 50
    PERMISSION = 70
    KEY_MISSING = 80
    NO_PROXY = 90


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Any JSON value."""
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status, headers, media_type="application/json")


def success(data: Any = None, message: str = "") -> Response:
    """The envelope of something that worked."""
    return json_response({"success": True, "message": message, "data": data})


def failure(message: str, status: int = 200, data: Any = None, headers: dict[str, str] | None = None) -> Response:
    """The envelope of something that did not."""
    return json_response({"success": False, "message": message, "data": data}, status, headers)


def refusal(error: RefusalError, convention: Convention) -> Response:
    """The answer to a request that was refused."""
    if isinstance(error, UndecodableError) or convention is Convention.USER:
        return failure(error.message, error.status, headers=_CHALLENGE if error.status == 401 else None)
    code = StatusCode.PERMISSION if error.status == 403 else StatusCode.INVALID
    if convention is Convention.LEGACY_PILOT:
        return json_response({"StatusCode": code, "errorDialog": error.message})
    return failure(error.message, data={"StatusCode": code})


def unavailable(message: str) -> Response:
    """Not accepted, nothing lost: the caller may repeat it."""
    content = {"success": False, "message": message, "data": None}
    return json_response(content, 503, {"Retry-After": str(RETRY_AFTER_S)})
