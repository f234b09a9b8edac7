"""Queues as operators see them: what waits, who reads it, how old the oldest is; and the judgement on that."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from panda_fsm import delays
from panda_fsm.bindings import DEAD_LETTERS, JEDI_REQUESTS, Further, bindings
from panda_fsm.pausing import Pause
from panda_fsm.views import words
from panda_fsm.views.workers import STUCK_S, WorkerNow

Reader = Literal["service", "broker", "jedi"]
"""Who reads a queue: a service of ours, the broker when a delay is over, or JEDI."""
Level = Literal["ok", "warn", "bad"]
DELAYS = "panda.delay"
"""All delay queues together: which of them a message waits in says nothing of who waits for it."""
PURPOSES: Mapping[str, str] = {
    "setupper": "New jobs, and jobs to set up anew: their inputs are looked for and asked for.",
    "setupper.submissions": "Submissions that were accepted: each becomes jobs.",
    "activator": "Inputs that have arrived or failed: jobs whose inputs are all there may run.",
    "watcher": "What pilots report, kills, and deadlines that have passed.",
    "watcher.heartbeats": "Reports of pilots that say only that a job goes on.",
    "watcher.large": "Large reports, what is asked of a whole task, and what operators pause and resume.",
    "adder": "Jobs whose pilots are done: their outputs are registered and placed.",
    "closer": "Blocks that may be complete: they are closed once every file of them is settled.",
    "finisher": "Jobs whose outputs are registered or have arrived: they end.",
    "ddm": "Files that the data management is to move.",
    "ddm.blocks": "Blocks that the data management is to close or delete.",
    JEDI_REQUESTS: "What JEDI asks for: new jobs, kills, holds.",
    DEAD_LETTERS: "Messages that the broker gave up on, on their way to the dead letters.",
    DELAYS: "Messages that wait for a while and come back by themselves.",
}
_OF_JEDI = "What JEDI is told; it reads this itself."
OLD_S, TOO_OLD_S = 60.0, 300.0
"""Age of the oldest message: worth a look, and something is wrong."""
UNSEEN_S = 30.0
"""The daemon asks the broker every 5 s; older figures say nothing of now."""
_MANY, _GROWN = 1000, 1.2
"""So many messages wait, and so much more than some minutes before: it grows."""


class Watched(NamedTuple):
    """Queues of the broker that are shown as one."""

    name: str
    members: tuple[str, ...]
    reader: Reader


@dataclass(frozen=True, slots=True)
class Sample:
    """A queue as the daemon found it. `ready` is None where there is no such queue; `handled`, of all messages since
    ever, where others read it. The oldest message came at `oldest_at`, or before where it `was_there` at first."""

    at: datetime
    ready: int | None
    consumers: int
    handled: int | None = None
    buried: int = 0
    put_off: int = 0
    oldest_at: datetime | None = None
    was_there: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a queue does: in a word, and in a sentence that says what to do."""

    level: Level
    word: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class QueueNow:
    """A queue now. Rates are of the last minute; None: not known. `drain_s`: so long until nothing waits, at this rate.

    `alive` of the `known` processes showed themselves; of the messages that these have `in_hand` the first were taken
    `in_hand_s` ago.
    """

    name: str
    reader: Reader
    purpose: str
    ready: int | None
    oldest_s: float | None
    was_there: bool
    in_per_s: float | None
    out_per_s: float | None
    drain_s: float | None
    consumers: int
    alive: int
    known: int
    in_hand: int
    in_hand_s: float | None
    buried: int
    put_off: int
    as_of: datetime | None
    level: Level
    word: str
    says: str
    pause: Pause | None = None


def watched(further: Further = frozenset()) -> tuple[Watched, ...]:
    """All queues there are: of the services, the delays as one, and JEDI's."""
    ours = (Watched(name, (name,), "service") for name in sorted({*bindings(), DEAD_LETTERS, JEDI_REQUESTS}))
    waiting = Watched(DELAYS, tuple(map(delays.exchange, delays.SECONDS)), "broker")
    jedis = (Watched(name, (name,), "jedi") for name in sorted({one.queue for one in further}))
    return (*ours, waiting, *jedis)


def reader_of(name: str) -> Reader:
    """Who reads the queue of this name."""
    if name == DELAYS:
        return "broker"
    return "service" if name in PURPOSES else "jedi"


def purpose_of(name: str) -> str:
    """What it is for, in a sentence."""
    return PURPOSES.get(name, _OF_JEDI)


def rates(before: Sample | None, now: Sample) -> tuple[float | None, float | None]:
    """Messages that came and that went, a second. What was handled is told late now and then: no rate is below 0."""
    if before is None or now.at <= before.at or now.ready is None or before.ready is None:
        return None, None
    if now.handled is None or before.handled is None:
        return None, None
    seconds = (now.at - before.at).total_seconds()
    gone = now.handled - before.handled
    return max(0.0, (gone + now.ready - before.ready) / seconds), max(0.0, gone / seconds)


def drain_s(ready: int | None, in_per_s: float | None, out_per_s: float | None) -> float | None:
    """How long until nothing waits any more; None: it does not get less, or nothing waits."""
    if not ready or in_per_s is None or out_per_s is None or out_per_s <= in_per_s:
        return None
    return ready / (out_per_s - in_per_s)


