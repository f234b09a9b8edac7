"""Queues of a VO that is met while we run: those of the settings are declared by everybody who connects."""

from broker.publish import BrokerPublisher
from panda_fsm.bindings import jedi_bindings


class StatusQueues:
    """Has them declared by a publisher, and again whenever that one connects or a message finds no queue."""

    def __init__(self, publisher: BrokerPublisher, shards: int, timeout_s: float) -> None:
        self._publisher = publisher
        self._shards = shards
        self._timeout_s = timeout_s

    def declare(self, vo: str) -> None:
        """Returns once they are there. Raises NotPublishedError while the broker is away."""
        self._publisher.declare(jedi_bindings([vo], self._shards), self._timeout_s)
