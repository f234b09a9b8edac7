"""A plugin behind walls: asked in a thread of its own, for a limited time; its trouble is `later` for its own jobs."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from panda_fsm.blocks.states import BlockKind
from panda_fsm.errors import TransientError, told
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.names import NameRule
from panda_fsm.messages import cut
from panda_fsm.plans import Go, Later, Plan, fault
from panda_fsm.ports import ExperimentPlugin
from panda_fsm.trouble import Backoff, Breaker, Condition

log = structlog.get_logger()

MOST_CALLS = 64
"""Calls to find the guilty jobs of one question; where they do not suffice, innocent jobs wait with a guilty one."""
TRY_AGAIN_S = 60.0
"""A plugin that does not load, that hangs, or whose plans cannot be written, is tried again after so long."""
MOST_HUNG = 8
"""Threads that may hang in a plugin; then it is not tried any more."""
REST_S = (10.0, 60.0)
"""A plugin that fails whatever it is asked rests for so long, longer each time."""
_NO_PLAN = "returned no plan for the job"
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a plugin about jobs, and which kind of blocks its plans may move."""

    ask: Callable[[ExperimentPlugin, Sequence[Job]], object]
    moves: BlockKind


@dataclass(slots=True)
class Asked:
    """A question under way. Its thread fills in what it finds, job by job, for as long as somebody waits for it."""

    jobs: Sequence[Job]
    until: float
    put_off: Mapping[int, Plan]
    """Plans of the jobs that it is not asked about."""
    plans: dict[int, Plan] = field(default_factory=dict)
    troubles: dict[int, str] = field(default_factory=dict)
    cause: str = ""
    """The kind of trouble that it met last."""
    does_not_load: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    in_time: bool = False
    abandoned: bool = False


