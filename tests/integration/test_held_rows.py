"""A row that somebody holds holds up nobody else: not the archive, nor what is forgotten, counts, reports or claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import Composed

from consumers.watcher import Watcher
from lab.site import QUEUE
from panda_fsm.claims import Filters
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.errors import HeldError
from panda_fsm.jobs.plain import PlainReport
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob, PilotReport
from panda_fsm.views.dead_letters import Choice, Deed
from periodic import retention
from sql import archive
from sql.appointments import make_appointments_now
from sql.counts import Counts
from sql.dead_letters import DeadLetterBox
from sql.duty import WorkerSession
from sql.gateway_store import GatewayStore
from sql.retention import Retention
from tests import factories
from tests.clockwork import Clock, appointment_s, enter
from tests.driver import Database
from tests.gateway_stores import acquire, given, seated, with_store
from tests.inprocess import LIMITS, Serve
from tests.integration.test_process import Creator
from tests.waiting_jobs import add_jobs

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
def held(database_url: str, rows: str, by: str = "SELECT FROM {} FOR UPDATE") -> Iterator[psycopg.Connection]:
    """Somebody holds these rows, or does something else with them."""
    with psycopg.connect(database_url) as other:
        assert other.execute(by.format(rows).encode()).rowcount
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


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch, database_url: str) -> list[list[int]]:
    """The jobs of each try to archive. Before each, whatever files and blocks nobody else holds are free."""
    seen: list[list[int]] = []
    move = archive._execute

    def look_and_move(connection: psycopg.Connection, query: Composed, job_ids: Sequence[int]) -> None:
        seen.append(list(job_ids))
        with psycopg.connect(database_url) as other:
            other.execute("SELECT FROM job_file WHERE job_id > 1 FOR UPDATE NOWAIT")
            other.execute("SELECT FROM data_block FOR UPDATE NOWAIT")
        move(connection, query, job_ids)

    monkeypatch.setattr(archive, "_execute", look_and_move)
    return seen


def test_who_looks_for_held_rows_holds_none(jobs: Database, database_url: str, tries: list[list[int]]) -> None:
    """The others wait for something else: an archive that held files and blocks meanwhile would hold up reports."""
    clock = Clock(database_url, timeout_s=SHORT_S)
    with held(database_url, "job_file WHERE job_id = 1"):
        clock.slice("archive")
        assert [job_id for (job_id,) in jobs.rows("SELECT job_id FROM job")] == [1]
    assert tries == [list(IDS), list(IDS[1:])]
    clock.close()


def test_a_table_that_is_locked_is_no_jobs_fault(jobs: Database, database_url: str, tries: list[list[int]]) -> None:
    """`partitions repair`, say: it is waited for once, not with each half of the slice, and tried again later."""
    clock = Clock(database_url, timeout_s=SHORT_S)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE job_archive IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(HeldError):
            clock.slice("archive")
    assert tries == [list(IDS)]
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
    duty = retention.duty("blocks", Retention(WorkerSession(database_url, SHORT_S), "blocks"), 90)
    with held(database_url, "data_block WHERE name = 'held'"):
        duty.run()
        names = [name for (name,) in database.rows("SELECT name FROM data_block ORDER BY 1")]
        assert names == ["free", "held", "held1", "held2"]
    duty.run()
    assert database.rows("SELECT name, gone_files FROM data_block ORDER BY 1") == [("free", 4), ("held", 4)]
    duty.rest()


def test_other_counts_are_folded(database: Database, database_url: str) -> None:
    database.rows("INSERT INTO job_count SELECT 'running', 's', 'v', 1 FROM generate_series(1, 30) RETURNING 1")
    counts = Counts(WorkerSession(database_url, SHORT_S))
    with held(database_url, "job_count WHERE ctid = '(0,1)'"):
        counts.fold(1000, 10)
        assert database.rows("SELECT jobs FROM job_count ORDER BY 1") == [(1,), (29,)]
    counts.close()


def test_other_appointments_are_made_now(jobs: Database, database_url: str) -> None:
    enter(jobs, FREE, State.HOLDING)
    with held(database_url, "job_deadline WHERE job_id = 7"):
        assert make_appointments_now(database_url, SHORT_S) == (len(FREE) - 1, 0)
    assert make_appointments_now(database_url, SHORT_S) == (len(FREE), 0)


def test_other_dead_letters_are_settled(database: Database, database_url: str) -> None:
    database.rows(
        """INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)
           SELECT 'watcher', '', '', '', '{}', '', '' FROM generate_series(1, 150) RETURNING 1"""
    )
    box = DeadLetterBox(database_url)
    with held(database_url, "dead_letter WHERE dead_letter_id < 102"):
        assert box.settle(Choice(), "discarded", Deed("somebody")).letters == 49
    assert box.settle(Choice(), "discarded", Deed("somebody")).letters == 101
    box.close()


def test_who_has_waited_in_vain_does_not_wait_as_long_again(serve: Serve, jobs: Database, database_url: str) -> None:
    """A batch that is bisected would with each of its parts; and the held message comes again, with others."""
    enter(jobs, FREE, State.SENT)
    watcher = serve(Watcher(LIMITS), timeout_s=SHORT_S)
    said = [factories.report(number, "starting") for number in FREE]
    waits = []
    jobs.rows(
        "INSERT INTO request (message_id, routing_key, body) VALUES (%s, '', '') RETURNING 1", (said[0].message_id,)
    )
    with held(database_url, "request"):
        for _ in range(2):
            with watcher.store.transaction() as tx:
                waits += tx._connection.execute("SHOW lock_timeout").fetchall()
            watcher.handle(*said)
    assert waits == [("200ms",), ("100ms",)]
    assert jobs.value("SELECT count(*) FROM job WHERE state = 'starting'") == len(FREE) - 1


@pytest.mark.parametrize("by", ["SELECT FROM {} FOR UPDATE", "DELETE FROM {}"])
def test_other_pilots_are_heard(database_url: str, database: Database, by: str) -> None:
    """Nor is a report of that pilot refused: when it was heard is being written just now."""
    add_jobs(database_url, range(1, 4), state="running", holder="iss|pilot")
    database.rows("INSERT INTO job_heard SELECT job_id, 'epoch' FROM job WHERE job_id < 3 RETURNING 1")
    said = [PilotReport(job_id=n, state=state) for n in (1, 2, 3) for state in ("running", "finished")]
    kill = Outgoing.of(KillJob(job_id=1))

    async def scene(store: GatewayStore) -> None:
        taken = await store.requests.keep_plain([PlainReport.of(report, "iss|pilot") for report in said])
        assert None not in taken
        await store.requests.keep([kill], [1, 4])
        await store.requests.keep([kill], [1, 5], [AuditRow("somebody", "kill", "1", {})])
        await store.requests.hear([1, 6])

    with held(database_url, "job_heard WHERE job_id = 1", by) as other:
        with_store(database_url, scene)
        other.rollback()
    fresh = database.rows("SELECT job_id FROM job_heard WHERE heard_at > now() - interval '1 min' ORDER BY 1")
    assert fresh == [(2,), (3,), (4,), (5,), (6,)]
    assert database.value("SELECT count(*) FROM request") == 4


@pytest.mark.parametrize("has_spoken", [False, True])
def test_other_pilots_get_jobs(database_url: str, database: Database, has_spoken: bool) -> None:
    add_jobs(database_url, range(1, 5))
    mine, others = seated(str(uuid4())), [seated(str(uuid4())) for _ in range(2)]

    async def scene(store: GatewayStore) -> None:
        assert await acquire(store, mine) == [1]
        if has_spoken:
            await store.requests.hear([1])
        with held(database_url, "seat"):
            claim = await store.claims.claim(Filters(QUEUE), [others[0], mine, others[1]])
        assert [job and job.job_id for job in claim.jobs] == [2, None, 3]
        assert claim.held == {mine.cause}, "it is not told that there are no jobs"

    with_store(database_url, scene)


def test_jobs_of_others_are_given_back(database_url: str, database: Database) -> None:
    add_jobs(database_url, range(1, 4))
    first, second = seated(str(uuid4())), seated(str(uuid4()))

    async def scene(store: GatewayStore) -> None:
        both = [await given(store, first), await given(store, second)]
        with held(database_url, f"seat WHERE place = '{first.place}'"):
            back = await store.claims.give_back(both)
        assert len(back.events) == len(back.locked) == 1
        assert (await store.claims.give_back(both[:1])).locked == frozenset()

    with_store(database_url, scene)
    assert database.states() == {"activated": 3}
