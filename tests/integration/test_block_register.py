"""Blocks and the DDM: closed there, deleted there once nobody uses them, and asked about again."""

from __future__ import annotations

import pytest

from consumers.closer import Closer
from consumers.setupper import Setupper
from panda_fsm.messages import CheckBlock, SettleBlock
from panda_fsm.sites import Sites
from plugins.ddm.blocks import LocalBlocks
from plugins.experiments.registry import IsolatedExperiments
from sql.duty import WorkerSession
from sql.retention import Retention
from tests import factories
from tests.clockwork import Clock, said
from tests.driver import Database
from tests.inprocess import InProcess, Serve


@pytest.fixture
def ddm(serve: Serve) -> InProcess:
    """The DDM's hand for blocks; where it keeps them is none of these tests' business."""
    return serve(LocalBlocks(Sites()))


@pytest.fixture
def closed(serve: Serve, registry: IsolatedExperiments, database: Database) -> InProcess:
    """The Closer, which has closed the sub blocks of a job that waits for its input."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1, inputs=("far.csv",))))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    database.rows("UPDATE job_file SET status = 'ready' RETURNING 1")
    closer = serve(Closer())
    closer.handle(CheckBlock(job_id=1))
    said(database)
    return closer


def statuses(database: Database) -> dict[str, int]:
    """How many blocks of jobs are in each status."""
    return dict(
        database.rows("SELECT status, count(*) FROM data_block WHERE kind <> 'destination' GROUP BY 1 ORDER BY 1")
    )


def asked(clock: Clock, database: Database) -> list[str]:
    """What the DDM is asked by the daemon."""
    clock.round("settled_blocks")
    messages = said(database)
    assert all(isinstance(message, SettleBlock) for message in messages)
    return [message.status for message in messages if isinstance(message, SettleBlock)]


def test_a_block_is_closed_cleaned_up_and_deleted(
    closed: InProcess, ddm: InProcess, database: Database, clock: Clock
) -> None:
    """A dispatch block is completed when its files are there; the DDM knows it as it is."""
    assert statuses(database) == {"completed": 1, "tobeclosed": 2}
    asking = closed.outlet.messages("block.settle")
    for _ in range(2):
        ddm.handle(*asking)
        assert statuses(database) == {"completed": 3}
    database.rows("UPDATE data_block SET closed_at = now() - interval '1 h' RETURNING 1")
    assert asked(clock, database) == [], "the job lives"
    database.rows("DELETE FROM job_file RETURNING 1")
    clock.round("settled_blocks")
    deleting = said(database)
    assert statuses(database) == {"cleanup": 3}
    ddm.handle(*deleting, *asking)
    assert statuses(database) == {"deleted": 3}
    assert asked(clock, database) == []


def test_inputs_that_are_there_are_kept_in_a_block_that_nobody_waits_for(
    serve: Serve, registry: IsolatedExperiments, ddm: InProcess, database: Database, clock: Clock
) -> None:
    """It is completed when it is made, and deleted when no live job needs its files."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1, label="managed"), factories.draft(2, label="managed")))
    for _ in range(2):
        setupper.handle(*setupper.outlet.messages("job.defined"))
    assert database.states() == {"activated": 2}
    pins = "SELECT status, number_files FROM data_block WHERE kind = 'dispatch'"
    assert database.rows(pins) == [("completed", 2)]
    assert database.value("SELECT count(*) FROM job_file f JOIN data_block USING (block_id) WHERE type = 'input'") == 2
    database.execute("UPDATE data_block SET closed_at = now() - interval '1 h' WHERE kind = 'dispatch'")
    assert asked(clock, database) == [], "the jobs live"
    database.execute("DELETE FROM job_file WHERE type = 'input'")
    clock.round("settled_blocks")
    ddm.handle(*said(database))
    assert database.rows(pins) == [("deleted", 2)]


def test_what_the_ddm_did_not_answer_is_asked_again(
    closed: InProcess, ddm: InProcess, database: Database, clock: Clock
) -> None:
    assert asked(clock, database) == []
    database.rows("UPDATE data_block SET asked_at = now() - interval '2 h' RETURNING 1")
    assert asked(clock, database) == ["closed", "closed"]
    assert asked(clock, database) == [], "not before another hour"
    ddm.handle(*closed.outlet.messages("block.settle"))
    database.rows("UPDATE data_block SET status = 'cleanup', asked_at = now() - interval '2 h' RETURNING 1")
    assert set(asked(clock, database)) == {"deleted"}
    for hours, words in ((2, set()), (25, {"deleted"})):
        past = "closed_at = now() - interval '9 d', asked_at = now() - make_interval(hours => %s)"
        database.rows(f"UPDATE data_block SET {past} RETURNING 1", (hours,))  # noqa: S608
        assert set(asked(clock, database)) == words, "once a day, while nobody answers for days"


@pytest.mark.parametrize("status", ["closed", "completed", "cleanup", "tobeclosed"])
def test_what_users_named_is_theirs_whatever_became_of_it(database: Database, clock: Clock, status: str) -> None:
    """Only blocks of ours are deleted at the DDM."""
    named = "INSERT INTO data_block (name, kind, status, closed_at, asked_at) VALUES ('user.ann.data', 'destination',"
    database.execute(f"{named} %s, now() - interval '9 d', now() - interval '8 d')", (status,))
    assert asked(clock, database) == []
    assert database.rows("SELECT status FROM data_block") == [(status,)]


def test_a_block_is_forgotten_once_the_ddm_is_done_with_it(database: Database, database_url: str) -> None:
    """However long that is away."""
    old = "INSERT INTO data_block (name, kind, status, closed_at) VALUES (%s, 'sub', %s, now() - interval '91 d')"
    for status in ("tobeclosed", "completed", "cleanup", "deleted", "closed"):
        database.execute(old, (status, status))
    forgetting = Retention(WorkerSession(database_url, 30), "blocks")
    forgetting.forget(90, 100)
    forgetting.close()
    assert set(database.rows("SELECT name FROM data_block")) == {("tobeclosed",), ("completed",), ("cleanup",)}
