"""Spans of a batch: one a message, of which all that is made of it is a part. Nothing where nobody writes spans."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.receive import Received
from panda_fsm.effects import Effects
from panda_fsm.errors import told
from panda_fsm.spans import of_delivery
from panda_fsm.tracing import TRACING, Parents, Role, Span, Tracer, within


@contextmanager
def followed(received: Sequence[Received], effects: Effects) -> Iterator[None]:
    """Messages that are decided and written in this context."""
    if TRACING.tracer is None:
        yield
        return
    spans = [_begin(TRACING.tracer, one, len(received)) for one in received]
    try:
        with within(_parents(received, spans)):
            yield
    except BaseException as error:
        for span in spans:
            span.end(told(error))
        raise
    buried = {letter.payload: letter.reason for letter in effects.dead_letters}
    for one, span in zip(received, spans, strict=True):
        after_s = effects.waiting.get(one.message.message_id)
        span.end(buried.get(one.delivery.body), None if after_s is None else {"panda.comes_again_after_s": after_s})


def _begin(tracer: Tracer, one: Received, together: int) -> Span:
    delivery, message = one.delivery, one.message
    attributes = of_delivery(delivery, message.message_id, one.job_ids, together)
    return tracer.begin(f"process {delivery.queue}", Role.CONSUMER, delivery.traceparent, attributes)


def _parents(received: Sequence[Received], spans: Sequence[Span]) -> Parents:
    """Of two messages about a job the later has the last word, and what is said of no job belongs to the first."""
    parents = Parents(spans[0].traceparent if spans else None)
    for one, span in zip(received, spans, strict=True):
        parents.of_messages[one.message.message_id] = span.traceparent
        parents.of_jobs |= dict.fromkeys(one.job_ids, span.traceparent)
    return parents