@dataclass(frozen=True, slots=True)
class Looked:
    """All that is known of a queue when it is judged: its newest sample, one of a minute before and one of five."""

    name: str
    now: datetime
    newest: Sample | None
    minute_ago: Sample | None = None
    minutes_ago: Sample | None = None
    workers: Sequence[WorkerNow] = ()
    pause: Pause | None = None

    @property
    def oldest_s(self) -> float | None:
        """The age of the oldest message that waits; 0 where none does."""
        if self.newest is None or self.newest.ready is None:
            return None
        if self.newest.ready == 0:
            return 0.0
        at = self.newest.oldest_at
        return None if at is None else max(0.0, (self.now - at).total_seconds())


def queue_now(seen: Looked) -> QueueNow:
    """The queue, judged."""
    newest = seen.newest or Sample(seen.now, None, 0)
    came, went = rates(seen.minute_ago, newest)
    alive = [one for one in seen.workers if one.is_alive]
    held = [one.in_hand_s for one in alive if one.in_hand_s is not None]
    verdict = judge(seen)
    return QueueNow(
        seen.name, reader_of(seen.name), purpose_of(seen.name), newest.ready, seen.oldest_s, newest.was_there,
        came, went, drain_s(newest.ready, came, went), newest.consumers, len(alive), len(seen.workers),
        sum(one.in_hand for one in alive), max(held, default=None), newest.buried, newest.put_off,
        None if seen.newest is None else newest.at, verdict.level, verdict.word, verdict.says, seen.pause,
    )  # fmt: skip


def judge(seen: Looked) -> Verdict:
    """The worst that is to be said of a queue; what keeps all of it from going on comes before what is slow."""
    if seen.pause is not None:
        return Verdict("warn", "paused", seen.pause.sentence())
    reader = reader_of(seen.name)
    verdicts = [*_of_broker(seen), *(_of_readers(seen) if reader == "service" else ()), *_of_messages(seen, reader)]
    worst = [one for one in verdicts if one.level == "bad"] or verdicts
    return worst[0] if worst else Verdict("ok", "flows" if seen.newest and seen.newest.ready else "empty")


def _of_broker(seen: Looked) -> Iterator[Verdict]:
    newest = seen.newest
    if newest is None:
        yield Verdict("warn", "not looked at", "The daemon has not asked the broker yet: is a daemon running?")
        return
    if (seen.now - newest.at).total_seconds() > UNSEEN_S:
        yield Verdict("warn", "old figures", f"The daemon asked the broker last at {newest.at:%H:%M:%S} UTC.")
    if newest.ready is None:
        yield Verdict("bad", "missing", "The broker has no such queue: the next process that connects declares it.")


def _of_readers(seen: Looked) -> Iterator[Verdict]:
    alive = [one for one in seen.workers if one.is_alive]
    if not alive:
        yield Verdict("bad", "nobody serves it", f"No process of {seen.name} shows itself: start one.")
        return
    stuck = [one for one in alive if (one.in_hand_s or 0) > STUCK_S]
    if stuck:
        one = max(stuck, key=lambda each: each.in_hand_s or 0)
        messages = words.counted(one.in_hand, "message")
        what = f"{one.name} has had {messages} in hand for {words.duration(one.in_hand_s)}"
        yield Verdict("bad" if len(stuck) == len(alive) else "warn", "stuck", f"{what}.")
    troubled = [one for one in alive if one.trouble]
    if troubled:
        level: Level = "bad" if len(troubled) == len(alive) else "warn"
        yield Verdict(level, "in trouble", f"{troubled[0].name}: {troubled[0].trouble}")
    elif seen.newest is not None and seen.newest.ready and not seen.newest.consumers and not stuck:
        yield Verdict("bad", "no consumer", "Its processes are alive, and none of them takes messages.")
    if len(alive) < len(seen.workers):
        gone = len(seen.workers) - len(alive)
        yield Verdict("warn", f"{gone} silent", f"{gone} of {len(seen.workers)} processes gave no sign of late.")


def _of_messages(seen: Looked, reader: Reader) -> Iterator[Verdict]:
    """Of those in the delays nothing is to be said: they wait as they should."""
    newest, before = seen.newest, seen.minutes_ago
    if newest is None or not newest.ready or reader == "broker":
        return
    if reader == "jedi" and not newest.consumers:
        waiting = words.counted(newest.ready, "message waits", "messages wait")
        yield Verdict("warn", "nobody reads", f"{waiting} for JEDI: start its listener.")
    oldest_s = seen.oldest_s or 0.0
    if oldest_s > OLD_S:
        level: Level = "bad" if oldest_s > TOO_OLD_S and reader == "service" else "warn"
        which = "The one message" if newest.ready == 1 else f"The oldest of {words.number(newest.ready)} messages"
        yield Verdict(level, "old messages", f"{which} has waited for {words.duration(oldest_s)}.")
    if before is not None and newest.ready >= max(_MANY, _GROWN * (before.ready or 0)):
        more = newest.ready - (before.ready or 0)
        ago = words.duration((newest.at - before.at).total_seconds())
        yield Verdict("warn", "growing", f"{words.number(more)} messages more wait than {ago} ago.")


def worst_first(queues: Iterable[QueueNow]) -> list[QueueNow]:
    """What needs somebody comes first; else by name, ours before JEDI's."""
    order = {"bad": 0, "warn": 1, "ok": 2}
    readers = {"service": 0, "broker": 1, "jedi": 2}
    return sorted(queues, key=lambda one: (order[one.level], readers[one.reader], one.name))
