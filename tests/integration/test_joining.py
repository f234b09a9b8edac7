"""Files join open blocks only, however late their jobs come and whoever closes the block meanwhile."""

from __future__ import annotations

import threading
import time

import psycopg

from consumers.closer import Closer
from consumers.setupper import Setupper
from panda_fsm import delays
from panda_fsm import messages as events
from panda_fsm.trouble import IN_A_ROW
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.driver import Database
from tests.inprocess import InProcess, Serve
from tests.polling import wait_until


def set_up(serve: Serve, registry: IsolatedExperiments, job_id: int) -> InProcess:
    """A Setupper that created and set up one job."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(job_id)))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    return setupper


def blocks_of(database: Database, job_id: int) -> set[tuple[str, str]]:
    """Names and statuses of the blocks that the job's files are in."""
    query = "SELECT DISTINCT b.name, b.status FROM job_file f JOIN data_block b USING (block_id) WHERE f.job_id = %s"
    return {(name, status) for name, status in database.rows(query, (job_id,))}


def test_a_late_file_never_enters_a_closed_block(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """Jobs of one bunch share a block; one comes when the block is closed already, and gets the next."""
    set_up(serve, registry, 1)
    database.rows("UPDATE job_file SET status = 'ready' RETURNING 1")
    serve(Closer()).handle(events.CheckBlock(job_id=1))
    first = blocks_of(database, 1)
    assert {status for _, status in first} == {"tobeclosed"}
    set_up(serve, registry, 2)
    second = blocks_of(database, 2)
    assert {status for _, status in second} == {"defined"}
    assert first.isdisjoint(second)
    set_up(serve, registry, 3)
    assert blocks_of(database, 3) == second, "while it is open the bunch goes on in it"
    assert database.states() == {"activated": 3}


def test_a_block_is_not_closed_over_a_file_that_is_just_joining(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    """The Closer found it complete, waits for its lock, and must look again: a snapshot is no proof."""
    set_up(serve, registry, 1)
    database.rows("UPDATE job_file SET status = 'ready' RETURNING 1")
    closer = serve(Closer())
    with psycopg.connect(database_url) as joining:
        joining.execute("SELECT FROM data_block FOR SHARE")
        thread = threading.Thread(target=closer.handle, args=(events.CheckBlock(job_id=1),))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'closer'"
        wait_until(lambda: database.value(waiting), "the Closer at the lock")
        joining.execute("UPDATE job_file SET status = 'unknown' WHERE type = 'log'")
        joining.commit()
        thread.join(30)
    assert {status for name, status in blocks_of(database, 1) if "log" in name} == {"defined"}
    assert {status for name, status in blocks_of(database, 1) if "output" in name} == {"tobeclosed"}


def test_a_block_that_somebody_holds_holds_up_only_those_that_join_it(
    serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str
) -> None:
    """However many they are: the others go on in the same batch, and nobody waits."""
    held = range(3, 3 + IN_A_ROW + 2)
    drafts = [factories.draft(job_id, blocks_of="held" if job_id in held else "lab") for job_id in range(1, 17)]
    drafts.append(factories.draft(20, blocks_of="held"))
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(drafts[-1]), factories.submit(*drafts[:-1]))
    found = setupper.outlet.messages("job.defined")
    defined = {event.job_id: event for event in found if isinstance(event, events.JobEvent)}
    setupper.handle(defined.pop(20))
    with psycopg.connect(database_url) as holding:
        holding.execute("SELECT FROM data_block WHERE name LIKE '%held%' FOR UPDATE")
        setupper.handle(*defined.values(), retries=1, waiting_since=time.time() - 3600)
        delayed = [message for message in setupper.outlet.taken if message.headers]
        assert {message.exchange for message in delayed} == {delays.exchange(10)}
        assert [message.body for message in delayed] == [defined[job_id].encode() for job_id in held]
        assert all("holds a block" in str(message.headers) for message in delayed)
        assert database.states() == {"activated": 10, "defined": len(held)}
    setupper.handle(*defined.values())
    assert database.states() == {"activated": 17}
    assert database.value("SELECT count(*) FROM dead_letter") == 0
