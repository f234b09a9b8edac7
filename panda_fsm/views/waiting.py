"""Why a job waits: a sentence for each state that is not final, what comes by itself, and what a person could do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from panda_fsm.jobs.appointments import sure_end, unless_active
from panda_fsm.jobs.deadlines import Deadline
from panda_fsm.jobs.facts import FACTS, HEARTBEAT_PERIOD_S, Limits, Replay
from panda_fsm.jobs.states import USABLE_INPUT, FileStatus, FileType, State
from panda_fsm.offers import Offer
from panda_fsm.views.fitting import Ask, kept_by, unfit
from panda_fsm.views.jobs import JobNow, LifeFile, Places, Related, Why
from panda_fsm.views.stuck import AT_MOST
from panda_fsm.views.words import counted, dotted, duration, moment, number

_NAMED = 3
"""So many names stand in a sentence; of the others it is said how many there are."""
KILL, REASSIGN, RAISE = "kill it", "reassign it: it is set up anew", "raise its priority"
DEBUG = "set debug: its pilot then shows what the payload prints"
S = State


@dataclass(frozen=True, slots=True)
class Around:
    """What is looked up around a job, as far as its state makes that matter.

    `ahead`: jobs of its queue that go first. `asks`: what pilots asked for at its queue. `paused_*`: its queue gets no
    jobs. `usual_s`: how long nearly all stay in it there.
    `away`: services whose turn it is, and that do not work, with what keeps them.
    """

    ahead: int | None = None
    is_paused: bool = False
    paused_by: str | None = None
    paused_for: str | None = None
    paused_until: datetime | None = None
    asks: tuple[Ask, ...] = ()
    usual_s: float | None = None
    away: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """All that the answer depends on."""

    now: JobNow
    places: Places
    files: tuple[LifeFile, ...]
    files_in_all: int
    related: tuple[Related, ...]
    around: Around
    limits: Limits
    at: datetime
    offer: Offer | None = None

    @property
    def stays_s(self) -> float:
        return (self.at - self.now.job.entered_at).total_seconds()

    def ago(self, when: datetime | None) -> str:
        """How long ago that was, in words."""
        return "never" if when is None else f"{duration(max(0.0, (self.at - when).total_seconds()))} ago"


Said = tuple[str, tuple[str, ...], tuple[str, ...]]
"""The sentence, what else there is to know, what a person could do."""


def why(waiting: Waiting) -> Why | None:
    """The answer; None: it has ended and waits for nothing."""
    tell = WHY.get(waiting.now.job.state)
    if tell is None:
        return None
    sentence, more, could = tell(waiting)
    return Why(sentence, (*more, *_away(waiting), *_usual(waiting)), tuple(_comes(waiting)), could)


def _pending(w: Waiting) -> Said:
    return f"JEDI submitted it {w.ago(w.now.job.created_at)} and has not released it yet.", (), ("release it", KILL)


def _defined(w: Waiting) -> Said:
    if w.now.job.waits_for:
        return f"It is not set up yet: {dotted(w.now.job.waits_for)}", _upstream(w), (KILL,)
    return f"The setupper was told of it {w.ago(w.now.job.entered_at)} and has not answered yet.", _upstream(w), (KILL,)


def _waiting(w: Waiting) -> Said:
    missing = [f.lfn for f in w.files if f.type == FileType.INPUT and f.status not in USABLE_INPUT]
    what = w.now.job.waits_for or f"{_names(missing) or 'an input'} is on no storage"
    return f"An input is nowhere: {dotted(what)}", _upstream(w), ("find out who makes the input", REASSIGN, KILL)


def _assigned(w: Waiting) -> Said:
    coming = [f for f in w.files if f.type == FileType.INPUT and f.status not in USABLE_INPUT]
    asked = min((f.asked_at for f in coming if f.asked_at is not None), default=w.now.job.entered_at)
    sentence = f"{_its(len(coming), 'input')} on the way{_way(coming)}, asked for {w.ago(asked)}."
    return sentence, (*_blocks(coming), *_waits(w)), ("ask the DDM about the block", REASSIGN, KILL)


def _activated(w: Waiting) -> Said:
    site, around = w.now.job.site, w.around
    if w.places.held_by is not None:
        return _held(w)
    if around.is_paused:
        until = f" until {moment(around.paused_until)}" if around.paused_until else ""
        said = f"{site} is paused{until} by {around.paused_by}: {around.paused_for or 'no reason given'}."
        return said, (), (f"resume {site}", REASSIGN, KILL)
    kept = kept_by(w.now, w.offer)
    if kept:
        return kept[0], kept[1:], ("look at its queue", KILL)
    wrong = unfit(w.now, around.asks, w.at)
    last = max((ask.last_at for ask in around.asks), default=None)
    could = (RAISE, REASSIGN, KILL)
    if last is None or (w.at - last).total_seconds() > w.stays_s:
        said = "No pilot asked there lately." if last is None else f"The last one asked {w.ago(last)}."
        return f"Nobody has asked for jobs of {site} since it became ready. {said}", (), could
    if wrong:
        return f"No pilot of {site} that asked lately can take it. {wrong[0]}", wrong[1:], (REASSIGN, KILL)
    if around.ahead:
        return f"{_ahead(around.ahead)} of {site} go before it; pilots asked last {w.ago(last)}.", (), could
    return f"It is the next of {site}; pilots asked last {w.ago(last)}.", (), could


def _throttled(w: Waiting) -> Said:
    return _held(w)


def _held(w: Waiting) -> Said:
    task = w.now.job.task_id
    if w.places.held_by is None:
        said = f"It is held back from pilots, though task {task} is not held any more."
        return said, (), ("release it", KILL)
    said = f"Task {task} is held by {w.places.held_by} since {moment(w.places.held_at)}: no pilot gets its jobs."
    return said, (), (f"release the hold of task {task}", KILL)


def _sent(w: Waiting) -> Said:
    word = f"Pilot {w.now.pilot_id} has it" if w.now.pilot_id else "A pilot has it"
    where = f" at {w.now.node}" if w.now.node else ""
    more = (f"It came back from {counted(w.now.job.returns, 'pilot')} before.",) if w.now.job.returns else ()
    return f"{word}{where} since {w.ago(w.now.job.entered_at)} and has not spoken yet.", (*more, *_worker(w)), (KILL,)


def _with_pilot(w: Waiting) -> Said:
    heard = max(filter(None, (w.places.heard_at, w.now.job.entered_at)))
    doing = "starts" if w.now.job.state is S.STARTING else "runs"
    where = f" at {w.now.node}" if w.now.node else ""
    silent_s = (w.at - heard).total_seconds()
    late = " That is longer than pilots are silent." if silent_s > HEARTBEAT_PERIOD_S else ""
    sentence = f"Its payload {doing}{where}; its pilot spoke last {w.ago(heard)}.{late}"
    return sentence, (*_command(w), *_worker(w)), (DEBUG, KILL)


def _holding(w: Waiting) -> Said:
    if not w.now.job.has_report:
        heard = w.ago(w.places.heard_at or w.now.job.entered_at)
        return f"Its pilot says that it is done and owes its final report; it spoke last {heard}.", _worker(w), (KILL,)
    if w.now.job.waits_for:
        return f"Its outputs are not added yet: {dotted(w.now.job.waits_for)}", (), (KILL,)
    return f"The adder was told of its outputs {w.ago(w.now.job.entered_at)} and has not answered yet.", (), (KILL,)


def _transferring(w: Waiting) -> Said:
    if not w.now.job.has_report:
        heard = w.ago(w.places.heard_at or w.now.job.entered_at)
        return f"Its pilot moves its outputs; it spoke last {heard}.", _worker(w), (KILL,)
    moving = [f for f in w.files if f.type in (FileType.OUTPUT, FileType.LOG) and f.status == FileStatus.TRANSFERRING]
    sentence = f"{_its(len(moving), 'output')} on the way{_way(moving)}, asked for {w.ago(w.now.job.entered_at)}."
    return sentence, (*_blocks(moving), *_waits(w)), ("ask the DDM about the block", KILL)


def _merging(w: Waiting) -> Said:
    jobs = [one for one in w.related if one.how.startswith("merges")]
    if not jobs:
        said = "Its outputs wait to be merged, and no job that does it is known yet."
        return said, _blocks(w.files), ("ask JEDI whether it makes one", KILL)
    named = ", ".join(f"{one.job_id} ({one.state or 'not known'})" for one in jobs[:_NAMED])
    return f"Its outputs are merged by job {named}; it ends with that.", (), ("look at that job", KILL)


WHY: Mapping[State, Callable[[Waiting], Said]] = {
    S.PENDING: _pending,
    S.DEFINED: _defined,
    S.WAITING: _waiting,
    S.ASSIGNED: _assigned,
    S.ACTIVATED: _activated,
    S.THROTTLED: _throttled,
    S.SENT: _sent,
    S.STARTING: _with_pilot,
    S.RUNNING: _with_pilot,
    S.HOLDING: _holding,
    S.TRANSFERRING: _transferring,
    S.MERGING: _merging,
}
_IN_COMPANY = frozenset({S.ASSIGNED, S.HOLDING, S.TRANSFERRING, S.DEFINED, S.WAITING})
"""That many others are here too says something of the cause."""
_AGAIN: Mapping[Replay, str] = {
    Replay.EVENT: "its service is told of it again",
    Replay.OUTPUTS: "its service is told of it again",
    Replay.TRANSFERS: "the DDM is asked again",
}


def _comes(w: Waiting) -> list[str]:
    """What happens by itself: when it is asked about again, and how and when it ends at the latest."""
    found = []
    if w.places.trouble is not None:
        found.append(f"Its appointment cannot be kept: {dotted(w.places.trouble)}")
    again = _AGAIN.get(FACTS[w.now.job.state].replay)
    end, idle = sure_end(w.now.job, w.limits), unless_active(w.now.job, w.limits)
    look_at = w.places.look_at
    if again is not None and look_at is not None and (end is None or look_at < end[0]):
        found.append(f"At {moment(max(look_at, w.at))} {again}, if nothing comes before.")
    if end is not None:
        found.append(_end(w, *end))
    if idle is not None and (end is None or idle[0] < end[0]):
        found.append(f"From {moment(idle[0])} on it is ended earlier if {idle[1].diagnostic}.")
    return found


def _end(w: Waiting, at: datetime, deadline: Deadline) -> str:
    """How its deadline ends it."""
    if w.now.job.state is S.SENT and w.now.job.may_be_handed_out_again():
        return f"It goes to another pilot at {moment(at)} if this one has not spoken by then."
    ends = "fails" if deadline.kill is None else "is ended"
    due = "now" if at <= w.at else f"on {moment(at)}"
    return (
        f"It {ends} {due} ({deadline.component} {int(deadline.code)}: {deadline.diagnostic}), if nothing comes before."
    )


def _usual(w: Waiting) -> tuple[str, ...]:
    """How long others stay, where that says something."""
    said = []
    if w.around.usual_s is not None:
        said.append(
            f"It has been {w.now.job.state} for {duration(w.stays_s)}; 95 % here take {duration(w.around.usual_s)}."
        )
    peers = w.places.peers
    if peers is not None and peers > 1 and w.now.job.state in _IN_COMPANY:
        said.append(f"{number(peers - 1)} other jobs of {w.now.job.site} are {w.now.job.state}.")
    return tuple(said)


def _away(w: Waiting) -> tuple[str, ...]:
    return tuple(
        f"The {service} does not work: {dotted(trouble)}" for service, trouble in (w.around.away or {}).items()
    )


def _ahead(jobs: int) -> str:
    return f"At least {number(AT_MOST)} jobs" if jobs >= AT_MOST else counted(jobs, "job")


def _its(count: int, noun: str) -> str:
    if count == 1:
        return f"Its {noun} is"
    return f"Its {count:,} {noun}s are" if count else f"Its {noun}s are"


def _way(files: list[LifeFile]) -> str:
    """From where to where."""
    ways = sorted({(f.source or "", f.target or f.destination or "") for f in files} - {("", "")})
    if not ways:
        return ""
    source, target = ways[0]
    said = f"{f' from {source}' if source else ''}{f' to {target}' if target else ''}"
    return said + (f" and {counted(len(ways) - 1, 'other way')}" if len(ways) > 1 else "")


def _blocks(files: list[LifeFile] | tuple[LifeFile, ...]) -> tuple[str, ...]:
    names = sorted({f.block for f in files if f.block})
    return (f"Block {_names(names)}.",) if names else ()


def _names(names: list[str]) -> str:
    left = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {left} more" if left > 0 else "")


def _waits(w: Waiting) -> tuple[str, ...]:
    return (dotted(w.now.job.waits_for),) if w.now.job.waits_for else ()


def _upstream(w: Waiting) -> tuple[str, ...]:
    makers = [one for one in w.related if one.how == "makes what it reads" and one.state != S.FINISHED]
    return tuple(f"Job {one.job_id} ({one.state or 'not known'}) makes what it reads." for one in makers[:_NAMED])


def _worker(w: Waiting) -> tuple[str, ...]:
    if w.places.worker_status is None:
        return ()
    return (f"Its worker is {w.places.worker_status}, heard of {w.ago(w.places.worker_seen_at)}.",)


def _command(w: Waiting) -> tuple[str, ...]:
    command = w.now.job.command
    return (f"Its pilot is to be told: {command}.",) if command else ()
