"""Plays submitter and pilots without HTTP: requests by the broker, the claim by SQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

from broker.publish import BrokerPublisher
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import Message
from tests import factories

# What the gateway's claim does, in its simplest form; the real one has tests of its own.
_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT w.job_id FROM job_waiting w JOIN job j ON j.job_id = w.job_id WHERE w.site = %(site)s
    ORDER BY w.priority DESC, w.job_id LIMIT %(wanted)s FOR UPDATE OF w, j SKIP LOCKED
), taken AS (
    DELETE FROM job_waiting w USING picked p WHERE w.job_id = p.job_id
), moved AS (
    UPDATE job j SET state = 'sent', version = j.version + 1, holder = %(holder)s, modified_at = now(),
        state_changed_at = now(), deadline_at = now() + interval '30 min', waits_for = NULL
    FROM picked p WHERE j.job_id = p.job_id RETURNING j.job_id, j.version, j.site, j.vo
), sooner AS (
    UPDATE job_deadline d SET deadline_at = now() + interval '30 min'
    FROM moved m WHERE d.job_id = m.job_id AND d.deadline_at > now() + interval '30 min'
), noted AS (
    INSERT INTO job_history (job_id, version, transition_id, service, host)
    SELECT m.job_id, m.version, t.transition_id, 'gateway', 'test' FROM moved m, job_transition t
    WHERE t.event = 'acquired'
), counted AS (
    INSERT INTO job_count (state, site, vo, jobs)
    SELECT c.state, m.site, m.vo, sum(c.change) FROM moved m, (VALUES ('activated', -1), ('sent', 1)) c (state, change)
    GROUP BY 1, 2, 3
)
SELECT job_id FROM moved"""
HOLDER = "test-pilot"


class Database:
    """The test's own connection, made anew when the server was restarted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises psycopg.OperationalError while the server is away."""
        return self._run(query, parameters).fetchall()

    def execute(self, query: str, parameters: Any = None) -> int:
        """Change rows; how many."""
        return self._run(query, parameters).rowcount

    def _run(self, query: str, parameters: Any) -> psycopg.Cursor[Any]:
        if self._connection is not None and not self._connection.closed:
            try:
                return self._connection.execute(query.encode(), parameters)
            except psycopg.OperationalError:
                if not self._connection.closed:
                    raise
        self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        return self._connection.execute(query.encode(), parameters)

    def value(self, query: str, parameters: Any = None) -> Any:
        """The first column of the first row."""
        return self.rows(query, parameters)[0][0]

    def states(self) -> dict[str, int]:
        """Jobs per state."""
        return dict(self.rows("SELECT state, count(*) FROM job GROUP BY state"))

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()


class Driver:
    """Submits jobs; `with driver.pilots():` claims and reports them, as fast as they come, in a thread.

    Nothing is lost by us: what the broker did not confirm is published again, and a claim whose answer was
    lost with the connection is looked up by the name of its holder.
    """

    def __init__(self, database_url: str, broker_url: str, queue_storage: Path) -> None:
        self.database = Database(database_url)
        self._claims = Database(database_url)
        self._storage = queue_storage
        self._publisher = BrokerPublisher(broker_url, "driver")
        self._publisher.start()
        self.fails: Callable[[int], bool] = lambda job_id: False
        self._stop = threading.Event()
        self._held: set[int] = set()
        self._thread: threading.Thread | None = None
        self.trouble: BaseException | None = None

    def publish(self, messages: Iterable[Message], timeout_s: float = 60.0) -> None:
        """Publish until the broker confirmed all."""
        left = [Outgoing.of(message) for message in messages]
        deadline = time.monotonic() + timeout_s
        while left:
            confirmed = {message.message_id for message in self._publisher.publish(left, 5.0).confirmed}
            left = [message for message in left if message.message_id not in confirmed]
            assert time.monotonic() < deadline, f"{len(left)} messages not confirmed"

    def submit(self, drafts: Sequence[JobDraft], bunch: int = 50) -> None:
        """Submit jobs in bunches."""
        self.publish(factories.submit(*drafts[at : at + bunch]) for at in range(0, len(drafts), bunch))

    def claim(self, wanted: int = 50, site: str = factories.QUEUE) -> list[int]:
        """Hand out waiting jobs."""
        parameters = {"site": site, "wanted": wanted, "holder": HOLDER}
        return [job_id for (job_id,) in self._claims.rows(_CLAIM, parameters)]

    def run(self, job_ids: Sequence[int]) -> None:
        """Run jobs as a pilot: outputs onto the storage of the queue, then the reports."""
        reports = []
        for job_id in job_ids:
            for lfn in factories.output_lfns(job_id):
                factories.store_file(self._storage, lfn)
            last = "failed" if self.fails(job_id) else "finished"
            reports += [factories.report(job_id, state) for state in ("starting", "running", last)]
        self.publish(reports)

    def pilots(self) -> Self:
        """Pilots that work until the `with` block ends; may be entered again."""
        return self

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, name="pilots", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Pilots finish what they hold: a report stays in a pilot's hands until it is confirmed."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(90)
        assert not self._thread.is_alive(), "the pilots do not end"
        if self.trouble is not None:
            raise AssertionError(f"the pilots failed: {self.trouble!r}") from self.trouble

    def close(self) -> None:
        """Close all connections."""
        self._publisher.stop()
        self.database.close()
        self._claims.close()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    jobs = self.claim() or self._forgotten()
                except psycopg.OperationalError:
                    jobs = []  # the database is away: a pilot asks again
                if jobs:
                    self.run(jobs)
                    self._held.update(jobs)
                else:
                    self._stop.wait(0.02)
        except BaseException as error:
            self.trouble = error

    def _forgotten(self) -> list[int]:
        """Jobs of a claim that was committed while the connection broke, so that we never saw the answer."""
        query = "SELECT job_id FROM job WHERE state = 'sent' AND holder = %s AND site = %s"
        found = self._claims.rows(query, (HOLDER, factories.QUEUE))
        return [job_id for (job_id,) in found if job_id not in self._held]
