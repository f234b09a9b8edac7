"""What has not moved: the rules as a table, their thresholds, and which broken hop a job that is found points to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from panda_fsm.jobs.facts import LIVE
from panda_fsm.jobs.states import State
from panda_fsm.views.words import counted

S = State
_MINUTE, _HOUR = 60, 3600
AT_MOST = 1000
"""What is counted row by row is counted so far; beyond, it is said to be at least so many."""
SLOWER = 3
"""So many times the 95th percentile of its site is too slow."""
NEARLY_ALL = 0.95
"""What is usual is what so many do."""
PAGE = "docs/operations/stuck.md"


class Since(Enum):
    """What the time of a job that does not move counts from."""

    ENTERED = "entered"
    HEARD = "heard"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of being stuck. `hop` says what is broken, `suggests` what to do about it, `owner` whose it is.

    `after_s`: of jobs found one by one in these states, how long they may be there. Of what is found elsewhere
    (`elsewhere_s`) it is how long a row, a service or a queue may wait. `waits`: only jobs that say what they wait
    for, or only those that do not.
    """

    name: str
    hop: str
    suggests: str
    owner: str
    after_s: Mapping[State, int]
    elsewhere_s: int | None = None
    since: Since = Since.ENTERED
    waits: bool | None = None

    @property
    def runbook(self) -> str:
        """Where it says what to do at length."""
        return f"{PAGE}#{self.name}"


RULES = (
    Rule("outbox_old", "Written down, but not published: the relay does not reach the broker.",
         "Look at the relay and the broker (System); nothing is lost, the relay goes on by itself.",
         "operators", {}, elsewhere_s=60),
    Rule("no_consumer", "No process of this service lives: what is sent to it stays in its queue.",
         "Start the service; its queue keeps everything until then.", "operators", {}, elsewhere_s=20),
    Rule("unacked_old", "A service was sent this and has not answered.",
         "Look at the service's queue and at what keeps it from working; the daemon says the message again.",
         "operators", {S.DEFINED: 10 * _MINUTE, S.HOLDING: 10 * _MINUTE}, elsewhere_s=2 * _MINUTE, waits=False),
    Rule("put_off", "Its experiment's plugin or the catalogue says: not now.",
         "Read what the jobs wait for; it names the storage or the plugin.", "experiment",
         {S.DEFINED: 30 * _MINUTE, S.WAITING: 30 * _MINUTE, S.HOLDING: 30 * _MINUTE}, waits=True),
    Rule("activated_no_asks", "No pilot asks for jobs at this queue.",
         "Ask those who send pilots there; reassign what is urgent.", "site", {}, elsewhere_s=30 * _MINUTE),
    Rule("sent_no_pilot", "Handed to a pilot that has not spoken since.",
         "Look at the site's nodes; pause the queue if it goes on. Each job goes to another pilot by itself.",
         "site", {S.SENT: 10 * _MINUTE}),
    Rule("heartbeat_lost", "Its pilot speaks no more: pilots speak every 30 minutes.",
         "Look at the site's nodes. The jobs fail by themselves when their deadline passes.",
         "site", {S.STARTING: 50 * _MINUTE, S.RUNNING: 50 * _MINUTE}, since=Since.HEARD),
    Rule("transferring_slow", "Outputs do not arrive: their transfer takes three times as long as it does here.",
         "Ask the DDM about the destination.", "DDM", {S.TRANSFERRING: 2 * _HOUR}),
    Rule("upstream_silent", "Somebody outside has not answered: the DDM of inputs, or JEDI.",
         "Ask the DDM (assigned) or JEDI (pending, merging, or messages that it does not read).", "DDM or JEDI",
         {S.PENDING: 30 * _MINUTE, S.ASSIGNED: 3 * _HOUR, S.MERGING: 24 * _HOUR}, elsewhere_s=5 * _MINUTE),
    Rule("state_disagrees", "Its appointment has passed and nobody kept it.",
         "Look at the daemon: its process, or the trouble that the job shows.", "operators", {},
         elsewhere_s=2 * _MINUTE),
)  # fmt: skip
BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}
WALKED: Mapping[State, tuple[Rule, ...]] = {
    state: found for state in LIVE if (found := tuple(rule for rule in RULES if state in rule.after_s))
}
"""The rules that look at each job in a state."""
NEXT: Mapping[State, tuple[str, ...]] = {
    S.DEFINED: ("setupper",),
    S.WAITING: ("setupper",),
    S.ASSIGNED: ("ddm", "activator"),
    S.ACTIVATED: ("gateway",),
    S.SENT: ("watcher",),
    S.STARTING: ("watcher",),
    S.RUNNING: ("watcher", "watcher.heartbeats"),
    S.HOLDING: ("adder",),
    S.TRANSFERRING: ("ddm", "finisher"),
    S.MERGING: ("finisher",),
}
"""Whose turn it is: the services that move a job on from here, each by its queue."""


