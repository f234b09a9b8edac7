"""Data blocks in the database: their life by the table, destination blocks, counts, and whose a name is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from consumers.adder import Adder
from consumers.closer import Closer
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.blocks.states import BlockKind, BlockStatus
from panda_fsm.blocks.table import BLOCK, BlockTrigger
from panda_fsm.effects import Effects
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.states import State
from panda_fsm.messages import BlockClosed, CheckBlock, KillJob
from panda_fsm.outcomes import NewBlock
from plugins.experiments.registry import IsolatedExperiments
from sql.duty import WorkerSession
from sql.retention import Retention
from tests import factories
from tests.clockwork import Clock, said
from tests.decisions import defined, going
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put

K, T = BlockKind, BlockTrigger
TOP, LOG_TOP = "user.lab.output.block", "user.lab.log.block"


def statuses(database: Database, kind: str) -> dict[str, str]:
    """The status of each block of a kind."""
    return dict(database.rows("SELECT name, status FROM data_block WHERE kind = %s", (kind,)))


def create(names: Mapping[str, BlockKind]) -> Effects:
    return Effects(blocks={name: NewBlock(name, kind, vo="lab", closes=True) for name, kind in names.items()})


WRITTEN: dict[frozenset[BlockTrigger], tuple[frozenset[BlockKind], Any]] = {
    frozenset({T.CREATED, T.REOPENED}): (frozenset({K.DESTINATION}), create),
    frozenset({T.CREATED}): (frozenset({K.SUB, K.DISPATCH}), create),
    frozenset({T.OUTPUTS_ADDED}): (frozenset({K.SUB, K.DESTINATION}), lambda names: Effects(filled=set(names))),
    frozenset({T.INPUTS_ARRIVED}): (frozenset({K.DISPATCH}), lambda names: Effects(arrived_blocks=set(names))),
    frozenset({T.INPUTS_SETTLED}): (frozenset({K.DISPATCH}), lambda names: Effects(close_blocks=set(names))),
    frozenset({T.OUTPUTS_SETTLED}): (frozenset({K.SUB}), lambda names: Effects(close_blocks=set(names))),
    frozenset({T.ALL_SETTLED}): (frozenset({K.DESTINATION}), lambda names: Effects(close_blocks=set(names))),
    frozenset({T.REGISTERED}): (frozenset({K.SUB}), lambda names: Effects(moved_blocks={T.REGISTERED: set(names)})),
    frozenset({T.DELETED}): (frozenset(K), lambda names: Effects(moved_blocks={T.DELETED: set(names)})),
}
"""What a batch writes for steps of the table, and of which kinds of blocks these are."""


def test_every_step_of_the_table_is_written_by_a_statement() -> None:
    by_the_daemon = {trigger for step in BLOCK.table if step.by == "daemon" for trigger in [step.trigger]}
    assert frozenset[BlockTrigger]().union(*WRITTEN) | by_the_daemon == set(T)


@pytest.mark.parametrize("triggers", WRITTEN, ids=lambda triggers: "+".join(sorted(triggers)))
def test_the_statements_keep_to_the_table(serve: Serve, database: Database, triggers: frozenset[BlockTrigger]) -> None:
    """Empty blocks of each kind in each status: a step leads where the table says, and is for nobody else."""
    kinds, write = WRITTEN[triggers]
    named = {f"{kind}.{status}": (kind, status) for kind in kinds for status in BlockStatus}
    for name, (kind, status) in named.items():
        query = "INSERT INTO data_block (name, kind, status, vo, closes) VALUES (%s, %s, %s, 'lab', true) RETURNING 1"
        database.rows(query, (name, kind, status))
    with serve(Closer()).store.transaction() as tx:
        tx.write(write({name: kind for name, (kind, _) in named.items()}))
    for name, (_, status) in named.items():
        led = {to for trigger in triggers if (to := BLOCK.leads(trigger, status)) is not None}
        found = database.value("SELECT status FROM data_block WHERE name = %s", (name,))
        assert {found} == {str(to) for to in led or {status}}, name


@pytest.fixture
def lead(serve: Serve, registry: IsolatedExperiments, database: Database) -> Any:
    """Takes jobs from submission up to the last words of their pilots, and has the Closer look."""

    def through(*drafts: JobDraft, until: str = "closer") -> InProcess:
        setupper = serve(Setupper(registry))
        setupper.handle(factories.submit(*drafts))
        setupper.handle(*setupper.outlet.messages("job.defined"))
        if until == "setupper":
            return setupper
        return ended(serve, registry, database, *(draft.job_id for draft in drafts))

    return through


def ended(serve: Serve, registry: IsolatedExperiments, database: Database, *job_ids: int) -> InProcess:
    """Pilots of these jobs say their last words, and the Closer hears of their outputs."""
    put(database, job_ids, State.RUNNING)
    watcher, adder, closer = serve(Watcher(LIMITS)), serve(Adder(registry)), serve(Closer())
    watcher.handle(*(factories.report(job_id, "finished") for job_id in job_ids))
    adder.handle(*watcher.outlet.messages("job.holding"))
    closer.handle(*adder.outlet.messages("block.check"))
    return closer


def to_archive(database: Database, clock: Clock, job_id: int) -> None:
    """A job has finished long ago."""
    put(database, [job_id], State.FINISHED)
    database.execute("UPDATE job SET deadline_at = now() WHERE job_id = %s", (job_id,))
    database.execute("UPDATE job_deadline SET ended = true, deadline_at = now() WHERE job_id = %s", (job_id,))
    clock.round("archive")
    assert database.value("SELECT count(*) FROM job WHERE job_id = %s", (job_id,)) == 0


def told(closer: InProcess) -> dict[str, tuple[str, str, int]]:
    """What was said of closed blocks: kind, status, number of files."""
    found = [message for message in closer.outlet.messages("block.closed") if isinstance(message, BlockClosed)]
    assert len({message.block for message in found}) == len(found), "once"
    return {message.block: (message.kind, message.status, message.number_files) for message in found}


def test_a_block_runs_with_its_first_output_and_is_closed_with_its_last(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """The destination block of a job that is nobody's task is its owner's to close."""
    lead(factories.draft(1), factories.draft(2), until="setupper")
    assert set(statuses(database, "sub").values()) == {"defined"}
    assert told(ended(serve, registry, database, 1)) == {}
    assert set(statuses(database, "sub").values()) == {"running"}
    assert statuses(database, "destination") == {TOP: "running", LOG_TOP: "running"}
    closed = told(ended(serve, registry, database, 2))
    assert closed == dict.fromkeys(statuses(database, "sub"), ("sub", "tobeclosed", 2))
    assert statuses(database, "destination") == {TOP: "running", LOG_TOP: "running"}


def test_a_destination_block_closes_with_the_last_of_its_sub_blocks(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """Jobs 1 and 51 are in different sub blocks; job 52 is not set up yet, and then fails before it is."""
    lead(*(factories.draft(number, is_jedis=True) for number in (1, 51)), until="setupper")
    serve(Setupper(registry)).handle(factories.submit(factories.draft(52, is_jedis=True)))
    assert len(told(ended(serve, registry, database, 1))) == 2
    assert len(told(ended(serve, registry, database, 51))) == 2
    assert statuses(database, "destination") == {TOP: "running", LOG_TOP: "running"}, "job 52 is to come"
    watcher, closer = serve(Watcher(LIMITS)), serve(Closer())
    watcher.handle(KillJob(job_id=52, code=3))
    closer.handle(*watcher.outlet.messages("job.cancelled"))
    assert told(closer) == {TOP: ("destination", "closed", 2), LOG_TOP: ("destination", "closed", 2)}
    closer.handle(*watcher.outlet.messages("job.cancelled"))
    assert len(told(closer)) == 2, "a message that comes twice"


def test_a_job_that_comes_late_opens_a_destination_block_again(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    jedis: dict[str, Any] = {"is_jedis": True}
    assert told(lead(factories.draft(1, **jedis)))[TOP] == ("destination", "closed", 1)
    lead(factories.draft(2, **jedis), until="setupper")
    assert statuses(database, "destination") == {TOP: "running", LOG_TOP: "running"}
    database.rows("UPDATE data_block SET status = 'closed' WHERE kind = 'destination' RETURNING 1")
    closed = told(ended(serve, registry, database, 2))
    assert closed[TOP] == ("destination", "closed", 2), "even if it was being closed when the job came"


def test_a_job_that_joins_a_destination_block_just_being_closed_has_it_closed_again(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str, clock: Clock
) -> None:
    """Its outputs go into the block itself: no sub block of theirs says so. What went to the archive counts still."""
    build: dict[str, Any] = {"label": "panda", "is_jedis": True}
    assert told(lead(factories.draft(1, **build)))[TOP] == ("destination", "closed", 1)
    to_archive(database, clock, 1)
    with psycopg.connect(database_url) as another_closer:
        another_closer.execute("SELECT FROM data_block WHERE kind = 'destination' FOR UPDATE")
        lead(factories.draft(2, **build), until="setupper")
    assert statuses(database, "destination") == {TOP: "closed", LOG_TOP: "closed"}
    closer = ended(serve, registry, database, 2)
    assert told(closer)[TOP] == ("destination", "closed", 2)
    closer.handle(CheckBlock(block=TOP, job_id=2))
    assert len(told(closer)) == 2, "once"


def test_a_destination_block_counts_the_files_of_sub_blocks_that_are_forgotten(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database, database_url: str, clock: Clock
) -> None:
    lead(*(factories.draft(number, is_jedis=True) for number in (1, 51)), until="setupper")
    ended(serve, registry, database, 1)
    to_archive(database, clock, 1)
    settled = "status = 'deleted', closed_at = now() - interval '31 days'"
    database.execute(f"UPDATE data_block SET {settled} WHERE closed_at IS NOT NULL")  # noqa: S608
    forgetting = Retention(WorkerSession(database_url, 30), "blocks")
    assert forgetting.forget(30, 100) == 2
    forgetting.close()
    assert told(ended(serve, registry, database, 51))[TOP] == ("destination", "closed", 2)


def test_outputs_that_are_not_bunched_are_counted_in_their_destination_block(lead: Any, database: Database) -> None:
    build: dict[str, Any] = {"label": "panda", "is_jedis": True}
    assert told(lead(factories.draft(1, **build), factories.draft(2, **build))) == dict.fromkeys(
        (TOP, LOG_TOP), ("destination", "closed", 2)
    )
    assert statuses(database, "sub") == {}


def test_killed_jobs_close_their_blocks_in_whatever_state(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    jedis: dict[str, Any] = {"is_jedis": True}
    lead(factories.draft(1, inputs=("far.csv",), **jedis), factories.draft(2, **jedis), until="setupper")
    serve(Setupper(registry)).handle(factories.submit(factories.draft(3, **jedis), to_pending=True))
    assert database.states() == {"assigned": 1, "activated": 1, "pending": 1}
    watcher, closer = serve(Watcher(LIMITS)), serve(Closer())
    watcher.handle(*(KillJob(job_id=number, code=3) for number in (1, 2, 3)))
    closer.handle(*watcher.outlet.messages("job.cancelled"))
    assert set(statuses(database, "sub").values()) == {"tobeclosed"}
    assert set(statuses(database, "dispatch").values()) == {"completed"}
    assert told(closer)[TOP] == ("destination", "closed", 2), "job 3 never had a block"


def test_a_task_of_which_no_job_was_ever_set_up_has_its_blocks_closed(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """Whoever waits for the block would wait for ever."""
    lost, held = (factories.draft(number, is_jedis=True) for number in (1, 2))
    lost.site = "nowhere"
    for file in held.files[1:]:
        file.destination_block = "user.lab.held.block"
    setupper, watcher, closer = lead(lost, until="setupper"), serve(Watcher(LIMITS)), serve(Closer())
    setupper.handle(factories.submit(held, factories.draft(3), to_pending=True))
    watcher.handle(KillJob(job_id=2, code=3), KillJob(job_id=3, code=3))
    closer.handle(*setupper.outlet.messages("job.failed"), *watcher.outlet.messages("job.cancelled"))
    assert told(closer) == dict.fromkeys((TOP, LOG_TOP, "user.lab.held.block"), ("destination", "closed", 0))


def test_files_that_went_to_the_archive_before_their_block_was_closed_are_counted(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database, clock: Clock
) -> None:
    lead(factories.draft(1), factories.draft(2), until="setupper")
    ended(serve, registry, database, 1)
    to_archive(database, clock, 1)
    assert {files for _, _, files in told(ended(serve, registry, database, 2)).values()} == {2}


def test_the_clock_has_those_closed_that_nobody_speaks_of(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database, clock: Clock
) -> None:
    """A block that all its files left, and a destination block whose last word was lost, have no job to go by."""
    lead(factories.draft(1, is_jedis=True), until="setupper")
    database.rows("UPDATE job_file SET status = 'failed', block_id = NULL RETURNING 1")
    serve(Setupper(registry)).handle(factories.submit(factories.draft(9, vo="else"), to_pending=True))
    database.rows("UPDATE data_block SET created_at = now() - interval '1 h' RETURNING 1")
    said(database)
    clock.round("blocks")
    first, closer = said(database), serve(Closer())
    closer.handle(*first)
    assert {kind for kind, _, _ in told(closer).values()} == {"sub", "destination"}
    closer.handle(*first)
    assert len(told(closer)) == 4
    clock.round("blocks")
    assert said(database) == [] or closer.outlet.messages("block.closed")


def test_a_name_is_one_experiments_and_one_kinds_and_a_stranger_is_told(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    lead(factories.draft(1), until="setupper")
    sub = next(iter(statuses(database, "sub")))
    stranger, kindred = factories.draft(2, vo="else"), factories.draft(3)
    kindred.files[1].destination_block = sub
    lead(stranger, kindred, factories.draft(4), until="setupper")
    assert database.states() == {"activated": 2, "failed": 2}
    told_why = dict(database.rows("SELECT job_id, errors -> 'ddm' ->> 'diag' FROM job WHERE state = 'failed'"))
    assert told_why == {
        job_id: f"block {name} belongs to another experiment, or is of another kind"
        for job_id, name in ((2, TOP), (3, sub))
    }
    assert database.rows("SELECT DISTINCT vo FROM data_block") == [("lab",)]


def test_a_stranger_that_names_a_block_does_not_hold_it_open(
    lead: Any, serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    serve(Setupper(registry)).handle(factories.submit(factories.draft(9, vo="else"), to_pending=True))
    assert told(lead(factories.draft(1, is_jedis=True)))[TOP] == ("destination", "closed", 1)


def test_of_two_experiments_with_one_name_in_one_batch_it_is_the_first_ones(lead: Any, database: Database) -> None:
    lead(factories.draft(1), factories.draft(2, vo="else"), until="setupper")
    assert database.states() == {"activated": 1, "failed": 1}
    assert database.value("SELECT vo FROM job WHERE state = 'activated'") == database.value(
        "SELECT DISTINCT vo FROM data_block"
    )


def test_a_sub_block_whose_name_somebody_took_gets_another(
    lead: Any, database: Database, registry: IsolatedExperiments
) -> None:
    name, _ = (block.name for block in going(registry.setup([defined(1)])[1]).blocks if block.kind is K.SUB)
    database.rows("INSERT INTO data_block (name, kind, vo) VALUES (%s, 'destination', 'else') RETURNING 1", (name,))
    lead(factories.draft(1), until="setupper")
    assert database.states() == {"activated": 1}
    assert name not in statuses(database, "sub")
    assert len(statuses(database, "sub")) == 2
