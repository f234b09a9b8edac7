"""What JEDI is to be told: one row a step of each of its jobs, in the step's transaction, in the order of the steps."""

from __future__ import annotations

from typing import Any

import pytest

from lab.site import QUEUE
from panda_fsm.blocks.states import BlockKind
from panda_fsm.claims import Filters, SiteAsks
from panda_fsm.codes import Verdict
from panda_fsm.effects import Effects
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB, Trigger
from panda_fsm.outcomes import NewBlock
from sql.activity import Activity
from sql.duty import WorkerSession
from sql.gateway_store import GatewayStore
from sql.store import PostgresStore
from tests import factories
from tests.driver import Database
from tests.gateway_stores import acquire, given, seat, with_store
from tests.inprocess import InProcess, Serve, put
from tests.integration.test_process import Creator

STEPS = [row for row in JOB.rows() if row[1] is not None]
TOLD = "SELECT job_id, version, prev, state, service FROM jedi_message WHERE kind = 'job_status' ORDER BY seq"
CAUSE = "00000000-0000-0000-0000-000000000001"
LAST = "SELECT job_id FROM jedi_job j WHERE seq <> (SELECT max(seq) FROM jedi_message m WHERE m.job_id = j.job_id)"


def created(serve: Serve, count: int, **fields: Any) -> InProcess:
    """A service that created JEDI's jobs 1..count, and as many of others."""
    creator = serve(Creator())
    drafts = [factories.draft(n, is_jedis=True, vo="lab", task_id=4711, **fields) for n in range(1, count + 1)]
    creator.handle(factories.submit(*drafts, *(factories.draft(1000 + n, **fields) for n in range(1, count + 1))))
    return creator


def write(store: PostgresStore, effects: Effects) -> None:
    with store.transaction() as tx:
        tx.write(effects)


def test_each_step_of_the_table_is_told_of_jedis_jobs_and_of_no_others(serve: Serve, database: Database) -> None:
    """All of them in one batch."""
    store = created(serve, len(STEPS)).store
    born = database.rows(TOLD)
    assert [row[:4] for row in born] == [(n, 1, None, "defined") for n in range(1, len(STEPS) + 1)]
    effects = Effects()
    for number, (_, source, _, _) in enumerate(STEPS, start=1):
        put(database, (number, 1000 + number), State(str(source)))
    jobs = store.load([*range(1, len(STEPS) + 1), *range(1001, 1001 + len(STEPS))], files=True, report=False)
    for number, (trigger, *_) in enumerate(STEPS, start=1):
        for job in (jobs[number], jobs[1000 + number]):
            job.forced_kill, job.verdict = True, Verdict.FINISHED
            effects.step(job, Trigger(trigger), CAUSE, None)
    write(store, effects)
    told = database.rows(TOLD)[len(born) :]
    assert told == [
        (number, 6, source, destination, store.service)
        for number, (_, source, destination, _) in enumerate(STEPS, start=1)
    ]
    assert database.value("SELECT count(*) FROM jedi_job") == len(STEPS)
    assert database.rows(LAST) == []


def test_two_steps_of_a_batch_are_told_in_order(serve: Serve, database: Database) -> None:
    store = created(serve, 2).store
    put(database, (1, 2), State.SENT)
    jobs, effects = store.load([1, 2], files=True, report=False), Effects()
    for trigger in (Trigger.PILOT_STARTING, Trigger.PILOT_RUNNING, Trigger.PILOT_HOLDING):
        for job in jobs.values():
            effects.step(job, trigger, CAUSE, None)
    write(store, effects)
    for number in (1, 2):
        assert [row[1:4] for row in database.rows(TOLD) if row[0] == number] == [
            (1, None, "defined"), (6, "sent", "starting"), (7, "starting", "running"), (8, "running", "holding"),
        ]  # fmt: skip
    assert database.rows(LAST) == []


def test_what_is_undone_is_not_told(serve: Serve, database: Database) -> None:
    store = created(serve, 1).store
    put(database, (1,), State.SENT)
    effects = Effects()
    effects.step(store.load([1], files=True, report=False)[1], Trigger.PILOT_RUNNING, CAUSE, None)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.write(effects)
        raise ZeroDivisionError
    assert len(database.rows(TOLD)) == 1


def test_another_priority_or_share_is_told_in_the_state_that_the_job_is_in(serve: Serve, database: Database) -> None:
    store = created(serve, 1).store
    jobs, effects = store.load([1, 1001], files=False, report=False), Effects()
    for job in jobs.values():
        effects.changed(job, gshare="Upgrade")
    write(store, effects)
    assert database.rows(TOLD)[1:] == [(1, 1, "defined", "defined", store.service)]
    assert database.value("SELECT body FROM jedi_message ORDER BY seq DESC LIMIT 1") == {"gshare": "Upgrade"}


