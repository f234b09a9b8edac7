"""What operators set of a PanDA queue from the pages: its status, above what its source says, and that it is lifted."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.context import Gateway
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.forms import LiftForm, StatusForm
from gateway.work.idempotency import Made
from panda_fsm.information.models import Override
from panda_fsm.information.overriding import audited, overriding, told

if TYPE_CHECKING:
    from gateway.dashboard.actions import OperatorsAction


async def set_status(_action: "OperatorsAction", gateway: Gateway, call: Call, ask: StatusForm) -> Made:
    """From now on this status counts, for some hours or until it is lifted."""
    now = datetime.now(UTC)
    until = now + timedelta(hours=ask.hours) if ask.hours else None
    return await _done(gateway, call, ask, overriding(ask.status, call.identity.name, ask.reason, now, until))


async def lift_status(_action: "OperatorsAction", gateway: Gateway, call: Call, ask: LiftForm) -> Made:
    """What its source says counts again."""
    return await _done(gateway, call, ask, None)


async def _done(gateway: Gateway, call: Call, ask: LiftForm, override: Override | None) -> Made:
    who = call.identity
    audit = audited(ask.name, override, who.key, who.name, ask.reason)
    if not await gateway.store.operators.set_status(ask.name, override, audit):
        raise RefusalError(f"there is no queue {ask.name!r:.80} of which a source says anything: `panda-fsm queues ls`")
    return Made((), None, {"said": told(ask.name, override)})
