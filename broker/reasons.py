"""What an error of pika says in one sentence, and whether it says that a message was to blame."""

from pika.exceptions import ChannelClosedByBroker, ConnectionClosed, ConnectionClosedByBroker

from panda_fsm.messages import cut

NOT_FOUND = 404
DIFFERS = 406
INTERNAL_ERROR = 541
_BLAMING = frozenset({311, 313, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540, 541})
"""Codes with which the broker answers what we sent; others (320: an operator, a shutdown) answer nothing."""


class NotDeclaredError(Exception):
    """Something of the topology cannot be declared: somebody else is at it, say."""


def reason_of(error: BaseException | str) -> str:
    """The true reason, without pika's wrappings."""
    if isinstance(error, str):
        return cut(error)
    within = _within(error)
    if within is not None:
        return reason_of(within)
    if isinstance(error, ConnectionClosed | ChannelClosedByBroker):
        return cut(f"{error.reply_text} ({error.reply_code})")
    return cut(str(error) or type(error).__name__)


def _within(error: BaseException) -> BaseException | None:
    """The error that another one wraps; pika does it in three ways."""
    several: tuple[object, ...] = getattr(error, "exceptions", None) or error.args
    for one in (getattr(error, "exception", None), *reversed(several)):
        if isinstance(one, BaseException):
            return one
    return None


def blames_message(error: BaseException | str) -> bool:
    """Whether the broker closed a channel or connection because of what was sent on it."""
    return isinstance(error, ChannelClosedByBroker | ConnectionClosedByBroker) and error.reply_code in _BLAMING
