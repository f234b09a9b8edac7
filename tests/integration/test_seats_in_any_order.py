"""Acquires, lost answers, expiries and reports in any order: no job has two pilots, none is lost, no pilot has two."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.watcher import Watcher
from panda_fsm.claims import Filters, Given, Seat
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.facts import HANDED_OUT_AGAIN, TableLimits
from panda_fsm.jobs.judgement import Judgement, judge
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, DeadlinePassed, PilotReport, new_message_id
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.inprocess import InProcess, Serve
from tests.waiting_jobs import add_jobs

Answer = TypeVar("Answer")
JOBS, PILOTS, NAMELESS = 3, 3, 2
HOLDER = "iss|token-of-all"
"""All pilots share one identity, as those of a queue mostly do: only their places and nodes tell them apart."""


@dataclass
class Pilot:
    """Asks from one node; without a place nothing tells it from its neighbours. `job`: what it was told to do."""

    node: str
    place: str | None
    job: int | None = None


@dataclass
class World:
    """One queue with its jobs and pilots, the messages that wait for the Watcher, answers that reached nobody."""

    database: Database
    store: GatewayStore
    watcher: InProcess
    runner: asyncio.Runner
    number: int
    messages: list[AnyMessage] = field(default_factory=list)
    undelivered: list[Given] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.site = f"QUEUE_{self.number}"
        self.jobs = range(self.number * 100 + 1, self.number * 100 + 1 + JOBS)
        add_jobs(self.store_url, self.jobs, site=self.site)
        places = [*(str(uuid4()) for _ in range(PILOTS)), *[None] * NAMELESS]
        self.pilots = [Pilot(f"node-{n}", place) for n, place in enumerate(places)]

    @property
    def store_url(self) -> str:
        return self.database._url

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(work)

    def acquire(self, who: int, is_lost: bool) -> None:
        """A pilot asks; its answer may get lost."""
        pilot = self.pilots[who % len(self.pilots)]
        seat = Seat(new_message_id(), HOLDER, pilot.node, {}, pilot.place)
        (job,) = self.run(self.store.claims.claim(Filters(self.site), [seat])).jobs
        if job is not None and is_lost:
            self.undelivered.append(Given(seat, job))
        elif job is not None:
            pilot.job = job.job_id

    def notice(self, which: int) -> None:
        """The gateway sees that an answer was not taken: at once, or after other things."""
        if self.undelivered:
            lost = self.undelivered.pop(which % len(self.undelivered))
            self.run(self.store.claims.give_back([lost]))

    def report(self, who: int, said: Any) -> None:
        """A pilot speaks of its job; what is news is kept, and handled at some time."""
        pilot = self.pilots[who % len(self.pilots)]
        if pilot.job is None:
            return
        report = PilotReport(job_id=pilot.job, attempt_nr=1, state=said, attributes={"node": pilot.node})
        row = self.run(self.store.requests.jobs([pilot.job]))[pilot.job]
        judgement = judge(report, row, row.holder == HOLDER)
        if judgement is Judgement.GHOST:
            pilot.job = None
            return
        report.returns = row.returns
        self.run(self.store.requests.keep([Outgoing.of(report)], [pilot.job]))
        if judgement is Judgement.NEWS:
            self.messages.append(report)
        if said in ("finished", "failed"):
            pilot.job = None

    def expire(self, which: int) -> None:
        """A claim's time is up, and somebody says so."""
        query = "SELECT job_id, version FROM job WHERE site = %s AND state = 'sent' ORDER BY job_id"
        sent = self.database.rows(query, (self.site,))
        if sent:
            job_id, version = sent[which % len(sent)]
            past = "UPDATE job SET deadline_at = now() - interval '1 s' WHERE job_id = %s"
            self.database.execute(past, (job_id,))
            self.messages.append(DeadlinePassed(job_id=job_id, state=State.SENT, version=version))

    def watch(self, which: int) -> None:
        """The Watcher handles one message, or all at once."""
        if not self.messages:
            return
        batch = self.messages if which == 0 else [self.messages.pop(which % len(self.messages))]
        self.watcher.handle(*batch)
        if which == 0:
            self.messages = []

    def check(self) -> None:
        """What must hold at every moment."""
        self._no_job_is_lost()
        self._no_pilot_has_two()
        self._no_job_has_two_pilots()

    def _no_job_is_lost(self) -> None:
        rows = self.database.rows(
            "SELECT j.job_id, j.state, w.job_id IS NOT NULL, coalesce(cardinality(j.left_by), 0), j.holder,"
            " h.job_id IS NOT NULL FROM job j LEFT JOIN job_waiting w USING (job_id)"
            " LEFT JOIN job_heard h USING (job_id) WHERE j.site = %s ORDER BY j.job_id",
            (self.site,),
        )
        assert [job_id for job_id, *_ in rows] == list(self.jobs)
        for _, state, waits, returns, holder, was_heard in rows:
            assert waits == (state == "activated")
            assert (holder is None) == (state == "activated")
            assert returns <= HANDED_OUT_AGAIN
            assert state != "failed" or was_heard or returns == HANDED_OUT_AGAIN

    def _no_pilot_has_two(self) -> None:
        unreported = self.database.rows(
            "SELECT j.node, count(*) FROM job j LEFT JOIN job_heard h USING (job_id)"
            " WHERE j.site = %s AND state = 'sent' AND (h.heard_at IS NULL OR h.heard_at <= j.state_changed_at)"
            " GROUP BY j.node",
            (self.site,),
        )
        named = {pilot.node for pilot in self.pilots if pilot.place is not None}
        assert all(jobs == 1 for node, jobs in unreported if node in named), unreported

    def _no_job_has_two_pilots(self) -> None:
        rows = self.run(self.store.requests.jobs(list(self.jobs)))
        for job_id in self.jobs:
            told = {p.node for p in self.pilots if p.job == job_id}
            row = rows[job_id]
            if row.state not in (State.SENT, State.STARTING, State.RUNNING):
                continue
            live = {node for node in told if self._is_taken(job_id, node, row)}
            assert len(live) <= 1, f"{live} all work on {job_id}"

    def _is_taken(self, job_id: int, node: str, row: Any) -> bool:
        report = PilotReport(job_id=job_id, attempt_nr=1, state="running", attributes={"node": node})
        return judge(report, row, row.holder == HOLDER) is not Judgement.GHOST

    def settle(self) -> None:
        """In the end all messages are handled, and the books are right."""
        while self.messages:
            self.watch(0)
            self.check()
        first, last = self.jobs.start, self.jobs.stop - 1
        gaps = self.database.value(
            "SELECT count(*) FROM (SELECT version - lag(version) OVER (PARTITION BY job_id ORDER BY version) AS grown"
            " FROM job_history WHERE job_id BETWEEN %s AND %s) AS steps WHERE grown <> 1",
            (first, last),
        )
        assert gaps == 0
        counted = "SELECT state, sum(jobs)::int FROM job_count WHERE site = %s GROUP BY state HAVING sum(jobs) <> 0"
        found = dict(self.database.rows(counted, (self.site,)))
        found["activated"] = found.get("activated", 0) + JOBS  # that they came is not counted here
        there = self.database.rows("SELECT state, count(*)::int FROM job WHERE site = %s GROUP BY state", (self.site,))
        assert {state: jobs for state, jobs in found.items() if jobs} == dict(there)
        assert self.database.value("SELECT count(*) FROM dead_letter") == 0


NUMBER = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("acquire"), NUMBER, st.booleans()),
    st.tuples(st.just("notice"), NUMBER),
    st.tuples(st.just("report"), NUMBER, st.sampled_from(["starting", "running", "finished"])),
    st.tuples(st.just("expire"), NUMBER),
    st.tuples(st.just("watch"), NUMBER),
)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_in_any_order(database_url: str, database: Database, serve: Serve) -> None:
    watcher = serve(Watcher(TableLimits({}, {})))
    numbers = count(1)
    with asyncio.Runner() as runner:
        store = GatewayStore(database_url, 4, 20, TableLimits({}, {}))
        runner.run(store.open())

        @settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(st.lists(STEP, min_size=5, max_size=30))
        def play(steps: list[tuple[Any, ...]]) -> None:
            world = World(database, store, watcher, runner, next(numbers))
            for name, *arguments in steps:
                getattr(world, name)(*arguments)
                world.check()
            world.settle()

        try:
            play()
        finally:
            runner.run(store.close())
