"""JEDI at its door inside the test, and the Watcher behind it: what follows from an answer is done at once or later."""

from __future__ import annotations

from typing import Any

from consumers.watcher import Watcher
from lab.site import VO
from panda_fsm.handler import Delivery
from panda_fsm.messages import AnyMessage, new_message_id
from tests.inprocess import LIMITS, InProcess, Outlet, Serve
from tests.jedi_side import REPLIES, Door


class JediDoor:
    """What is asked of the Watcher waits in the outlet until `work`."""

    def __init__(self, database_url: str, serve: Serve) -> None:
        self.outlet = Outlet()
        self._door = Door(database_url, self.outlet, VO)
        self._watcher: InProcess = serve(Watcher(LIMITS))

    def ask(self, msg_type: str, *, works: bool = True, **fields: Any) -> dict[str, Any]:
        """The answer; and what follows from it is done, unless it shall wait."""
        body = {"msg_type": msg_type, "schema": 1, "msg_id": new_message_id(), "reply_to": REPLIES} | fields
        answer = self._door.ask(body)
        if works:
            self.work()
        return answer

    def work(self) -> None:
        """The Watcher does what was asked of it."""
        asked = [one for one in self.outlet.taken if one.exchange]
        self.outlet.taken = []
        for number, one in enumerate(asked):
            self._watcher.processor.handle([Delivery(number, one.body, "watcher.large", one.exchange, one.routing_key)])

    def watch(self, *messages: AnyMessage) -> None:
        """The Watcher hears something else."""
        self._watcher.handle(*messages)

    def close(self) -> None:
        """Give the connections back."""
        self._door.close()
