"""What operators do with dead letters from the pages; the box keeps outbox, letters and audit in one transaction."""

from typing import TYPE_CHECKING

from gateway.access.identity import Identity
from gateway.context import Gateway
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.forms import EditForm, GroupForm, LetterForm
from gateway.work.idempotency import Made
from panda_fsm.errors import LetterError
from panda_fsm.views.dead_letters import CONFIRMED_FROM, MOST_AT_ONCE, Choice, Deed, Fate, Settled
from panda_fsm.views.words import counted, number

if TYPE_CHECKING:
    from gateway.dashboard.actions import OperatorsAction

_FATES: dict[str, Fate] = {
    "replay_dead": "replayed", "replay_group": "replayed", "discard_dead": "discarded", "discard_group": "discarded"
}  # fmt: skip


class NotNowError(RefusalError):
    """A letter is not open any more, or cannot be sent so."""

    status = 409


async def settle_one(action: "OperatorsAction", gateway: Gateway, call: Call, ask: LetterForm) -> Made:
    """One open letter is replayed or discarded."""
    fate = _FATES[action.name]
    done = await gateway.store.dead_letters.settle(
        Choice([ask.letter_id]), fate, _deed(call.identity, ask.reason), most=1
    )
    if ask.letter_id in done.unreadable:
        raise NotNowError(f"dead letter {ask.letter_id} stays: {done.unreadable[ask.letter_id]}")
    if not done.letters:
        raise NotNowError(f"dead letter {ask.letter_id} is not open: somebody has settled it, or there is none")
    return _made(f"Dead letter {ask.letter_id} is {fate}.")


async def settle_group(action: "OperatorsAction", gateway: Gateway, call: Call, ask: GroupForm) -> Made:
    """The open letters that died alike, as many as are settled at once."""
    choice, fate = Choice(fingerprint=ask.fingerprint), _FATES[action.name]
    meant = min(await gateway.store.dead_letters.count(choice), MOST_AT_ONCE)
    if meant >= CONFIRMED_FROM and ask.confirm.replace(",", "") != str(meant):
        raise NotNowError(f"{number(meant)} letters are meant: go back and type {meant}, to be sure")
    done = await gateway.store.dead_letters.settle(choice, fate, _deed(call.identity, ask.reason), MOST_AT_ONCE)
    if not done.letters and not done.unreadable:
        raise NotNowError("no letter of this group is open any more")
    return _made(_told(done, fate))


async def replay_edited(_action: "OperatorsAction", gateway: Gateway, call: Call, ask: EditForm) -> Made:
    """An edited copy is sent in place of an open letter."""
    try:
        await gateway.store.dead_letters.replay_edited(ask.letter_id, ask.body, _deed(call.identity, ask.reason))
    except LetterError as error:
        raise NotNowError(str(error)) from None
    return _made(f"An edited copy of dead letter {ask.letter_id} is sent; the letter is kept.")


def _deed(who: Identity, reason: str) -> Deed:
    return Deed(who.key, reason, who.name)


def _told(done: Settled, fate: Fate) -> str:
    left = f", {counted(len(done.unreadable), 'stays', 'stay')}: nobody can read them" if done.unreadable else ""
    more = " Others may still be open: so many are settled at once." if done.letters >= MOST_AT_ONCE else ""
    return f"{counted(done.letters, 'letter')} {fate}{left}.{more}"


def _made(said: str) -> Made:
    """All is done: nothing is to be kept but what was said."""
    return Made((), None, {"said": said})
