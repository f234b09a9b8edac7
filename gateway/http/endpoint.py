"""Runs one route: identity, body, request model, handler; and turns every kind of trouble into an answer."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.access import policy
from gateway.context import Gateway
from gateway.http.answers import failure, refusal, unavailable
from gateway.http.decode import decode_fields, form_fields, read_limited
from gateway.http.refusal import RefusalError, TooManyError
from gateway.http.route import Call, Route
from panda_fsm.errors import TransientError, first_complaint

log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(gateway: Gateway, route: Route) -> Endpoint:
    """The function that answers a request for `route`; it raises nothing."""
    is_open = policy.is_open(route.access)

    async def answer(request: Request) -> Response:
        try:
            call = Call(await gateway.identities.identify(request), request)
            if not is_open:
                policy.admit(call.identity, route.access)
            ask = None if route.model is None else _validate(route, await _fields(route, request))
            return await route.handler(gateway, call, ask)
        except RefusalError as error:
            return refusal(error, route.convention)
        except TransientError as error:
            log.warning("not_accepted", path=route.path, error=str(error))
            return unavailable("not accepted for the moment, please repeat: a service behind is away")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            error_id = uuid.uuid4().hex
            log.exception("request_failed", path=route.path, error_id=error_id)
            return failure(f"internal error {error_id}", 500)

    return answer


async def _fields(route: Route, request: Request) -> dict[str, Any]:
    """Query and body together; the body has the last word."""
    query = request.scope["query_string"]
    fields = form_fields(query) if query else {}
    if request.method == "POST":
        body = await read_limited(request.stream(), route.body_limit)
        fields |= decode_fields(body, route.body_limit)
    return fields


def _validate(route: Route, fields: dict[str, Any]) -> Any:
    if route.model is None:
        return None
    try:
        return route.model.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> RefusalError:
    """The first complaint, by the name the caller used."""
    message = ": ".join(first_complaint(error))
    too_many = error.errors(include_url=False, include_input=False)[0]["type"] == "too_long"
    return TooManyError(message) if too_many else RefusalError(message)
