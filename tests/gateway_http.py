"""A caller of a gateway under test: one identity, JSON both ways, and the real panda-client beside it.

Whatever a caller is answered is held against the API document.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import httpx
import pika

from gateway.access.identity import Identity, Shown
from panda_fsm.messages import decode
from tests.api_document import conforms
from tests.polling import wait_until
from tests.processes import Processes


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


def panda_client(processes: Processes, script: str) -> Any:
    """The `answer` of a script that works with `Client`, `JobSpec` and `FileSpec` of the real panda-client."""
    program = (
        "import json, sys\n"
        "from pandaclient import Client\n"
        "from pandaclient.JobSpec import JobSpec\n"
        "from pandaclient.FileSpec import FileSpec\n"
        f"{script}\n"
        "print(json.dumps(answer, default=str))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=processes.environment | processes.lab.env,
        cwd=processes.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
