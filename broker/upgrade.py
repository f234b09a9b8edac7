"""Compares the broker with the topology of this program, and removes what left it: for an operator after an upgrade.

AMQP lists no bindings. Those that earlier programs made are kept in the database and given as `retired`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from broker.connection import READY_WITHIN_S
from broker.inspection import Inspection
from broker.publish import BrokerPublisher
from broker.reasons import reason_of
from broker.topology import Exchange, exchanges, queues
from panda_fsm.bindings import Binding, Further
from panda_fsm.errors import TransientError


def check(broker_url: str, retired: Sequence[Binding], further: Further = frozenset()) -> list[str]:
    """One sentence for each difference; none when all is as this program would make it. Changes nothing."""
    with Inspection(broker_url) as broker:
        found = [_exchange_differs(broker, one) for one in exchanges(further)]
        found += [_queue_differs(broker, one.name, dict(one.arguments)) for one in queues(further)]
        present = {one.name for one in queues(further)}
        found += [_left(broker, queue, bindings, queue in present) for queue, bindings in _by_queue(retired)]
        return [sentence for sentence in found if sentence]


def prune(
    broker_url: str, retired: Sequence[Binding], further: Further = frozenset()
) -> tuple[list[str], list[Binding]]:
    """Remove retired bindings, and queues that left the table once they are empty and nobody consumes them.

    Returns a sentence for each, and the bindings that need not be remembered any longer.
    """
    present = {one.name for one in queues(further)}
    with Inspection(broker_url) as broker:
        pruning = _Pruning(broker)
        for queue, bindings in _by_queue(retired):
            if queue not in present:
                pruning.delete(queue, bindings)
            else:
                pruning.removed += [one for one in bindings if pruning.unbind(one)]
        return pruning.sentences, pruning.removed


def declare(broker_url: str, further: Further = frozenset()) -> None:
    """Have everything declared that is missing, as every process does that connects."""
    publisher = BrokerPublisher(broker_url, "topology", further=further)
    publisher.start()
    try:
        if not publisher.ready.wait(READY_WITHIN_S):
            raise TransientError(f"no message broker at PANDA_FSM_BROKER_URL: {publisher.condition.trouble}")
    finally:
        publisher.stop()


def _exchange_differs(broker: Inspection, one: Exchange) -> str | None:
    if broker.refusal(lambda channel: channel.exchange_declare(one.name, passive=True)):
        return f"exchange {one.name} is missing; it is declared at the next connection"
    arguments = dict(one.arguments)
    refusal = broker.refusal(
        lambda channel: channel.exchange_declare(one.name, one.type, durable=True, arguments=arguments)
    )
    return f"exchange {one.name} differs: {reason_of(refusal)}" if refusal else None


def _queue_differs(broker: Inspection, name: str, arguments: dict[str, object]) -> str | None:
    if broker.contents(name) is None:
        return f"queue {name} is missing; it is declared at the next connection"
    refusal = broker.refusal(lambda channel: channel.queue_declare(name, durable=True, arguments=arguments))
    return f"queue {name} differs: {reason_of(refusal)}" if refusal else None


def _left(broker: Inspection, queue: str, bindings: list[Binding], is_present: bool) -> str | None:
    """What is still there of a queue's bindings that left the table, or of the whole queue."""
    contents = broker.contents(queue)
    if contents is None:
        return None
    if is_present:
        keys = ", ".join(f"{one.routing_key} of {one.exchange}" for one in bindings)
        return f"queue {queue} may still receive what left the table: {keys}"
    messages, consumers = contents
    return f"queue {queue} left the table and is still there, with {messages} messages and {consumers} consumers"


class _Pruning:
    """What was done, and what of the retired bindings is no more."""

    def __init__(self, broker: Inspection) -> None:
        self._broker = broker
        self.sentences: list[str] = []
        self.removed: list[Binding] = []

    def unbind(self, one: Binding) -> bool:
        """Remove a binding; one that is not there is removed too."""
        refusal = self._broker.refusal(lambda channel: channel.queue_unbind(one.queue, one.exchange, one.routing_key))
        what = f"binding of {one.routing_key} of {one.exchange} to queue {one.queue}"
        self.sentences.append(f"{what} is kept: {reason_of(refusal)}" if refusal else f"{what} is removed")
        return refusal is None

    def delete(self, queue: str, bindings: Sequence[Binding]) -> None:
        """Delete a queue, unless it is in use. Its bindings are remembered as long as it is there."""
        kept = self._why_kept(queue, bindings)
        if kept is None:
            self.removed += bindings
        else:
            self.sentences.append(f"queue {queue} is kept: {kept}")

    def _why_kept(self, queue: str, bindings: Sequence[Binding]) -> str | None:
        contents = self._broker.contents(queue)
        if contents is None:
            return None
        if contents[1]:
            return f"it has {contents[1]} consumers"
        for one in bindings:  # first, so that nothing comes in between
            if not self.unbind(one):
                return "it is still bound"
        contents = self._broker.contents(queue)
        if contents is not None and contents[0]:
            return f"it holds {contents[0]} messages"
        refusal = self._broker.refusal(lambda channel: channel.queue_delete(queue))
        if refusal is None:
            self.sentences.append(f"queue {queue} is deleted")
        return reason_of(refusal) if refusal else None


def _by_queue(bindings: Sequence[Binding]) -> Iterator[tuple[str, list[Binding]]]:
    for queue, group in groupby(sorted(bindings), key=lambda one: one.queue):
        yield queue, list(group)
