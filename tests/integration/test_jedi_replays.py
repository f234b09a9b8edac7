"""Present states for a JEDI that missed something: since a number, of a task, of jobs; in pages, while jobs change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from jedi.status import body
from panda_fsm.effects import Effects
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.statuses import Page
from sql.jedi_statuses import Replays
from sql.store import PostgresStore
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.inprocess import Serve, put
from tests.integration.test_jedi_messages import CAUSE
from tests.integration.test_process import Creator

IDS = list(range(1, 11))
"""Of JEDI's jobs: in task 1 the odd ones, in task 2 the even ones; another one of task 1 is nobody's of JEDI."""
OTHERS = 99


@pytest.fixture
def store(serve: Serve) -> PostgresStore:
    """The jobs, all defined: their numbers are their ids."""
    creator = serve(Creator())
    drafts = [factories.draft(n, task_id=1 if n % 2 else 2, is_jedis=True) for n in IDS]
    creator.handle(factories.submit(*drafts, factories.draft(OTHERS, task_id=1)))
    return creator.store


@pytest.fixture
def replays(database_url: str) -> Iterator[Replays]:
    one = Replays(database_url, 30)
    yield one
    one.close()


def step(store: PostgresStore, trigger: Trigger, *job_ids: int) -> None:
    effects = Effects()
    for job in store.load(job_ids, files=True, report=False).values():
        effects.step(job, trigger, CAUSE, None)
    with store.transaction() as tx:
        tx.write(effects)


def told(page: Page) -> list[tuple[Any, ...]]:
    return [(one["jobid"], one["seq"], one["status"]) for one in map(body, page.jobs)]


def long_ago(database: Database) -> None:
    """What was said so far was said an hour apart."""
    database.execute("UPDATE jedi_job SET changed_at = changed_at - (11 - seq) * interval '1 hour'")


def test_since_a_number_come_those_that_were_told_of_later_as_they_are_now(
    store: PostgresStore, replays: Replays, database: Database
) -> None:
    long_ago(database)
    step(store, Trigger.INPUTS_UNKNOWN, 3, 4)
    step(store, Trigger.INPUTS_AT_SITE, 4)
    page = replays.since("lab", 10, None, 100)
    assert (told(page), page.after) == ([(10, 10, "defined"), (3, 11, "waiting"), (4, 13, "activated")], None)
    assert told(replays.since("else", 10, None, 100)) == []
    assert len(replays.since("lab", 0, None, 100).jobs) == len(IDS)
    assert told(replays.since("lab", 13, None, 100)) == told(page)[1:], "what came later may have had its number before"


def test_a_number_that_was_given_early_and_committed_late_is_not_missed(
    store: PostgresStore, replays: Replays, database: Database, database_url: str
) -> None:
    """Job 5 had its number before job 6, and JEDI has heard of job 6 since."""
    long_ago(database)
    with psycopg.connect(database_url) as slow:
        slow.execute(
            "INSERT INTO jedi_message (vo, task_id, job_id, version, state, service)"
            " VALUES ('lab', 1, 5, 2, 'waiting', 'setupper')"
        )
        step(store, Trigger.INPUTS_UNKNOWN, 6)
        slow.execute("UPDATE jedi_job SET seq = 11, changed_at = now() WHERE job_id = 5")
        slow.execute("UPDATE job SET state = 'waiting', version = 2 WHERE job_id = 5")
    assert told(replays.since("lab", 12, None, 100)) == [(5, 11, "waiting"), (6, 12, "waiting")]


def test_pages_hold_while_jobs_change(store: PostgresStore, replays: Replays, database: Database) -> None:
    """Who moves on between two pages may be in neither, for he is told of anyway; nobody else is missed."""
    seen: list[int] = []
    after: str | None = None
    for _ in range(20):
        page = replays.since("lab", 0, after, 3)
        seen += [one.job_id for one in page.jobs if one.job_id is not None]
        after = page.after
        if after is None:
            break
        step(store, Trigger.INPUTS_UNKNOWN, seen[-1] + 1, seen[0])
    assert after is None
    left = {job_id for (job_id,) in database.rows("SELECT job_id FROM jedi_job WHERE seq <= 10")}
    assert left <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_task_comes_whole_live_or_archived_with_what_became_of_its_files(
    store: PostgresStore, replays: Replays, database: Database, clock: Clock
) -> None:
    put(database, (1, 3), State.FINISHED)
    database.execute("UPDATE job_file SET status = 'ready' WHERE job_id = ANY('{1,3}')")
    database.execute("UPDATE job_deadline SET ended = true, deadline_at = now() WHERE job_id = 1")
    database.execute("UPDATE job SET deadline_at = now() WHERE job_id = 1")
    clock.round("archive")
    assert database.value("SELECT count(*) FROM job_archive") == 1
    first = replays.of_task("lab", 1, None, 3)
    second = replays.of_task("lab", 1, first.after, 3)
    assert told(first) == [(1, 1, "finished"), (3, 3, "finished"), (5, 5, "defined")]
    assert (told(second), second.after) == ([(7, 7, "defined"), (9, 9, "defined")], None)
    for one in map(body, first.jobs[:2]):
        assert (one["final"], [file["status"] for file in one["files"]]) == (True, ["finished"] * 3)
    assert replays.of_task("lab", 12345, None, 3) == Page([], None)


def test_jobs_come_by_their_ids_and_none_that_is_not_jedis(store: PostgresStore, replays: Replays) -> None:
    step(store, Trigger.INPUTS_UNKNOWN, 2)
    asked = [4, 2, 2, OTHERS, 4711]
    first = replays.of_jobs("lab", asked, None, 1)
    assert (told(first), first.after) == ([(2, 11, "waiting")], "2")
    assert told(replays.of_jobs("lab", asked, first.after, 10)) == [(4, 4, "defined")]
    assert told(replays.of_jobs("else", asked, None, 10)) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("after", ["", "x", "1-2-3", "-1", "9" * 30])
def test_a_place_that_was_never_named_is_refused(replays: Replays, after: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        replays.since("lab", 0, after, 3)
    with pytest.raises(ValueError, match="no place"):
        replays.of_task("lab", 1, f"{after}-5" if after.isdecimal() else after, 3)
