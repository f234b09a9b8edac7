"""Queues, as the daemon saw them last, with who serves them and what is paused; and one queue's last hour."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from panda_fsm.pausing import Pause
from panda_fsm.views.queue_hours import Cause, Hour, Step
from panda_fsm.views.queues import Looked, QueueNow, Sample, queue_now, watched, worst_first
from panda_fsm.views.redaction import redacted
from sql.pool import Pool
from sql.queries import load
from sql.views.workers import WorkerReads

_Q = load("views_queues")


class QueueReads:
    """Samples, pauses and processes. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._workers = WorkerReads(pool)

    async def now(self) -> list[QueueNow]:
        """Every queue, judged; what needs somebody comes first."""
        seen = {row[0]: row for row in await self._pool.rows(_Q["now"])}
        paused = {one.name: one for one in await self.pauses() if one.kind == "queue"}
        workers = await self._workers.now()
        names = list(seen) or [one.name for one in watched()]
        return worst_first(
            queue_now(_looked(name, seen.get(name), [one for one in workers if one.queue == name], paused.get(name)))
            for name in names
        )

    async def one(self, name: str) -> QueueNow | None:
        """One of them; None: there is none of this name."""
        return next((queue for queue in await self.now() if queue.name == name), None)

    async def pauses(self) -> list[Pause]:
        """All queues and sites that are paused now."""
        return [Pause(*row) for row in await self._pool.rows(_Q["pauses"])]

    async def hour(self, name: str) -> Hour:
        """How a queue did in the last hour."""
        return Hour(tuple(Step(*row) for row in await self._pool.rows(_Q["hour"], queue=name)))

    async def died(self, name: str) -> list[Cause]:
        """Its dead letters that nobody has settled, by what went wrong."""
        rows = await self._pool.rows(_Q["died"], queue=name)
        return [Cause(fingerprint, redacted(reason), *rest) for fingerprint, reason, *rest in rows]


def _looked(name: str, row: Sequence[Any] | None, workers: Sequence[Any], pause: Pause | None) -> Looked:
    if row is None:
        return Looked(name, datetime.now(UTC), None, workers=workers, pause=pause)
    now, times, ready, consumers, handled, buried, put_off, oldest_at, was_there = row[1:]
    newest = Sample(times[0], ready[0], consumers[0], handled[0], buried, put_off, oldest_at, was_there)
    before = [
        None if at is None else Sample(at, waited, there or 0, done)
        for at, waited, there, done in zip(times[1:], ready[1:], consumers[1:], handled[1:], strict=True)
    ]
    return Looked(name, now, newest, before[0], before[1], workers, pause)
