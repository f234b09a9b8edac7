"""A row that somebody holds holds up nobody else: not the archive, nor what is forgotten, nor counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from panda_fsm.jobs.states import State
from periodic import retention
from sql.counts import Counts
from sql.retention import Retention
from tests import factories
from tests.clockwork import Clock, appointment_s, enter
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator

SHORT_S = 2
"""How long a statement may take here; a tenth of it is waited for a row."""
IDS = range(1, 21)
FREE = list(IDS[2:])


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..20, which ended two days ago; the outputs of 1 and 2 are in an open destination block."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    enter(database, IDS, State.FINISHED, 2 * 86400, deadline_at="-1 s")
    for statement in (
        "UPDATE job_file SET status = 'ready'",
        "INSERT INTO data_block (name, kind) VALUES ('home', 'destination')",
        "UPDATE job_file SET block_id = (SELECT block_id FROM data_block) WHERE type = 'output' AND job_id IN (1, 2)",
        "INSERT INTO job_heard SELECT job_id, now() FROM job",
        "INSERT INTO job_told SELECT job_id, 'debug', gen_random_uuid() FROM job",
        "INSERT INTO seat (place, job_id, version) SELECT gen_random_uuid(), job_id, 1 FROM job",
        "INSERT INTO job_upstream (job_id, upstream_id) SELECT job_id, job_id + 100 FROM job",
    ):
        database.rows(f"{statement} RETURNING 1")
    return database


@contextmanager
def held(database_url: str, rows: str) -> Iterator[psycopg.Connection]:
    """Somebody holds these rows."""
    with psycopg.connect(database_url) as other:
        assert other.execute(f"SELECT FROM {rows} FOR UPDATE".encode()).rowcount
        yield other


@pytest.mark.parametrize(
    ("rows", "stay"),
    [(f"{table} WHERE job_id = 1", [1]) for table in ("job", "job_file", "job_spec", "job_heard", "job_told", "seat")]
    + [("job_upstream WHERE job_id = 1", [1]), ("data_block", [1, 2])],
)
def test_others_are_archived(jobs: Database, database_url: str, rows: str, stay: list[int]) -> None:
    clock = Clock(database_url, timeout_s=SHORT_S)
    with held(database_url, rows):
        clock.slice("archive")
        assert [job_id for (job_id,) in jobs.rows("SELECT job_id FROM job ORDER BY 1")] == stay
        assert 0 < appointment_s(jobs, 1) <= 10
        assert jobs.rows("SELECT trouble FROM job_deadline WHERE trouble IS NOT NULL") == []
    jobs.rows("UPDATE job_deadline SET deadline_at = now() RETURNING 1")
    clock.round("archive")
    assert jobs.value("SELECT count(*) FROM job") == 0
    clock.close()


def test_other_blocks_are_forgotten(database: Database, database_url: str) -> None:
    """The number of files of what is forgotten goes to destination blocks; one of them is held."""
    database.rows(
        "INSERT INTO data_block (name, kind) SELECT n, 'destination' FROM unnest(ARRAY['held', 'free']) n RETURNING 1"
    )
    database.rows(
        """INSERT INTO data_block (name, kind, status, parent, closed_at, number_files)
           SELECT parent || n, 'sub', 'closed', parent, now() - interval '200 days', 2
           FROM unnest(ARRAY['held', 'free', 'gone', '']) AS parent, generate_series(1, 2) n RETURNING 1"""
    )
    duty = retention.duty("blocks", Retention(database_url, "blocks", SHORT_S), 90)
    with held(database_url, "data_block WHERE name = 'held'"):
        duty.run()
        names = [name for (name,) in database.rows("SELECT name FROM data_block ORDER BY 1")]
        assert names == ["free", "held", "held1", "held2"]
    duty.run()
    assert database.rows("SELECT name, gone_files FROM data_block ORDER BY 1") == [("free", 4), ("held", 4)]
    duty.rest()


def test_other_counts_are_folded(database: Database, database_url: str) -> None:
    database.rows("INSERT INTO job_count SELECT 'running', 's', 'v', 1 FROM generate_series(1, 30) RETURNING 1")
    counts = Counts(database_url, SHORT_S)
    with held(database_url, "job_count WHERE ctid = '(0,1)'"):
        counts.fold(1000, 10)
        assert database.rows("SELECT jobs FROM job_count ORDER BY 1") == [(1,), (29,)]
    counts.close()
