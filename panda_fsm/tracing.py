"""Traces: which one a message belongs to, what of it travels with messages, and the port of who writes spans.

Nothing is traced where this process has no tracer: then each place that asks costs one `if`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from panda_fsm.messages.envelope import Message

TRACEPARENT = "traceparent"
"""The header of W3C Trace Context, in HTTP and in messages."""
_LENGTH = 55


class Role(Enum):
    """What is done in a span, as OpenTelemetry calls it."""

    SERVER = "server"
    CONSUMER = "consumer"
    PRODUCER = "producer"


class Span(Protocol):
    """Something that is being done."""

    @property
    def traceparent(self) -> str:
        """What makes something else a part of it."""

    def end(self, trouble: str | None = None, attributes: Mapping[str, Any] | None = None) -> None:
        """It is done; `trouble`: it failed, and why."""


class Tracer(Protocol):
    """Writes spans down somewhere."""

    def begin(
        self,
        name: str,
        role: Role,
        parent: str | None,
        attributes: Mapping[str, Any],
        began_ns: int | None = None,
    ) -> Span:
        """Begin a span, now or at a time since 1970; without a `parent` that can be read it begins a trace."""


@dataclass(slots=True)
class Parents:
    """What is being done: the span that all belongs to, and those of single messages and jobs of a batch."""

    of_all: str | None = None
    of_messages: dict[str, str] = field(default_factory=dict)
    of_jobs: dict[int, str] = field(default_factory=dict)

    def of(self, message: Message) -> str | None:
        """What caused it; else what is done with its job; else what is done at all.

        What many have caused together belongs to the first of them.
        """
        if message.cause is not None and message.cause in self.of_messages:
            return self.of_messages[message.cause]
        return next((self.of_jobs[job_id] for job_id in message.job_ids if job_id in self.of_jobs), self.of_all)


_PARENTS: ContextVar[Parents | None] = ContextVar("parents", default=None)


@dataclass(slots=True)
class Tracing:
    """Whether and where this process writes spans."""

    tracer: Tracer | None = None

    def headers(self, message: Message | None = None) -> dict[str, str] | None:
        """What makes a message that is made now a part of what is being done."""
        parents = None if self.tracer is None else _PARENTS.get()
        if parents is None:
            return None
        parent = parents.of_all if message is None else parents.of(message)
        return None if parent is None else {TRACEPARENT: parent}


TRACING = Tracing()
"""Of this process."""


@contextmanager
def within(parents: Parents) -> Iterator[None]:
    """What is made in this context, and in tasks that begin there, is a part of it."""
    before = _PARENTS.set(parents)
    try:
        yield
    finally:
        _PARENTS.reset(before)


def now_within(parents: Parents) -> None:
    """The same for the rest of a context that is nobody else's."""
    _PARENTS.set(parents)


def carried(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """What of a message's headers goes on with it when it is sent again."""
    parent = headers.get(TRACEPARENT) if headers else None
    return {TRACEPARENT: parent} if isinstance(parent, str) and len(parent) == _LENGTH else {}


def sent_by_http(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace that a request says it belongs to."""
    name = TRACEPARENT.encode()
    return next((value.decode("latin-1") for key, value in headers if key == name and len(value) == _LENGTH), None)
