"""Who looks at a page, what they may do from it, and what its forms bring along."""

from dataclasses import dataclass

from gateway.access import policy
from gateway.access.identity import Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.route import Call
from panda_fsm.messages import new_message_id


@dataclass(frozen=True, slots=True)
class Visitor:
    """What templates ask before they show a form: what is not offered is refused too, should it be sent."""

    identity: Identity
    seal: str
    """Of the session; "": nobody is signed in."""
    is_read_only: bool
    asks_for_names: bool
    """Whether they may say by a form who they are."""

    def may(self, action: str, vo: str = "", owner: str | None = None) -> bool:
        """Whether the action of that name is offered, for a job of that VO and owner; without a VO, for all."""
        acts = bool(self.seal) and not self.is_read_only
        return acts and policy.may(self.identity, Action[action], vo, owner)

    def new_key(self) -> str:
        """A name for what a form will ask, so that it is done once however often it is sent."""
        return new_message_id()


async def visitor(gateway: Gateway, call: Call) -> Visitor:
    """Who sent this request. Raises TransientError."""
    seal = await gateway.seals.seal(call.request)
    return Visitor(call.identity, seal, gateway.config.dashboard_read_only, gateway.identities.asks_for_names)