@pytest.mark.parametrize("label", ["one", "many"])
def test_what_is_given_to_pilots_and_taken_back_is_told(
    serve: Serve, database: Database, database_url: str, label: str
) -> None:
    """By the usual claim, and by the searches."""
    store = created(serve, 1).store
    jobs, effects = store.load([1, 1001], files=True, report=False), Effects()
    for job in jobs.values():
        effects.step(job, Trigger.INPUTS_AT_SITE, CAUSE, None)
    write(store, effects)

    async def scene(gateway: GatewayStore) -> None:
        if label == "many":
            seats = [seat(str(number)) for number in range(60)]
            claim = await gateway.claims.claim(Filters(QUEUE), seats)
            assert sum(job is not None for job in claim.jobs) == 2
            return
        one, other = await given(gateway, seat("a")), await given(gateway, seat("b"))
        await gateway.claims.give_back([one, other])
        assert await acquire(gateway, seat("c"), seat("d")) == [1, 1001]

    with_store(database_url, scene)
    sent, back = (1, 3, "activated", "sent", "gateway"), (1, 4, "sent", "activated", "gateway")
    again = (1, 5, "activated", "sent", "gateway")
    assert database.rows(TOLD)[2:] == ([sent] if label == "many" else [sent, back, again])
    assert database.rows(LAST) == []


def test_a_dataset_of_jedis_that_is_closed_is_told_with_its_id_and_those_of_others_are_not(
    serve: Serve, database: Database
) -> None:
    store = created(serve, 1, spec={"file_ids": {"1": [4711, 33, 55, 0]}}).store
    kinds = {"": BlockKind.DESTINATION, "_sub1": BlockKind.SUB}
    blocks = [
        NewBlock(f"{top}{end}", kind, top if end else "", "lab", task_id, closes=True)
        for top, task_id in (("top", 4711), ("others", 7))
        for end, kind in kinds.items()
    ]
    write(store, Effects(blocks={block.name: block for block in blocks}))
    database.execute(
        "UPDATE job_file f SET status = 'ready', block_id = b.block_id FROM data_block b WHERE f.seq = 1"
        " AND b.name = CASE f.job_id WHEN 1 THEN 'top_sub1' ELSE 'others_sub1' END"
    )
    write(store, Effects(close_blocks={block.name for block in blocks}))
    told = database.rows(
        "SELECT vo, task_id, job_id, body FROM jedi_message WHERE kind = 'dataset_closed' ORDER BY seq"
    )
    common = {"dataset": "top", "datasetid": 33, "number_files": 1}
    assert told == [("lab", 4711, None, common | {"block": "top"}), ("lab", 4711, None, common | {"block": "top_sub1"})]


def test_jobs_of_before_are_known_with_the_next_that_is_told(serve: Serve, database: Database) -> None:
    """They were created when nothing was told."""
    store = created(serve, 1).store
    database.execute("DELETE FROM jedi_job")
    effects = Effects()
    effects.step(store.load([1], files=True, report=False)[1], Trigger.INPUTS_UNKNOWN, CAUSE, None)
    write(store, effects)
    assert database.rows("SELECT job_id, vo, task_id FROM jedi_job") == [(1, "lab", 4711)]
    assert database.rows(LAST) == []


def test_each_minute_the_activity_of_sites_is_told_and_not_while_nobody_listens(
    serve: Serve, database: Database, database_url: str
) -> None:
    created(serve, 2)
    database.execute("DELETE FROM jedi_message")
    database.execute("UPDATE job_count SET state = CASE vo WHEN 'lab' THEN 'running' ELSE state END")
    database.execute("INSERT INTO job_heard (job_id, heard_at) VALUES (1, now()), (2, now() - interval '1 hour')")

    async def scene(gateway: GatewayStore) -> None:
        await gateway.requests.count_asked({QUEUE: SiteAsks(asks=3)})
        await gateway.requests.count_asked({QUEUE: SiteAsks(asks=2), "OTHER": SiteAsks(asks=1)})

    with_store(database_url, scene)
    activity = Activity(WorkerSession(database_url, 30), ["lab"])
    activity.tell()
    told = database.rows("SELECT vo, task_id, body FROM jedi_message WHERE kind = 'site_activity' ORDER BY seq")
    here = {"site": QUEUE, "getjob": 5, "updatejob": 1, "running": 4, "activated": 0}
    other = {"site": "OTHER", "getjob": 1, "updatejob": 0, "running": 0, "activated": 0}
    assert told == [("lab", 0, one) for one in sorted((here, other), key=lambda one: str(one["site"]))]
    database.execute("UPDATE jedi_message SET at = now() - interval '6 minutes'")
    activity.tell()
    activity.close()
    assert database.value("SELECT count(*) FROM jedi_message") == 2
