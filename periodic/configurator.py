"""The configurator: asks every source what it says of queues, sites and storages, and has it written down.

One that is away, slow or wrong is in trouble, visibly; the others go on, and what is known stays.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

import structlog

from panda_fsm.errors import PandaError, TransientError, told
from panda_fsm.information.changes import Bounds
from panda_fsm.information.reading import Read
from panda_fsm.information.sources import Remembered, Source, Stamp, Taken
from panda_fsm.messages import cut
from panda_fsm.trouble import Condition
from periodic.fetching import Patience, SourceError, fetch
from periodic.schedule import Duty

log = structlog.get_logger()

Answer = tuple[Read, Stamp] | PandaError | None
"""What a source says and how it marks it, what is wrong with it, or (None) that nothing is new."""
_PERIOD_S = 200.0
LIMIT_S = 300.0
"""The slowest answer and what is written down of it; nothing else waits for that."""


class Store(Protocol):
    """The database side."""

    def remembered(self) -> Mapping[str, Remembered]:
        """What is known of each source that was ever asked."""

    def take(self, source: Source, read: Read, stamp: Stamp, bounds: Bounds) -> Taken:
        """Do what it says, or nothing of it."""

    def note(self, source: Source, trouble: str | None, remembered: Remembered | None) -> None:
        """It has nothing new, or is in trouble."""

    def lift_overdue(self) -> list[str]:
        """What operators set for a time that is over is lifted; the queues."""


class Configurator:
    """Sources in their order: storages before the queues that name them."""

    def __init__(
        self, store: Store, sources: Sequence[Source], percent: float, condition: Condition, patience: Patience
    ) -> None:
        self._store = store
        self._sources = sources
        self._percent = percent
        self._condition = condition
        self._patience = patience
        self._pool = ThreadPoolExecutor(max(1, len(sources)), "source")
        self._asked: dict[str, Future[Answer]] = {}

    def run(self) -> bool:
        """Ask all of them side by side. Raises TransientError while the database is away."""
        for queue in self._store.lift_overdue():
            log.info("override_lifted", queue=queue)
        known = self._store.remembered()
        for source in self._sources:
            asked = self._asked.get(source.name)
            # One that has not answered yet, against all limits, is not asked again at the same time.
            if asked is None or asked.done():
                self._asked[source.name] = self._pool.submit(self._ask, source, known.get(source.name))
        until = time.monotonic() + self._patience.limit_s + self._patience.silence_s
        wait(self._asked.values(), self._patience.silence_s)
        # Who drips comes last: nobody waits for him longer than for who says nothing.
        for source in sorted(self._sources, key=lambda one: not self._asked[one.name].done()):
            self._take(source, self._answer(source.name, until), known.get(source.name))
        return False

    def close(self) -> None:
        """Wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, name: str, until: float) -> Answer:
        try:
            return self._asked[name].result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            return SourceError(f"its answer takes longer than {self._patience.limit_s:g} s")

    def _ask(self, source: Source, before: Remembered | None) -> Answer:
        try:
            stamp = before.stamp_for(source) if before is not None else None
            said = fetch(source, stamp, self._patience)
            return None if said is None else (source.read(said.content), said.stamp)
        except PandaError as error:
            return error
        except Exception as error:  # of a stranger's document: it is in trouble, and holds up nobody
            log.exception("source_failed", source=source.name)
            return PandaError(cut(told(error)))

    def _take(self, source: Source, answer: Answer, before: Remembered | None) -> None:
        if isinstance(answer, tuple):
            read, stamp = answer
            others = [one.name for one in self._sources]
            bounds = Bounds(self._percent, others, allow_removals=before is not None and before.may_remove)
            try:
                taken = self._store.take(source, read, stamp, bounds)
            except TransientError:
                raise
            except Exception as error:  # what only the database finds wrong with it
                log.exception("source_failed", source=source.name)
                trouble: str | None = cut(told(error), 500)
                self._store.note(source, trouble, before)
            else:
                trouble = taken.refused
                log.info("source_read", source=source.name, put=taken.put, gone=taken.gone, rejected=taken.rejected)
        else:
            trouble = None if answer is None else str(answer)
            self._store.note(source, trouble, before)
        self._condition.note(f"source {source.name}", trouble)


def duty(
    store: Store, sources: Sequence[Source], percent: float, condition: Condition,
    patience: Patience | None = None,
) -> Duty:  # fmt: skip
    """All sources each time."""
    one = Configurator(store, sources, percent, condition, patience or Patience())
    what = "Asks the information sources of queues, sites and storages, and writes down what has changed."
    return Duty("configurator", _PERIOD_S, what, one.run, alone=True, limit_s=LIMIT_S, rest=one.close)
