"""Runs one route: identity, body, request model, handler; and turns every kind of trouble into an answer."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.access import policy
from gateway.context import Gateway
from gateway.http.answers import failure
from gateway.http.bodies import Bodies
from gateway.http.decode import query_fields
from gateway.http.refusal import ForbiddenError, InternalError, RefusalError, TooManyError
from gateway.http.route import Call, Route
from gateway.wire.forms import Form
from gateway.work.waiting import Crowd, Waiting
from panda_fsm.errors import TransientError, complaint

log = structlog.get_logger()

Endpoint = Callable[[Request, Waiting], Awaitable[Response | None]]


def endpoint(gateway: Gateway, route: Route, bodies: Bodies, crowd: Crowd) -> Endpoint:
    """The function that answers a request for `route`; it raises nothing. No answer: nobody is there to read it."""
    is_open = policy.is_open(route.access)
    is_upload = route.model is None and route.method == "POST"

    async def answer(request: Request, waiting: Waiting) -> Response | None:
        try:
            call = Call(await gateway.identities.identify(request), request)
            if not is_open:
                policy.admit(call.identity, route.access)
            ask = None if route.model is None else await _ask(bodies, route, route.model, request, waiting)
            if isinstance(ask, Form):
                await _check(gateway, request, ask)
            if not is_upload:  # as long as its body comes, that body has its own limits
                crowd.enter(waiting, route.is_health)
            return await route.handler(gateway, call, ask)
        except RefusalError as error:
            return route.refuse(error)
        except TransientError as error:
            return route.not_accepted(str(error))
        except ClientDisconnect:
            return None
        except Exception:
            error_id = uuid.uuid4().hex
            log.exception("request_failed", path=route.path, error_id=error_id)
            told = InternalError(f"internal error {error_id}")
            return failure(told.message, told.status) if route.refused is None else route.refused(told)

    return answer


async def _ask(bodies: Bodies, route: Route, model: type[BaseModel], request: Request, waiting: Waiting) -> Any:
    """Query and body together, as the route's model; the body has the last word."""
    query = request.scope["query_string"]
    fields = query_fields(query) if query else {}
    if route.method != "POST":
        return _validate(model, fields)
    body = await bodies.read(request, route.body_limit, waiting)
    return await bodies.decoded(body, route.body_limit, waiting, lambda sent: _validate(model, fields | sent))


async def _check(gateway: Gateway, request: Request, form: Form) -> None:
    """Raises ForbiddenError for what may not be sent from here, or was not made for this session."""
    if form.changes and gateway.config.dashboard_read_only:
        raise ForbiddenError("the dashboards of this system only show: PANDA_FSM_DASHBOARD_READ_ONLY is set")
    await gateway.seals.check(request, form.seal)


def _validate(model: type[BaseModel], fields: dict[str, Any]) -> Any:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> RefusalError:
    """The first complaint, by the name the caller used."""
    message = complaint(error)
    too_many = error.errors(include_url=False, include_input=False)[0]["type"] == "too_long"
    return TooManyError(message) if too_many else RefusalError(message)
