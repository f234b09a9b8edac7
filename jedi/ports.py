"""What JEDI's door asks of the broker and the database."""

from typing import Protocol


class StatusQueues(Protocol):
    """The broker side of the status queues (`panda_fsm/status_queues.py`)."""

    def declare(self, vo: str) -> None:
        """Make the exchange and this VO's queues where they are missing. Raises OSError while the broker is away."""
