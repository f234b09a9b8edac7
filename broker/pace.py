"""How fast messages come: under load a moment more fills a batch, and a full batch costs less CPU (ADR 0007)."""

import math
import time

_BUSY_PER_S = 100
_MEMORY_S = 0.5
_LONG_S = 0.05
_SHORT_S = 0.005
"""What was published together comes together, though not quite at once."""
_IN_BUNCHES = 1.25
"""Messages a batch, on average: those who come one after another are alone."""
_SHARE = 0.1
_MEMORY_OF_BATCHES_S = 0.1
"""Who comes alone after a load does not wait because of it: what a batch was is soon forgotten."""


class Pace:
    """Messages per second and per batch, smoothed: how long is it worth waiting for more?"""

    def __init__(self) -> None:
        self._per_s = 0.0
        self._per_batch = 1.0
        self._noted_at = time.monotonic()

    def note(self, messages: int) -> None:
        """So many were taken, or sent, together; it may have been none."""
        now = time.monotonic()
        elapsed = max(now - self._noted_at, 1e-4)
        self._noted_at = now
        self._per_s += (messages / elapsed - self._per_s) * (1 - math.exp(-elapsed / _MEMORY_S))
        if messages:
            share = max(_SHARE, 1 - math.exp(-elapsed / _MEMORY_OF_BATCHES_S))
            self._per_batch += (messages - self._per_batch) * share

    @property
    def is_busy(self) -> bool:
        """So many come that within a moment there are more."""
        return self._per_s > _BUSY_PER_S

    @property
    def linger_s(self) -> float:
        """Seconds; none for a message that comes alone."""
        if self.is_busy:
            return _LONG_S
        return _SHORT_S if self._per_batch > _IN_BUNCHES else 0.0
