"""What waited in each queue, every few seconds: written by the daemon, the first of each minute kept for a day."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg

from panda_fsm.views.queues import Sample
from sql import rows
from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("queue_samples")
_TOGETHER = 0.8
"""A round sooner than this part of the period after the last one is another daemon's."""


class SampleRound:
    """One look at all queues, in the transaction of `connection`."""

    def __init__(self, connection: psycopg.Connection, at: datetime) -> None:
        self._connection = connection
        self.at = at
        self.handled: dict[str, tuple[int, int, int]] = {
            queue: (handled, buried, put_off) for queue, handled, buried, put_off in connection.execute(_Q["work"])
        }

    def missed(self, after: datetime | None) -> Sequence[tuple[str, Sample]]:
        """What was seen since, by whichever daemon, in order."""
        found = self._connection.execute(_Q["missed"], {"after": after})
        return [(queue, Sample(*values)) for queue, *values in found]

    def add(self, samples: Mapping[str, Sample]) -> None:
        """Remember what was seen; what is older is thinned out."""
        seen = [
            {
                "queue": queue, "ready": one.ready, "consumers": one.consumers, "handled": one.handled,
                "buried": one.buried, "put_off": one.put_off, "oldest_at": one.oldest_at, "was_there": one.was_there,
            }
            for queue, one in samples.items()
        ]  # fmt: skip
        self._connection.execute(_Q["add"], {"rows": rows.as_json(seen)})
        self._connection.execute(_Q["thin_out"])


class QueueSamples:
    """The table queue_sample. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "queues")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    @contextmanager
    def turn(self, period_s: float) -> Iterator[SampleRound | None]:
        """A round; None where another daemon did one just now."""
        with self._session.slice() as connection:
            found = connection.execute(_Q["turn"], {"seconds": period_s * _TOGETHER}).fetchone()
            yield SampleRound(connection, found[0]) if found else None
