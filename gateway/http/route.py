"""A route: one row of the table from which the application and its OpenAPI document are built."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.identity import Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import Convention, unavailable

KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who sends it, and for the few routes that need it the raw request."""

    identity: Identity
    request: Request


Handler = Callable[[Gateway, Call, Any], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `model` is what its body or query must be; without a model the handler reads the request itself.

    What it asks, and so who may use it, is said by each route: a default would be a forgotten decision.
    `not_accepted` answers when nothing was decided and the caller shall repeat it. What looks at our health
    (`is_health`) is answered however much is going on, and never logged.
    """

    method: str
    path: str
    handler: Handler
    access: Action
    summary: str
    answer: str
    model: type[BaseModel] | None = None
    convention: Convention = Convention.USER
    body_limit: int = MB
    tag: str = "system"
    not_accepted: Callable[[str], Response] = unavailable
    is_health: bool = False
