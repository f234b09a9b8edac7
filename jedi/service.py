"""The service of the queue `jedi.requests`: each request of JEDI's is answered once, however often it comes."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from jedi.handlers import Handler
from jedi.ports import RequestStore, StatusPages
from jedi.reading import Asked, read
from jedi.replies import Refusal, Reply, encode
from jedi.requests import QUEUE, RefusedError
from panda_fsm import answers
from panda_fsm.answers import Answer, Noted
from panda_fsm.handler import Delivery, Item, Service
from panda_fsm.messages import AnyMessage, new_message_id
from panda_fsm.outcomes import Outcome, Reject

log = structlog.get_logger()

_USED = "msg_id: was used for another request before, and nothing is done: a new request needs a new one"


class RequestService(Service[Outcome]):
    """One request at a time: the next may be about what this one makes."""

    name = QUEUE
    asks_outside = True
    needs_jobs = False
    batch_limit = 1

    def __init__(self, store: RequestStore, pages: StatusPages, handlers: Mapping[type[Any], Handler]) -> None:
        self._store = store
        self._pages = pages
        self._handlers = handlers

    def close(self) -> None:
        self._store.close()
        self._pages.close()

    def read(self, delivery: Delivery) -> AnyMessage:
        return read(delivery)

    def prepare(self, items: Sequence[Item[Outcome]]) -> None:
        for item in items:
            if isinstance(item.message, Asked):
                item.prepared = self._answer(item.message)

    def decide(self, item: Item[Outcome]) -> Outcome:
        return item.prepared or Reject(f"{self.name} does not handle {item.message.msg_type}")

    def _answer(self, asked: Asked) -> Outcome:
        """What is answered, and what is done for it."""
        request = asked.request
        if request is None:
            return self._refused(asked, asked.refusal)
        before = self._store.noted(asked.key)
        if before is not None:
            if before.request_hash != asked.content_hash:
                return self._refused(asked, _USED)
            log.info("request_repeated", actor=asked.key.actor, msg_id=asked.key.msg_id, msg_type=request.msg_type)
            return Answer(asked.key, _to(asked, before.answer))
        handler = self._handlers.get(type(request))
        if handler is None:
            return self._refused(asked, f"msg_type: {request.msg_type} is not served")
        try:
            reply, deed = handler(asked.key.actor, request)
        except RefusedError as error:
            return self._refused(asked, str(error))
        text = self._text(asked, reply)
        return Answer(asked.key, _to(asked, text), deed, Noted(asked.content_hash, text) if reply.is_noted else None)

    def _refused(self, asked: Asked, reason: str) -> Answer:
        reply = Refusal(msg_type=f"{asked.msg_type_asked}_reply", error=reason)
        return Answer(asked.key, _to(asked, self._text(asked, reply)), refusal=reason)

    def _text(self, asked: Asked, reply: Reply) -> str:
        reply.msg_id, reply.in_reply_to = new_message_id(), asked.key.msg_id
        return encode(reply)


def _to(asked: Asked, text: str) -> answers.Reply | None:
    return None if asked.reply_to is None else answers.Reply(asked.reply_to, text.encode())
