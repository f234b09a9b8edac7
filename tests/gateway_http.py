"""A caller of a gateway under test: one identity, JSON both ways; and what lies in the queues behind it.

Whatever a caller is answered is held against the API document.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pika

from gateway.access.identity import Identity, Shown
from panda_fsm.messages import decode
from tests.api_document import conforms
from tests.polling import wait_until


def bearer(claims: Any) -> dict[str, str]:
    """Headers with an unsigned token that claims this."""
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return {"Authorization": f"Bearer e30.{part}."}


class Caller:
    """Somebody with a token; `claims` are added to it."""

    def __init__(self, url: str, subject: str = "lab-user", **claims: Any) -> None:
        who = Identity(url, subject, subject) if subject else Identity("", "", "", shown=Shown.NOTHING)
        self.key = who.key
        headers = bearer({"sub": subject, "name": subject, "iss": url} | claims) if subject else {}
        hooks = {"response": [conforms]}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False, event_hooks=hooks)

    def post(self, path: str, ask: Any) -> Any:
        """The answer's JSON; fails unless the status is 200."""
        answer = self.http.post(path, json=ask)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON; fails unless the status is 200."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self) -> None:
        """Give the connection back."""
        self.http.close()


def queued(broker_url: str, queue: str) -> list[Any]:
    """The messages that lie in a queue; all must be persistent."""
    found: list[Any] = []
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None or properties is None or body is None:
                return found
            assert properties.delivery_mode == 2
            found.append(decode(body))


def received(broker_url: str, queue: str, count: int) -> list[Any]:
    """So many messages of a queue: they are published behind the answer, so they are waited for."""
    found: list[Any] = []

    def enough() -> bool:
        found.extend(queued(broker_url, queue))
        return len(found) >= count

    wait_until(enough, f"{count} messages in {queue}")
    return found
