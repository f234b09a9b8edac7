"""A route: one row of the table from which the application and its OpenAPI document are built."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.identity import Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import Convention, refusal, unavailable
from gateway.http.refusal import RefusalError

KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who sends it, and for the few routes that need it the raw request."""

    identity: Identity
    request: Request


Handler = Callable[[Gateway, Call, Any], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is no envelope: a file or a page. `is_file`: parts of it may be asked for.
    `leads_on`: a browser may be sent to another page instead. `is_kept`: who has it already is told so."""

    description: str
    media_types: tuple[str, ...]
    is_file: bool = False
    leads_on: bool = False
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """A header that a handler reads."""

    name: str
    description: str
    longest: int


@dataclass(frozen=True, slots=True)
class Link:
    """What may be asked next: a route, and which part of the answer (an expression of OpenAPI) goes where in it."""

    route: str
    to: str
    part: str
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `model` is what its body or query must be; without a model the handler reads the request itself.

    `answer`: what is answered with 200, one of several models where it is a union. `refusals`: with which statuses its
    handler refuses, beside those that every request may meet. `upload`: it takes a file, and how
    large. These are for the API document, as are `links`.

    What it asks, and so who may use it, is said by each route: a default would be a forgotten decision.
    `not_accepted` answers when nothing was decided and the caller shall repeat it. What looks at our health
    (`is_health`) is answered however much is going on, and never logged. `refused` says no in a way of its own, where
    the convention's is not meant for people.
    """

    method: str
    path: str
    handler: Handler
    access: Action
    summary: str
    answer: type[BaseModel] | UnionType | Content
    model: type[BaseModel] | None = None
    convention: Convention = Convention.USER
    body_limit: int = MB
    tag: str = "system"
    not_accepted: Callable[[str], Response] = unavailable
    is_health: bool = False
    refusals: tuple[int, ...] = ()
    headers: tuple[Header, ...] = ()
    upload: str = ""
    links: tuple[Link, ...] = ()
    refused: Callable[[RefusalError], Response] | None = None

    def refuse(self, error: RefusalError) -> Response:
        """The answer to a request that was refused."""
        return refusal(error, self.convention) if self.refused is None else self.refused(error)

    @property
    def only_reads(self) -> bool:
        """Whether it may be asked without its answer being read, as HEAD does: old pilots are given jobs by GET."""
        return self.access.only_reads
