"""Requests to the server and their answers: each is repeated with the same `msg_id` until it is answered."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import NackError, UnroutableError
from pydantic import ValidationError

from panda_fsm_jedi.bunches import decode, encode, pack
from panda_fsm_jedi.connection import Connection, log
from panda_fsm_jedi.errors import JediError, NotAnsweredError, RefusedError
from panda_fsm_jedi.messages import Reply
from panda_fsm_jedi.queues import DIRECT, EXCHANGE, ROUTING_KEY, replies_queue

AGAIN_S = 10.0
"""A request that was not answered for so long is sent again: its answer may have been lost."""


@dataclass
class Asked:
    """A request on its way. `result` waits for the answer."""

    msg_id: str
    msg_type: str
    body: bytes
    encoding: str | None
    answer: Future[Reply] = field(default_factory=Future)
    sent_at: float | None = None


class Requester(Connection):
    """Publishes to the exchange `jedi.requests` with confirms, and reads the replies to it.

    Two programs that read the same queue of replies take each other's answers: let one of them ask with `DIRECT`.
    """

    def __init__(self, url: str, vo: str, replies: str | None = None, again_s: float = AGAIN_S) -> None:
        super().__init__(url, f"jedi requests of {vo}")
        self.vo = vo
        self._user: str | None = getattr(self._parameters.credentials, "username", None)
        self._replies = replies or replies_queue(vo)
        self._again_s = again_s
        self._connection_asked: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._lock = threading.Lock()
        self._open: dict[str, Asked] = {}

    def post(self, msg_type: str, fields: Mapping[str, Any]) -> Asked:
        """Send a request without waiting for its answer."""
        asked = self._asked(msg_type, fields)
        with self._lock:
            self._open[asked.msg_id] = asked
        self.wake(self.turn)
        return asked

    def envelope(self, msg_type: str, msg_id: str, fields: Mapping[str, Any]) -> bytes:
        """The body of a request."""
        known = {"msg_type": msg_type, "schema": 1, "msg_id": msg_id, "vo": self.vo}
        return encode(known | dict(fields))

    def wait(self, asked: Asked, timeout_s: float | None = None) -> Reply:
        """The answer. Raises RefusedError: it is an error; NotAnsweredError: none came within the time."""
        if self.is_own_thread:
            raise JediError("a callback of this connection cannot wait for it")
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self.check()
            left = 1.0 if until is None else min(until - time.monotonic(), 1.0)
            with contextlib.suppress(TimeoutError):
                reply = asked.answer.result(max(left, 0.0))
                break
            if left <= 0:
                self._forget(asked)
                raise NotAnsweredError(self._unanswered(asked, timeout_s))
        if not reply.ok:
            raise RefusedError(f"{asked.msg_type} was refused: {reply.error or 'no reason given'}")
        return reply

    def serve(self, connection: BlockingConnection) -> None:
        """Listen for answers first, then ask again what was asked before."""
        self._connection_asked = connection
        channel = connection.channel()
        channel.confirm_delivery()
        # Direct answers cannot be acknowledged, and come to the channel that asks.
        channel.basic_consume(self._replies, self._heard, auto_ack=self._replies == DIRECT)
        with self._lock:
            for asked in self._open.values():
                asked.sent_at = None
        self._channel = channel
        self.turn()

    def turn(self) -> None:
        """Send what was not sent yet; ask again, on a new channel, what was not answered for a while.

        The old channel may be deaf: where a queue was deleted and at once declared again, RabbitMQ does not say so.
        """
        now = time.monotonic()
        with self._lock:
            late = [one for one in self._open.values() if one.sent_at is not None and now - one.sent_at > self._again_s]
            unsent = [one for one in self._open.values() if one.sent_at is None]
        if late and self._channel is not None and self._connection_asked is not None:
            self._channel.close()
            self.serve(self._connection_asked)
            return
        for asked in unsent:
            self._send(asked)
            asked.sent_at = time.monotonic()

    def _send(self, asked: Asked) -> None:
        assert self._channel is not None  # noqa: S101  # `turn` is called with a connection only
        properties = pika.BasicProperties(
            content_type="application/json",
            content_encoding=asked.encoding,
            delivery_mode=2,
            message_id=asked.msg_id,
            # Not in the body: for direct answers the broker puts in here where they are to go.
            reply_to=self._replies,
            # The broker refuses a false one: a true one is whom the server takes us for.
            user_id=self._user,
        )
        try:
            self._channel.basic_publish(EXCHANGE, ROUTING_KEY, asked.body, properties, mandatory=True)
        except (UnroutableError, NackError) as error:
            log.warning("%s %s is not taken by the broker: %r", asked.msg_type, asked.msg_id, error)

    def _heard(self, channel: BlockingChannel, method: Any, _properties: object, body: bytes) -> None:
        try:
            reply = Reply.model_validate(decode(body))
        except (ValueError, ValidationError) as error:
            log.error("an answer that cannot be read is dropped: %s", error)
        else:
            with self._lock:
                asked = self._open.pop(reply.in_reply_to, None)
            if asked is not None:
                asked.answer.set_result(reply)
        if self._replies != DIRECT:
            channel.basic_ack(method.delivery_tag)

    def _asked(self, msg_type: str, fields: Mapping[str, Any]) -> Asked:
        msg_id = str(uuid.uuid4())
        return Asked(msg_id, msg_type, *pack(self.envelope(msg_type, msg_id, fields)))

    def _forget(self, asked: Asked) -> None:
        with self._lock:
            self._open.pop(asked.msg_id, None)

    def _unanswered(self, asked: Asked, timeout_s: float | None) -> str:
        if asked.sent_at is None:
            why = f"it was not sent, for there is no connection ({self.trouble or 'connecting'})"
        else:
            why = f"it was sent {time.monotonic() - asked.sent_at:.0f} s ago"
        return f"{asked.msg_type} {asked.msg_id} was not answered within {timeout_s or 0:g} s: {why}"
