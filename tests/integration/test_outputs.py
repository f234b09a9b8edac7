"""Outputs through services and database: rows for what only the pilot knew of, and errors that are told once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.adder import Adder
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from panda_fsm.effects import Effects
from panda_fsm.jobs.job import NewFile
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage
from panda_fsm.outcomes import Changes
from plugins.experiments.registry import IsolatedExperiments
from sql import live_jobs
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put


@pytest.fixture
def run(serve: Serve, registry: IsolatedExperiments, database: Database) -> Any:
    """Takes jobs through all services, from submission to the last words of their pilots."""

    def through(drafts: Sequence[Any], *reports: AnyMessage) -> None:
        setupper = serve(Setupper(registry))
        setupper.handle(factories.submit(*drafts))
        setupper.handle(*setupper.outlet.messages("job.defined"))
        put(database, [draft.job_id for draft in drafts], State.RUNNING)
        watcher, adder, finisher = serve(Watcher(LIMITS)), serve(Adder(registry)), serve(Finisher())
        watcher.handle(*reports)
        adder.handle(*watcher.outlet.messages("job.holding"))
        finisher.handle(*adder.outlet.messages("job.outputs_added"))

    return through


def test_long_reports_have_their_turn_one_after_another(
    run: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they would not fit into memory."""
    monkeypatch.setattr(live_jobs, "MOST_REPORT_BYTES", 1)
    lfns = [factories.output_lfns(number) for number in (1, 2)]
    run(
        [factories.draft(1), factories.draft(2)],
        *(factories.report(n, "finished", output_report=report_of(*lfns[n - 1])) for n in (1, 2)),
    )
    rows = database.rows("SELECT job_id, state, waits_for FROM job ORDER BY job_id")
    assert rows == [(1, "finished", None), (2, "holding", "the reports of others take long")]


def report_of(*lfns: str) -> str:
    return json.dumps({lfn: factories.entry() for lfn in lfns})


def test_outputs_that_only_the_pilot_knew_of_get_rows_like_the_one_declared(run: Any, database: Database) -> None:
    drafts = [factories.draft(1), factories.draft(2)]
    drafts[1].files[1].lfn = r"regex|^out\.2\..*\.root$"
    run(
        drafts,
        factories.report(1, "finished", output_report=report_of("out.1.root._1", "out.1.root._2", "log.1.tgz")),
        factories.report(2, "finished", output_report=report_of("out.2.a.root", "out.2.b.root", "log.2.tgz")),
    )
    assert database.states() == {"finished": 2}
    rows = database.rows(
        "SELECT job_id, seq, lfn, status, size FROM job_file WHERE type = 'output' ORDER BY job_id, seq"
    )
    size = len(factories.CONTENT)
    assert rows == [
        (1, 1, "out.1.root._1", "ready", size), (1, 3, "out.1.root._2", "ready", size),
        (2, 1, "out.2.a.root", "ready", size), (2, 3, "out.2.b.root", "ready", size),
    ]  # fmt: skip
    alike = """SELECT count(DISTINCT (scope, dataset, destination_block, destination, token, block_id)), count(*)
               FROM job_file WHERE type = 'output' GROUP BY job_id"""
    assert database.rows(alike) == [(1, 2), (1, 2)]


def test_two_that_read_the_same_report_name_its_files_once(
    serve: Serve, registry: IsolatedExperiments, database: Database
) -> None:
    """If both only put the job off, the second finds it as it read it, and the files there."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1)))
    job = setupper.store.load([1], files=True, report=False)[1]
    effects = Effects()
    effects.record(job, Changes(new_files=(NewFile(1, 1, "out.1.root._1"), NewFile(3, 1, "out.1.root._2"))))
    for _ in range(2):
        with setupper.store.transaction() as tx:
            tx.write(effects)
    assert database.rows("SELECT seq, lfn FROM job_file WHERE type = 'output' ORDER BY seq") == [
        (1, "out.1.root._1"), (3, "out.1.root._2")
    ]  # fmt: skip


def test_a_pilot_that_said_what_went_wrong_is_not_blamed_for_its_report(run: Any, database: Database) -> None:
    codes = {"pilot_error_code": 1201, "pilot_error_diag": "signalled"}
    run(
        [factories.draft(number) for number in (1, 2, 3)],
        factories.report(1, "failed", output_report="NULL", attributes=codes),
        factories.report(2, "failed", output_report="NULL", attributes={"trans_exit_code": 7}),
        factories.report(3, "failed", output_report="NULL", attributes={"trans_exit_code": 0}),
    )
    assert database.states() == {"failed": 3}
    components = "SELECT array(SELECT jsonb_object_keys(errors) ORDER BY 1) FROM job ORDER BY job_id"
    assert [row[0] for row in database.rows(components)] == [["pilot"], ["trans"], ["ddm"]]


def test_what_stays_at_another_storage_is_registered_there(run: Any, database: Database) -> None:
    entries = {lfn: factories.entry(endpoint=factories.SOURCE_STORAGE) for lfn in factories.output_lfns(1)}
    run([factories.draft(1)], factories.report(1, "finished", output_report=json.dumps(entries)))
    assert database.rows("SELECT DISTINCT destination FROM job_file WHERE type <> 'input'") == [
        (factories.SOURCE_STORAGE,)
    ]
