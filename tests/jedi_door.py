"""JEDI at its door inside the test: what it asks, what it is answered, and the services behind that."""

from __future__ import annotations

import json
from typing import Any

from consumers.watcher import Watcher
from jedi.handlers import handlers
from jedi.replaying import Replayer
from jedi.service import RequestService
from jedi.specs import Rules
from lab.site import QUEUE, VO
from panda_fsm.handler import Delivery
from panda_fsm.messages import new_message_id
from sql.jedi_requests import JediRequests
from sql.jedi_statuses import Replays
from tests.inprocess import LIMITS, InProcess, Outlet, Serve

REPLIES = "jedi.replies.test"


class JediDoor:
    """The service of JEDI's requests; what it asks of the Watcher waits in its outlet until `work`."""

    def __init__(self, database_url: str, serve: Serve) -> None:
        self.outlet = Outlet()
        store = JediRequests(database_url, 30)
        pages = Replays(database_url, 30)
        rules = Rules({QUEUE}, lambda _vo, _lfn: None)
        self._service = RequestService(store, pages, handlers(store, rules, Replayer(pages, [VO])))
        self._door: InProcess = serve(self._service, self.outlet)
        self._watcher: InProcess = serve(Watcher(LIMITS))

    def ask(self, msg_type: str, *, works: bool = True, **fields: Any) -> dict[str, Any]:
        """The answer; and what follows from it is done, unless it shall wait."""
        body = {"msg_type": msg_type, "schema": 1, "msg_id": new_message_id(), "reply_to": REPLIES} | fields
        before = len(self.outlet.taken)
        self._door.processor.handle([Delivery(1, json.dumps(body).encode(), "jedi.requests")])
        (reply,) = (one for one in self.outlet.taken[before:] if one.routing_key == REPLIES)
        if works:
            self.work()
        answered: dict[str, Any] = json.loads(reply.body)
        return answered

    def work(self) -> None:
        """The Watcher does what was asked of it."""
        asked = [one for one in self.outlet.taken if one.routing_key != REPLIES]
        self.outlet.taken = []
        for number, one in enumerate(asked):
            self._watcher.processor.handle([Delivery(number, one.body, "watcher.large", one.exchange, one.routing_key)])

    def watch(self, *messages: Any) -> None:
        """The Watcher hears something else."""
        self._watcher.handle(*messages)

    def close(self) -> None:
        """Give the connection back."""
        self._service.close()
