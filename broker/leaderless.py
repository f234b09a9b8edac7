"""A quorum queue whose node was killed just after its declaration never finds a leader: it is made anew.

It looks well: it can be declared, bound and asked. But consuming it ends the connection with 541, and what is published
to it is nacked; or, if it had been made, deleted and made again in that moment, neither is answered at all. What was in
it is lost with it; the daemon says the pending message of each job again.
"""

import threading
import time
from collections.abc import Callable, Sequence

import pika
import structlog
from pika.exceptions import AMQPError, ConnectionClosedByBroker

from broker.reasons import INTERNAL_ERROR, NotDeclaredError, reason_of
from broker.topology import Queue, queues
from panda_fsm import delays
from panda_fsm.bindings import Further
from panda_fsm.effects import Outgoing
from panda_fsm.status_queues import REPLIES, STATUS

log = structlog.get_logger()

PATIENCE_S = 10.0
"""A leader that is being elected is there sooner."""
_IN_A_ROW = 4
_DELAYED = frozenset(delays.exchange(seconds) for seconds in delays.SECONDS)


def is_internal(reason: BaseException | str) -> bool:
    """Whether the broker ended the connection as it does when a queue without a leader is consumed."""
    return isinstance(reason, ConnectionClosedByBroker) and reason.reply_code == INTERNAL_ERROR


class Streak:
    """Failures in a row: enough of them, over long enough, are no passing trouble."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._since = 0.0

    def lost(self, reason: BaseException | str) -> bool:
        """Note why a consumer's connection ended; True when something must be done.

        Where many queues lost their leaders, declaring fails for all while one of them is made anew: that says nothing
        about ours. Any other reason, the broker's being away above all, begins the wait for a leader anew.
        """
        if is_internal(reason):
            return self.failed()
        if not isinstance(reason, NotDeclaredError):
            self.reset()
        return False

    def failed(self) -> bool:
        """Note one more; True when something must be done, and then they are counted anew."""
        now = self._clock()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures < _IN_A_ROW or now - self._since < PATIENCE_S:
            return False
        self.reset()
        return True

    def reset(self) -> None:
        """It works."""
        self._failures = 0


class UnconsumedQueues:
    """Notices queues without a leader by nacks and silence, where none of ours consumes them: delays, and what JEDI
    reads."""

    def __init__(self, parameters: pika.URLParameters) -> None:
        self._parameters = parameters
        self._nacked: dict[str, Streak] = {}

    def note(self, message: Outgoing, confirmed: bool, further: Further) -> None:
        """The broker took a message, or nacked it, or did not answer in time."""
        if confirmed and not self._nacked:
            return
        for queue in _unconsumed(message):
            if confirmed:
                self._nacked.pop(queue, None)
            elif self._nacked.setdefault(queue, Streak()).failed():
                threading.Thread(
                    target=revive, args=(self._parameters, queue, further), name="revive", daemon=True
                ).start()


def _unconsumed(message: Outgoing) -> Sequence[str]:
    """The queues that a message goes to and that none of ours consumes."""
    if message.exchange in _DELAYED or message.exchange.startswith(f"{STATUS}."):
        return (message.exchange,)
    is_reply = message.exchange == "" and message.routing_key.startswith(f"{REPLIES}.")
    return (message.routing_key,) if is_reply else ()


def revive(parameters: pika.URLParameters, queue: str, further: Further = frozenset()) -> bool:
    """Make a queue of ours anew if it has no leader. True when that was done."""
    declared = next((one for one in queues(further) if one.name == queue), None)
    try:
        if declared is None or not _is_leaderless(parameters, queue):
            return False
        _make_anew(parameters, declared)
    except (AMQPError, OSError) as error:
        log.warning("not_revived", queue=queue, reason=reason_of(error))
        return False
    log.error("queue_made_anew", queue=queue, reason="it had no leader; what was in it is lost")
    return True


def _is_leaderless(parameters: pika.URLParameters, queue: str) -> bool:
    """A leader that is there answers who consumes. Silence must be met twice, on a connection of its own each."""
    has_leader = _has_leader(parameters, queue)
    if has_leader is None:
        has_leader = _has_leader(parameters, queue)
        return has_leader is not True
    return not has_leader


def _has_leader(parameters: pika.URLParameters, queue: str) -> bool | None:
    """None: a broker that answers on this connection says nothing to who would consume the queue."""
    asked = threading.Event()
    answers: list[bool | BaseException] = []

    def ask() -> None:
        try:
            with pika.BlockingConnection(parameters) as connection:
                channel = connection.channel()
                channel.queue_declare(queue, passive=True)
                channel.basic_qos(prefetch_count=1)  # what comes meanwhile goes back
                asked.set()
                channel.basic_consume(queue, lambda *_: None)
                answers.append(True)
        except ConnectionClosedByBroker as error:
            answers.append(False if error.reply_code == INTERNAL_ERROR else error)
        except (AMQPError, OSError) as error:
            answers.append(error)

    asking = threading.Thread(target=ask, name="ask for a leader", daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    answer = answers[0] if answers else None
    if isinstance(answer, BaseException):
        raise answer
    if answer is None and not asked.is_set():
        raise AMQPError("the broker does not answer")
    return answer


def _make_anew(parameters: pika.URLParameters, queue: Queue) -> None:
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_delete(queue.name)
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for exchange, key in queue.bindings:
            channel.queue_bind(queue.name, exchange, key)
