"""Destination blocks that are named again: by programs of before, by batches at once, by jobs that go nowhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from panda_fsm.blocks.states import BlockKind
from panda_fsm.effects import Effects
from panda_fsm.outcomes import NewBlock
from sql.duty import WorkerSession
from sql.retention import Retention
from tests import factories
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.polling import wait_until

TOP, LOG_TOP = "user.lab.output.block", "user.lab.log.block"
FIRST = "a.block"
"""Before the others by its name."""
INSERT = "INSERT INTO data_block (name, kind, vo) VALUES (%s, 'destination', 'else')"
BLOCKS = "SELECT name, status, closes FROM data_block ORDER BY name"


@pytest.fixture
def write(serve: Serve) -> Callable[[Effects], None]:
    """Writes effects of a batch while a job of the task is not set up yet."""
    creator = serve(Creator())
    creator.handle(factories.submit(factories.draft(1, is_jedis=True)))

    def written(effects: Effects) -> None:
        with creator.store.transaction() as tx:
            tx.write(effects)

    return written


def test_blocks_are_created_in_one_order(
    write: Callable[[Effects], None], database: Database, database_url: str
) -> None:
    """Those of jobs that are set up and those of jobs that never will be: else two batches wait for each other."""
    block = NewBlock(FIRST, BlockKind.DESTINATION, vo="lab", closes=True)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as another:
        another.execute(INSERT, (FIRST,))
        writing = pool.submit(write, Effects(blocks={FIRST: block}, never_set_up={1}))
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        wait_until(lambda: database.rows(waiting), "it waits for the block that another creates")
        another.execute(INSERT, (LOG_TOP,))
        another.rollback()
        writing.result()
    assert database.rows(BLOCKS) == [(name, "defined", True) for name in (FIRST, LOG_TOP, TOP)]


def test_a_block_that_a_program_of_before_named_closes_with_jobs_that_were_never_set_up(
    write: Callable[[Effects], None], database: Database
) -> None:
    """One that is closed stays so: nothing is to come."""
    insert = "INSERT INTO data_block (name, kind, status, vo, closes) VALUES (%s, 'destination', %s, 'lab', %s)"
    database.execute(insert, (TOP, "running", False))
    database.execute(insert, (LOG_TOP, "closed", True))
    write(Effects(never_set_up={1}))
    assert database.rows(BLOCKS) == [(LOG_TOP, "closed", True), (TOP, "running", True)]


@pytest.mark.usefixtures("write")
def test_a_block_that_a_job_is_to_be_set_up_for_is_not_forgotten(database: Database, database_url: str) -> None:
    """It knows how many files of before were in it."""
    for name in (TOP, LOG_TOP, "idle", "closed"):
        database.execute(INSERT, (name,))
    database.execute("UPDATE data_block SET created_at = now() - interval '31 days'")
    database.execute("UPDATE data_block SET closed_at = created_at WHERE name = ANY(%s)", ([LOG_TOP, "closed"],))
    for kind in ("blocks", "idle_blocks"):
        forgetting = Retention(WorkerSession(database_url, 30), kind)
        assert forgetting.forget(30, 100) == 1
        forgetting.close()
    assert [name for name, *_ in database.rows(BLOCKS)] == [LOG_TOP, TOP]
