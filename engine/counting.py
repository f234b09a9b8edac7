"""What a worker's batches did: counted once a batch, when it is committed, and written down where it went wrong."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from engine import journal
from engine.blame import Blame
from engine.receive import Received
from panda_fsm import figures
from panda_fsm.effects import Effects, Outgoing
from panda_fsm.jobs.facts import FINAL
from panda_fsm.messages import made_at
from panda_fsm.tally import Labels

BORN = "none"
"""Where a job comes from that is created."""


def handled(received: Sequence[Received], effects: Effects) -> int:
    """How many messages were neither buried nor put off."""
    if not effects.dead_letters and not effects.waiting:
        return len(received)
    buried = {letter.payload for letter in effects.dead_letters}
    return sum(r.delivery.body not in buried and r.message.message_id not in effects.waiting for r in received)


class Counted:
    """The batches of one queue."""

    def __init__(
        self, queue: str, blame: Blame, log_steps: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`log_steps`: each step is a line of the log, too."""
        self._queue = queue
        self._log_steps = log_steps
        self._of_queue = (queue,)
        self._clock = clock
        figures.BREAKER.watch(blame, lambda its: its.is_open, self._of_queue)

    @contextmanager
    def batch(self, size: int) -> Iterator[None]:
        """How large a batch is, and how long it takes."""
        began = self._clock()
        try:
            yield
        finally:
            figures.BATCH_MESSAGES.observe(size, self._of_queue)
            figures.BATCH_SECONDS.observe(self._clock() - began, self._of_queue)

    def committed(self, effects: Effects, received: Sequence[Received] = (), done: int = 0) -> None:
        """What was written; of `received` so many are `done`."""
        outcomes = ("handled", done), ("deferred", len(effects.waiting)), ("buried", len(effects.dead_letters))
        for outcome, messages in outcomes:
            if messages:
                figures.MESSAGES.add((self._queue, outcome), messages)
        if effects.ignored:
            figures.IGNORED.add(self._of_queue, effects.ignored)
        self._note_age(received)
        journal.went_wrong(effects)
        if effects.history:
            self._note_steps(effects)
            if self._log_steps:
                journal.steps(effects)

    def left(self, outgoing: Sequence[Outgoing], confirmed: Sequence[Outgoing]) -> None:
        """What was not confirmed goes to the broker by the relay."""
        figures.LEFT.add(self._of_queue, len(outgoing) - len(confirmed))
        there = {message.message_id for message in confirmed}
        journal.left([message.message_id for message in outgoing if message.message_id not in there])

    def _note_age(self, received: Sequence[Received]) -> None:
        """One a batch, for it costs as much as all else that is counted of a message."""
        at = made_at(received[0].message.message_id) if received else None
        if at is not None:
            figures.MESSAGE_AGE.observe(max(0.0, time.time() - at), self._of_queue)

    def _note_steps(self, effects: Effects) -> None:
        now = datetime.now(UTC)
        steps: dict[Labels, int] = defaultdict(int)
        for row in effects.history:
            source, destination = row.step.source, row.step.destination
            labels: Labels = (BORN if source is None else source.value, destination.value)
            steps[labels] += 1
            job = effects.subjects.get(row.job_id)
            if job is not None and row.version == job.stored_version + 1:
                figures.STAYED.observe(max(0.0, (now - job.entered_at).total_seconds()), labels)
        for hop, many in steps.items():
            figures.TRANSITIONS.add((*hop, self._queue), many)
        for (state, site, _vo), many in effects.counts.items():
            if state in FINAL:
                figures.ENDED.add((site, str(state)), many)