class Isolated:
    """One experiment's plugin. Whoever asks it waits for at most `limit_s`."""

    def __init__(
        self,
        name: str,
        make: Callable[[], ExperimentPlugin],
        condition: Condition,
        limit_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: str | None = None
        """Why it is not asked about all jobs at present."""
        self._name = name
        self._make = make
        self._condition = condition
        self._limit_s = limit_s
        self._clock = clock
        self.names: NameRule | None = None
        """The plugin's rule for LFNs; None as long as it is not loaded."""
        self._plugin: ExperimentPlugin | None = None
        self._loading: Asked | None = None
        self._load_lock = threading.Lock()
        self._breaker = Breaker()
        self._backoff = Backoff(*REST_S)
        self._rests_until = 0.0
        self._unwritten = Breaker()
        self._accused_until = 0.0
        self._hangs = False
        self._hung: list[Asked] = []
        self._probe: Asked | None = None
        self._questions = 0

    def load(self) -> None:
        """Begin to load the plugin, so that trouble shows before there are jobs."""
        self._loading = loading = Asked((), 0.0, {})
        threading.Thread(target=self._load, args=(loading,), name=f"experiment {self._name}", daemon=True).start()

    def await_loaded(self, until: float) -> None:
        """Wait for that; if it takes longer its jobs wait."""
        if (loading := self._loading) is not None and not loading.ended.wait(max(0.0, until - time.monotonic())):
            self._is_loaded()

    def start(self, jobs: Sequence[Job], question: Question) -> Asked | None:
        """Begin to ask, as far as the plugin's trouble allows; None: not now."""
        self._questions += 1
        if self._plugin is None and not self._is_loaded():
            return None
        if self._hangs:
            self._try_whether_it_hangs(jobs, question)
        if self._hangs or (self.trouble is not None and self._clock() < self._rests_until):
            return None
        if not self._breaker.is_open:
            return self._begin(jobs, question, {})
        one = self._one_of(jobs)  # tells whether it works again
        return self._begin([one], question, self._all_later([job for job in jobs if job is not one]))

    def finish(self, asked: Asked | None, jobs: Sequence[Job]) -> dict[int, Plan]:
        """A plan for every job; waits until the question's time is up."""
        if asked is None:
            return self._all_later(jobs)
        asked.abandoned = not asked.ended.wait(max(0.0, asked.until - time.monotonic()))
        plans = {**asked.put_off, **asked.plans}
        self._judge(asked)
        left = [job for job in asked.jobs if job.job_id not in plans]
        return plans | self._all_later(left, {} if asked.abandoned else asked.troubles)

    def unwritable(self, error: str) -> Later:
        """The plan of a job whose plan could not be written, though nothing was found wrong with it."""
        return self._later(f"returned a plan that cannot be written: {_clean(error)}")

    def accuse(self, job: Job, error: str) -> None:
        """A plan of it cannot be written. To find that out costs the batch, so where it happens often it rests."""
        if self._clock() >= self._accused_until:
            self._unwritten.succeeded()
        self._accused_until = self._clock() + TRY_AGAIN_S
        if self._unwritten.failed(job.job_id, error):
            self._rests_until = self._accused_until
        self._say(f"returned a plan that cannot be written: {_clean(error)}")

    def _is_loaded(self) -> bool:
        """Whether it can be asked. What did not load is tried again now and then, and nobody waits for it."""
        with self._load_lock:
            if self._plugin is None and self._loading is None and self._clock() >= self._rests_until:
                self.load()
            if self._loading is not None:
                self._say("is still being loaded")
            return self._plugin is not None

    def _begin(self, jobs: Sequence[Job], question: Question, put_off: Mapping[int, Plan]) -> Asked:
        asked = Asked(jobs, time.monotonic() + self._limit_s, put_off)
        name = f"experiment {self._name}"
        threading.Thread(target=self._work, args=(asked, question), name=name, daemon=True).start()
        return asked

    def _load(self, loading: Asked) -> None:
        """The life of a thread that loads; whatever happens in it ends here. It says so itself: no job may come."""
        plugin = None
        try:
            plugin = self._made()
        except BaseException as error:
            loading.does_not_load = _told(error)
        with self._load_lock:
            self._judge(loading)
            self._plugin, self._loading = plugin, None  # last, for whoever sees them asks without the lock
        loading.ended.set()

    def _work(self, asked: Asked, question: Question) -> None:
        """The life of a question's thread."""
        if self._plugin is not None:
            self._search(self._plugin, asked, question)
        asked.in_time = time.monotonic() <= asked.until
        asked.ended.set()

    def _made(self) -> ExperimentPlugin:
        """The plugin. Its rule for names is read here, for whoever looks at it does so without walls."""
        plugin = self._make()
        rule: object = plugin.names
        if type(rule) is not NameRule:
            raise TypeError(f"names is {type(rule).__name__}, not a NameRule")
        self.names = rule
        return plugin

    def _search(self, plugin: ExperimentPlugin, asked: Asked, question: Question) -> None:
        """Ask about all jobs; where that fails about halves, level by level, until the guilty jobs are found."""
        parts = deque([asked.jobs])
        for _ in range(MOST_CALLS):
            if not parts or asked.abandoned:
                return
            part = parts.popleft()
            try:
                self._take(question.ask(plugin, part), part, asked, question.moves)
            except BaseException as error:
                asked.cause = type(error).__name__
                asked.troubles.update(dict.fromkeys((job.job_id for job in part), f"failed: {_told(error)}"))
                middle = len(part) // 2
                if middle and not isinstance(error, TransientError):  # an outside system's trouble is no job's guilt
                    parts += (part[:middle], part[middle:])

    def _take(self, answers: object, part: Sequence[Job], asked: Asked, moves: BlockKind) -> None:
        """Note the plans that can be used, and what is wrong with the others."""
        found: Mapping[Any, Any] = answers if isinstance(answers, Mapping) else {}
        strangers = found.keys() - {job.job_id for job in part}
        if strangers:
            log.warning("answers_not_asked_for", experiment=self._name, jobs=len(strangers))
        for job in part:
            answer: Any = found.get(job.job_id)
            wrong = _NO_PLAN if answer is None else _wrong(answer, job, moves)
            if wrong is None:
                asked.plans[job.job_id] = _storable(answer)
                asked.troubles.pop(job.job_id, None)
            else:
                asked.cause = _NO_PLAN
                asked.troubles[job.job_id] = wrong

    def _judge(self, asked: Asked) -> None:
        """What a question's end says of the plugin."""
        if asked.abandoned:
            self._hangs = True
            self._hung.append(asked)
            self._rests_until = self._clock() + TRY_AGAIN_S
            self._say(f"did not answer within {self._limit_s:g} s")
            return
        if asked.does_not_load is not None:
            self._rests_until = self._clock() + TRY_AGAIN_S
            self._say(f"does not load: {asked.does_not_load}")
        elif asked.plans or not asked.jobs:
            self._breaker.succeeded()
            self._backoff.reset()
            if self._clock() >= self._accused_until:
                self._say(None)
        elif self._breaker.failed(asked.jobs[0].job_id if len(asked.jobs) == 1 else -self._questions, asked.cause):
            self._rests_until = self._clock() + self._backoff.next_s()
            self._say(next(iter(asked.troubles.values()), _NO_PLAN))
        if asked.troubles:
            why = cut(next(iter(asked.troubles.values())))
            log.warning("jobs_put_off", experiment=self._name, jobs=[*asked.troubles][:50], of=len(asked.jobs), why=why)

    def _try_whether_it_hangs(self, jobs: Sequence[Job], question: Question) -> None:
        """One job a minute, in a thread that nobody waits for: an answer in time says that it works again."""
        probe = self._probe
        if probe is not None and probe.ended.is_set() and probe.in_time:
            self._hangs, self._probe = False, None
            self._say(None)
            self._judge(probe)
        elif self._clock() >= self._rests_until:
            self._rests_until = self._clock() + TRY_AGAIN_S
            self._hung = [asked for asked in self._hung if not asked.ended.is_set()]
            if len(self._hung) < MOST_HUNG:
                self._probe = self._begin([self._one_of(jobs)], question, {})
                self._hung.append(self._probe)
            else:
                self._say(f"never came back from {len(self._hung)} questions, so it is asked nothing more")

    def _one_of(self, jobs: Sequence[Job]) -> Job:
        """Each time another, so that one bad job does not speak for all."""
        return jobs[self._questions % len(jobs)]

    def _all_later(self, jobs: Sequence[Job], troubles: Mapping[int, str] | None = None) -> dict[int, Plan]:
        """The plan of jobs that cannot be answered now, with the reason of each or of all."""
        why, troubles = self.trouble or _NO_PLAN, troubles or {}
        return {job.job_id: self._later(troubles.get(job.job_id, why)) for job in jobs}

    def _later(self, why: str) -> Later:
        return Later(cut(f"experiment {self._name} {why}"))

    def _say(self, trouble: str | None) -> None:
        """Show the plugin's trouble, and log when it comes and when it goes."""
        if trouble is not None and self.trouble is None:
            log.warning("experiment_in_trouble", experiment=self._name, why=cut(trouble))
        elif trouble is None and self.trouble is not None:
            log.info("experiment_works_again", experiment=self._name)
        self.trouble = trouble
        self._condition.note(f"experiment {self._name}", trouble and cut(trouble))


def _wrong(answer: object, job: Job, moves: BlockKind) -> str | None:
    """What is wrong with a plan for a job, if anything."""
    try:
        wrong = fault(answer, job, moves)
    except Exception as error:
        wrong = f"cannot be read: {_told(error)}"
    return wrong and _clean(f"returned a plan that {wrong}")


def _storable(plan: Plan) -> Plan:
    """The plan with a reason that can be stored and is short enough to travel."""
    return plan if isinstance(plan, Go) else replace(plan, reason=_clean(plan.reason))


def _told(error: BaseException) -> str:
    return _clean(told(error))


def _clean(text: str) -> str:
    return cut(_UNSTORABLE.sub(" ", text))
