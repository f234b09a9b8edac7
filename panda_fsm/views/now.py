"""Now: is work flowing, and if not, where does it stop? What needs a human is composed of what others judge."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from panda_fsm.views.capacity import Capacity
from panda_fsm.views.dead_letters import Group
from panda_fsm.views.health import Health, Trouble
from panda_fsm.views.pipeline import FlowView, Stage
from panda_fsm.views.queues import QueueNow
from panda_fsm.views.stuck import StuckNow
from panda_fsm.views.words import counted, number
from panda_fsm.views.workers import WorkerNow

Tone = Literal["bad", "warn"]
_TOLD_ELSEWHERE = frozenset({"dead letters"})
"""Of these troubles another judgement says more."""
_RULES_TOLD_ELSEWHERE = frozenset({"outbox_old", "no_consumer"})
_QUEUES, _PLACES = 12, 3


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a human: what, the circumstances, and where to go on. `link` is what is done there."""

    tone: Tone
    says: str
    more: str
    url: str
    link: str


@dataclass(frozen=True, slots=True)
class Underway:
    """What is at work and what waits."""

    processes: int
    known: int
    at_work: int
    ready: int
    in_hand: int


@dataclass(frozen=True, slots=True)
class NowView:
    """The page. `rows`: the stages of the pipeline."""

    flow: FlowView
    needs: tuple[Need, ...]
    underway: Underway
    capacity: Capacity | None
    health: Health
    queues: tuple[QueueNow, ...]
    more_queues: int

    @property
    def rows(self) -> tuple[Stage, ...]:
        return self.flow.stages


def needs(
    troubles: Iterable[Trouble],
    queues: Sequence[QueueNow],
    stuck: Iterable[StuckNow],
    groups: Sequence[Group],
    flow: FlowView,
) -> tuple[Need, ...]:
    """What needs a human, the worst first; what two judgements say of one thing is said once."""
    unserved = frozenset(queue.name for queue in queues if not queue.alive)
    found = [
        *(_of_trouble(one) for one in troubles if one.about not in _TOLD_ELSEWHERE),
        *(
            _of_queue(one)
            for one in queues
            if one.level != "ok" and not (one.reader == "service" and one.name in unserved)
        ),
        *(_of_stuck(one) for one in stuck if one.rule.name not in _RULES_TOLD_ELSEWHERE),
        *_of_letters(groups),
        *(_of_stage(one) for one in flow.stages if one.tone == "bad"),
    ]
    return tuple(sorted(found, key=lambda need: need.tone != "bad"))


def _of_trouble(trouble: Trouble) -> Need:
    """A sentence of `panda-fsm health`."""
    tone: Tone = "bad" if trouble.is_bad else "warn"
    says = trouble.says[:1].upper() + trouble.says[1:]
    if trouble.about in ("service", "process"):
        return Need(tone, says, "", "/ui/workers", "see workers")
    return Need(tone, says, "", "/ui/system", "see system")


def _of_queue(queue: QueueNow) -> Need:
    tone: Tone = "bad" if queue.level == "bad" else "warn"
    return Need(tone, f"Queue {queue.name}: {queue.word}", queue.says, f"/ui/queues/{queue.name}", "see queue")


def _of_stuck(stuck: StuckNow) -> Need:
    places = sorted(stuck.places, key=lambda place: -place.count)
    named = ", ".join(f"{place.name} {number(place.count)}" for place in places[:_PLACES])
    more = f", and {counted(len(places) - _PLACES, 'place')} more" if len(places) > _PLACES else ""
    since = "" if stuck.oldest_at is None else f" The oldest since {stuck.oldest_at:%Y-%m-%d %H:%M} UTC."
    hop = f"{stuck.rule.hop[:1].lower()}{stuck.rule.hop[1:].rstrip('.')}"
    says = f"{stuck.counted[:1].upper()}{stuck.counted[1:]}: {hop}"
    url = f"/ui/stuck?rule={stuck.rule.name}"
    return Need("warn", says, f"{named}{more}.{since} {stuck.rule.suggests}", url, "see jobs")


def _of_letters(groups: Sequence[Group]) -> Iterator[Need]:
    if not groups:
        return
    letters, more = sum(group.letters for group in groups), any(group.is_more for group in groups)
    newest = max(groups, key=lambda group: group.last_at)
    says = f"{'At least ' if more else ''}{counted(letters, 'dead letter')}, {counted(len(groups), 'cause')}"
    since = f"since {min(group.first_at for group in groups):%Y-%m-%d %H:%M} UTC"
    one = len(groups) == 1
    url = f"/ui/dead?fingerprint={newest.fingerprint}" if one else "/ui/dead"
    yield Need("warn", f"{says}: {newest.cause[:200]}" if one else says,
               since if one else f"{since}; the newest: {newest.cause[:200]}", url, "inspect")  # fmt: skip


def _of_stage(stage: Stage) -> Need:
    more = f"{number(stage.count)} jobs are there; {stage.note.removeprefix('▲ ')}"
    return Need("bad", f"Jobs pile up in {stage.name}", more, f"/ui/jobs?state={stage.name}", "see jobs")


def underway(workers: Sequence[WorkerNow], queues: Sequence[QueueNow]) -> Underway:
    """What is at work and what waits, of ours."""
    alive = [one for one in workers if one.is_alive]
    ours = [queue for queue in queues if queue.reader == "service"]
    return Underway(
        len(alive), len(workers), sum(bool(one.in_hand) for one in alive), sum(queue.ready or 0 for queue in ours),
        sum(queue.in_hand for queue in ours),
    )  # fmt: skip


def worth_a_look(queues: Sequence[QueueNow]) -> tuple[tuple[QueueNow, ...], int]:
    """Queues that are not well and those in which most waits or moves, and how many others there are."""
    order = {"bad": 0, "warn": 1, "ok": 2}
    busy = sorted(queues, key=lambda one: (order[one.level], -(one.ready or 0), -(one.out_per_s or 0), one.name))
    return tuple(busy[:_QUEUES]), max(0, len(busy) - _QUEUES)
