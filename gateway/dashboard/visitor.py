"""Who looks at a page, what they may do from it, and what its forms bring along."""

from collections.abc import Hashable
from dataclasses import dataclass

import orjson

from gateway.access import policy
from gateway.access.identity import OPERATOR, Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.route import Call
from panda_fsm.messages import new_message_id

DONE = "done"
"""In a page's query: the key of what was done by the form that led there."""
_LONGEST_KEY = 80


@dataclass(frozen=True, slots=True)
class Visitor:
    """What templates ask before they show a form: what is not offered is refused too, should it be sent."""

    identity: Identity
    seal: str
    """Of the session; "": nobody is signed in."""
    is_read_only: bool
    asks_for_names: bool
    """Whether they may say by a form who they are."""

    said: str = ""
    """What was done by the form that led here."""

    def may(self, action: str, vo: str = "") -> bool:
        """Whether what the policy calls so is offered, for a job of that VO; of no VO: for what is nobody's."""
        return bool(self.seal) and not self.is_read_only and policy.operates(self.identity, Action[action], vo)

    @property
    def face(self) -> Hashable:
        """Who is shown the same page has the same one; nobody is who has forms of a session, or was told something."""
        return None if self.seal or self.said else (self.identity.key, self.asks_for_names, self.is_read_only)

    @property
    def may_bulk(self) -> bool:
        """Whether they do something to many jobs at once, of one VO at least."""
        return bool(self.seal) and not self.is_read_only and bool(self.identity.operates_in(OPERATOR))

    def new_key(self) -> str:
        """A name for what a form will ask, so that it is done once however often it is sent."""
        return new_message_id()


async def visitor(gateway: Gateway, call: Call) -> Visitor:
    """Who sent this request. Raises TransientError."""
    seal = await gateway.seals.seal(call.request)
    config, asks = gateway.config, gateway.identities.asks_for_names
    return Visitor(call.identity, seal, config.dashboard_read_only, asks, await _said(gateway, call))


async def _said(gateway: Gateway, call: Call) -> str:
    """What the request of that key was answered, to whom sent it and to nobody else."""
    key = call.request.query_params.get(DONE, "")
    if not key or len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
        return ""
    earlier = await gateway.store.repeats.answer_to(call.identity.key, key)
    answer = orjson.loads(earlier.answer) if earlier is not None else None
    return str(answer.get("said", "")) if isinstance(answer, dict) else ""
