"""Plays JEDI: hands over the jobs of tasks, follows them, has done again what failed, until all work is done."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from panda_fsm_jedi.client import JediClient
from panda_fsm_jedi.errors import RefusedError
from panda_fsm_jedi.follower import Follower
from panda_fsm_jedi.messages import DatasetClosed, JobResult, JobStatus, Told
from panda_fsm_jedi.picture import Picture
from panda_fsm_jedi.queues import SHARDS
from panda_fsm_jedi.task import Task, Work

_LOOK_S = 1.0
_KILL_AGAIN_S = 60.0
_QUIET_S = 60.0
"""When nothing was said of jobs for so long, they are asked for."""


class Player:
    """JEDI for some tasks of one VO; `with Player(url, vo) as player: player.add(task); player.play()`.

    Its picture is made of messages alone. After each loss of the connection, and of jobs of which nothing is heard,
    it asks by `replay`: a queue may have been emptied meanwhile. So it does first who begins with a kept `picture`.
    `told` is called with each message that comes.
    """

    def __init__(
        self,
        url: str,
        vo: str,
        *,
        shards: int = SHARDS,
        replies: str | None = None,
        picture: Picture | None = None,
        quiet_s: float = _QUIET_S,
        told: Callable[[Told], object] = lambda message: None,
    ) -> None:
        self.client = JediClient(url, vo, replies)
        self.picture = picture or Picture()
        self.follower = Follower(url, vo, self._take, shards=shards, seqs=self.picture.seqs)
        self.tasks: dict[int, Task] = {}
        self.closed: set[str] = set()
        """Datasets to which no file is to come any more."""
        self.problems: list[str] = []
        self.replayed = 0
        """Statuses that only a replay told."""
        self._quiet_s, self._told = quiet_s, told
        self._heard_at = self._killed_at = time.monotonic()
        self._ids: deque[int] = deque()
        self._to_kill: set[int] = set()
        self._news = threading.Condition()
        self._is_first, self._is_aborting = picture is None, False

    def add(self, task: Task, templates: Sequence[Mapping[str, Any]] = (), spoils: Sequence[str] = ()) -> list[Work]:
        """Play this task too, with work added to it (`Task.add`)."""
        with self._news:
            added = task.add(templates, spoils)
            self.tasks[task.taskid] = task
            self._news.notify_all()
        return added

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait, beside `play`, until something is true of the tasks; whether it is."""
        with self._news:
            return self._news.wait_for(condition, timeout_s)

    def wake(self) -> None:
        """Let `play` look whether it is over."""
        with self._news:
            self._news.notify_all()

    @property
    def trouble(self) -> str | None:
        """What keeps us from the broker."""
        return self.client.trouble or self.follower.trouble

    def kill(self, jobids: Sequence[int]) -> None:
        """Kill jobs of ours; their work is not done again."""
        with self._news:
            for task in self.tasks.values():
                for jobid in task.tries.keys() & set(jobids):
                    task.work[task.tries[jobid].number].is_killed = True
                    self._to_kill.add(jobid)
            self._killed_at = 0.0
            self._news.notify_all()

    def abort(self) -> None:
        """Kill all that runs, and do nothing again; `play` goes on until each job's last word was heard."""
        with self._news:
            self._is_aborting = True
            self._news.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether no job runs and none is to be made."""
        with self._news:
            return all(task.is_over for task in self.tasks.values())

    def play(
        self, show: Callable[[Self], object] = lambda player: None, until: Callable[[], bool] | None = None
    ) -> None:
        """Return when all is over, or `until` says so; `show` is called once a second, and in the end."""
        is_over = until or (lambda: self.is_over)
        while not is_over():
            self.follower.check()
            if self._is_aborting:
                self._abort()
            for task in list(self.tasks.values()):
                self._hand_over(task)
            self._kill_again()
            self._reconcile()
            show(self)
            with self._news:
                self._news.wait_for(lambda: self._has_work() or is_over(), _LOOK_S)
        show(self)

    def reconcile(self) -> None:
        """Ask for the state of all jobs of our tasks."""
        for taskid in list(self.tasks):
            self._replay(taskid=taskid)

    def __enter__(self) -> Self:
        self.client.start()
        self.follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.follower.stop()
        self.client.stop()

    def _has_work(self) -> bool:
        return any(task.ready for task in self.tasks.values()) or (bool(self._to_kill) and not self._killed_at)

    def _hand_over(self, task: Task) -> None:
        with self._news:
            work = task.ready
        if not work:
            return
        while len(self._ids) < len(work):
            for block in self.client.reserve_ids(len(work) - len(self._ids)):
                self._ids.extend(block.ids())
        with self._news:
            jobs = task.make(work, self._take_ids(work))
            self._news.notify_all()
        try:
            results = self.client.submit_jobs(task.taskid, jobs, user=task.user, relationtype="retry")
        except RefusedError as error:
            self._refused(task, jobs, [str(error)] * len(jobs))
        else:
            self._refused(task, jobs, [_why_not(*pair) for pair in zip(jobs, results, strict=True)])

    def _abort(self) -> None:
        with self._news:
            live = {jobid for task in self.tasks.values() for jobid in task.abort()} - self._to_kill
        if live:
            self.kill(sorted(live))

    def _take_ids(self, work: Sequence[Work]) -> Iterator[int]:
        return (self._ids.popleft() for _ in work)

    def _refused(self, task: Task, jobs: Sequence[dict[str, Any]], reasons: Sequence[str | None]) -> None:
        with self._news:
            for job, reason in zip(jobs, reasons, strict=True):
                if reason is not None:
                    self.problems.append(f"job {job['PandaID']} was not stored: {reason}")
                    task.give_up(job["PandaID"])

    def _kill_again(self) -> None:
        """Until each has come to its end: a kill may be lost on its way to a pilot."""
        with self._news:
            self._to_kill -= {jobid for jobid in self._to_kill if self.picture.is_final(jobid)}
            jobids = sorted(self._to_kill)
            if not jobids or time.monotonic() - self._killed_at < _KILL_AGAIN_S:
                return
            self._killed_at = time.monotonic()
        self.client.kill_jobs(jobids, comment="killed by JEDI")

    def _reconcile(self) -> None:
        if self.follower.connected.is_set():
            self.follower.connected.clear()
            self._is_first, was_first = False, self._is_first
            if not was_first:
                self.reconcile()
        if time.monotonic() - self._heard_at > self._quiet_s:
            self._heard_at = time.monotonic()
            live = [jobid for task in self.tasks.values() for jobid in task.running]
            if live:
                self._replay(jobids=live)

    def _replay(self, **which: Any) -> None:
        for status in self.client.replay(**which):
            self.replayed += self._learn(status)

    def _take(self, message: Told) -> None:
        """In the follower's thread."""
        self._told(message)
        self._heard_at = time.monotonic()
        if isinstance(message, JobStatus):
            self._learn(message)
        elif isinstance(message, DatasetClosed) and message.taskid in self.tasks:
            self.closed.add(message.dataset)

    def _learn(self, status: JobStatus) -> bool:
        """Whether it was news of a job of ours."""
        with self._news:
            task = self.tasks.get(status.taskid or 0)
            if task is None:
                return False
            if status.jobid not in task.tries:
                self.problems.append(f"the server has job {status.jobid} of task {task.taskid}, which is not ours")
                return False
            was_final = self.picture.is_final(status.jobid)
            is_news = self.picture.take(status)
            if is_news and status.final and not was_final:
                task.settle(status)
                self._news.notify_all()
            return is_news


def _why_not(job: dict[str, Any], result: JobResult) -> str | None:
    """Why a job is not stored as we submitted it; None if it is."""
    if result.error is not None or result.pandaid == job["PandaID"]:
        return result.error
    return f"it became {result.pandaid}"