def states_of(service: str) -> list[State]:
    """The states in which jobs wait for a service."""
    return [state for state, services in NEXT.items() if service in services]


class Thresholds:
    """How long is too long: the table, with what an installation sets differently by rule, state and site.

    What is set for `state@site` counts, else that for `@site`, else that for the state, else the table.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, int]], p95_s: Mapping[str, float] | None = None) -> None:
        """`p95_s`: of each site how long nearly all of its transfers take, where that is known."""
        self._settings = settings
        self._p95_s = p95_s or {}

    def knowing(self, p95_s: Mapping[str, float]) -> "Thresholds":
        """The same, with how long transfers take now."""
        return Thresholds(self._settings, p95_s)

    def after_s(self, rule: Rule, state: State | None = None, site: str = "") -> float:
        """Seconds after which it is stuck."""
        own = self._settings.get(rule.name, {})
        word = state or ""
        for key in (f"{word}@{site}", f"@{site}", word):
            if key.strip("@") and key in own:
                return own[key]
        usual = rule.elsewhere_s if state is None else rule.after_s[state]
        if usual is None:
            raise ValueError(f"{rule.name} looks at jobs alone")
        if rule.name == "transferring_slow" and site in self._p95_s:
            return max(usual / 4, SLOWER * self._p95_s[site])
        return usual

    def least_s(self) -> dict[State, float]:
        """For each state the time before which none of its jobs is stuck, wherever it is."""
        least: dict[State, float] = {}
        for state, rules in WALKED.items():
            for rule in rules:
                own = self._settings.get(rule.name, {})
                set_here = [s for key, s in own.items() if key.split("@")[0] in ("", state)]
                usual = rule.after_s[state] / (4 if rule.name == "transferring_slow" else 1)
                least[state] = min(least.get(state, usual), usual, *set_here)
        return least


def complaint(settings: Mapping[str, Mapping[str, int]]) -> str | None:
    """What is wrong with thresholds that an installation sets, if anything is."""
    for name, own in settings.items():
        rule = BY_NAME.get(name)
        if rule is None:
            return f"{name!r} is no rule; there are {', '.join(BY_NAME)}"
        for key, seconds in own.items():
            word, _, site = key.partition("@")
            if word and word not in rule.after_s:
                return f"{name}: {word!r} is no state that it looks at"
            if not word and not site:
                return f"{name}: {key!r} names neither a state nor a site (state, @site, state@site)"
            if seconds <= 0:
                return f"{name}: {key}: {seconds} is not a number of seconds"
    return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that has been in its state for a while, as the walk meets it."""

    job_id: int
    state: State
    site: str
    entered_at: datetime
    heard_at: datetime | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A job that is stuck by a rule, and since when it has not moved."""

    rule: str
    job_id: int
    state: State
    site: str
    since: datetime


def judged(candidates: Iterable[Candidate], now: datetime, thresholds: Thresholds) -> list[Found]:
    """Those that are stuck."""
    found = []
    for one in candidates:
        for rule in WALKED.get(one.state, ()):
            if rule.waits is not None and rule.waits is not one.waits:
                continue
            heard = one.heard_at if rule.since is Since.HEARD else None
            since = one.entered_at if heard is None else max(one.entered_at, heard)
            if (now - since).total_seconds() > thresholds.after_s(rule, one.state, one.site):
                found.append(Found(rule.name, one.job_id, one.state, one.site, since))
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where so many are stuck, the oldest since when: at a site, in a queue, with a service, behind a routing key."""

    name: str
    count: int
    oldest_at: datetime | None
    noun: str = "job"


@dataclass(frozen=True, slots=True)
class StuckNow:
    """What one rule finds. `is_least`: there may be more. `looked_at`: when that was looked at."""

    rule: Rule
    places: tuple[Place, ...]
    is_least: bool
    looked_at: datetime

    @property
    def count(self) -> int:
        counts = [place.count for place in self.places]
        return max(counts, default=0) if self.rule.name == "no_consumer" else sum(counts)

    @property
    def oldest_at(self) -> datetime | None:
        return min((place.oldest_at for place in self.places if place.oldest_at is not None), default=None)

    @property
    def counted(self) -> str:
        """How many, in words."""
        if self.rule.name == "no_consumer":  # one job may wait for several
            return counted(len(self.places), "service")
        each = {noun: sum(one.count for one in self.places if one.noun == noun) for noun in ("job", "message")}
        said = (counted(count, noun) for noun, count in each.items() if count)
        return f"{'at least ' if self.is_least else ''}{', '.join(said) or 'no job'}"


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that a rule found, as it is now; None where it is not live any more."""

    job_id: int
    site: str
    since: datetime
    found_in: State
    state_now: str | None
    task_id: int | None
    waits_for: str | None

    @property
    def has_moved(self) -> bool:
        """Whether it went on since it was found."""
        return self.state_now != self.found_in
