"""Stage-out on real storages: home from elsewhere, logs of jobs that fail, registered by half and then the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from command.sites import load
from consumers.adder import Adder
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from lab.site import LabFiles, write_lab
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage
from panda_fsm.plans import Later, Refuse, StoredFile
from panda_fsm.sites import Sites
from panda_fsm.trouble import Condition
from plugins.ddm.catalogue import LocalCatalogue
from plugins.ddm.local import LocalDdm
from plugins.experiments.registry import GROUP, IsolatedExperiments
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put

A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE
FILES = "SELECT type, status, destination FROM job_file WHERE job_id = 1 AND type <> 'input' ORDER BY seq"


@pytest.fixture
def lab(run_dir: Path) -> LabFiles:
    """Two sites with a storage each; the usual input is at the queue's."""
    lab = write_lab(run_dir, "http://127.0.0.1:1")
    factories.store_file(lab.queue_storage, factories.INPUT)
    return lab


@pytest.fixture
def sites(lab: LabFiles) -> Sites:
    """What the program knows of them."""
    return load(lab.sites_file)


def reported(serve: Serve, database: Database, registry: IsolatedExperiments, report: AnyMessage, **fields: Any) -> Any:
    """The job, submitted, run and reported; the events that its pilot is done."""
    setupper = serve(Setupper(registry))
    setupper.handle(factories.submit(factories.draft(1, **fields)))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    put(database, [1], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    watcher.handle(report)
    return watcher.outlet.messages("job.holding")


def entries(endpoint: str, *lfns: str) -> str:
    """A report of files that are at an endpoint."""
    return json.dumps({lfn: factories.entry(endpoint=endpoint) for lfn in lfns})


def test_outputs_go_home_from_where_their_pilot_stored_them(
    serve: Serve, registry: IsolatedExperiments, sites: Sites, lab: LabFiles, database: Database
) -> None:
    """Their home is the queue's own storage, which their pilot could not reach."""
    output, log = factories.output_lfns(1)
    for lfn in (output, log):
        factories.store_file(lab.source_storage, lfn)
    report = factories.report(1, "finished", output_report=entries(A, output, log))
    adder, ddm, finisher = serve(Adder(registry)), serve(LocalDdm(sites)), serve(Finisher())
    adder.handle(*reported(serve, database, registry, report, destination=B))
    assert database.states() == {"transferring": 1}
    ddm.handle(*adder.outlet.messages("block.requested"))
    finisher.handle(*ddm.outlet.messages("ddm"))
    assert database.states() == {"finished": 1}
    assert all(factories.store_path(lab.queue_storage, lfn).is_file() for lfn in (output, log))
    assert database.rows(FILES) == [("output", "ready", ""), ("log", "ready", "")], "as planned"


@pytest.mark.parametrize(("label", "comes_home"), [("user", False), ("managed", True)])
def test_the_log_of_a_failed_job_is_kept_where_it_is(
    serve: Serve, registry: IsolatedExperiments, sites: Sites, lab: LabFiles, database: Database,
    label: str, comes_home: bool,
) -> None:  # fmt: skip
    _, log = factories.output_lfns(1)
    factories.store_file(lab.source_storage, log)
    report = factories.report(1, "failed", output_report=entries(A, log))
    adder, ddm, finisher = serve(Adder(registry)), serve(LocalDdm(sites)), serve(Finisher())
    adder.handle(*reported(serve, database, registry, report, destination=B, label=label))
    finisher.handle(*adder.outlet.messages("job.outputs_added"))
    assert database.states() == {"failed": 1}
    assert database.rows(FILES) == [("output", "failed", ""), ("log", "ready", A)]
    ddm.handle(*adder.outlet.messages("block.requested"))
    finisher.handle(*ddm.outlet.messages("ddm"))
    assert factories.store_path(lab.queue_storage, log).is_file() == comes_home
    assert database.states() == {"failed": 1}


@pytest.mark.parametrize(("label", "state"), [("managed", "failed"), ("user", "finished")])
def test_a_production_job_whose_reports_disagree_fails(
    serve: Serve, registry: IsolatedExperiments, database: Database, label: str, state: str
) -> None:
    output, log = factories.output_lfns(1)
    metadata = json.dumps({"files": {"output": [{"subFiles": [{"name": output, "file_guid": "ANOTHER"}]}]}})
    report = factories.report(1, "finished", output_report=entries("", output, log), attributes={"metadata": metadata})
    adder, finisher = serve(Adder(registry)), serve(Finisher())
    adder.handle(*reported(serve, database, registry, report, label=label))
    finisher.handle(*adder.outlet.messages("job.outputs_added"))
    codes = "SELECT state, errors -> 'ddm' ->> 'code' FROM job"
    assert database.rows(codes) == [(state, "205" if state == "failed" else None)]


class OneAtATime(LocalCatalogue):
    """Takes one file of all that it is told of, and is away for the others."""

    def __init__(self, sites: Sites) -> None:
        super().__init__(sites)
        self.told: list[list[str]] = []

    def register(self, files: Sequence[StoredFile]) -> dict[StoredFile, Later | Refuse]:
        self.told.append([file.lfn for file in files])
        return {file: Later("the catalogue is away") for file in files[1:]}


def test_after_a_crash_only_what_is_missing_is_registered(serve: Serve, sites: Sites, database: Database) -> None:
    """Of outputs that only the pilot knew of, too."""
    entry = EntryPoint("generic", "plugins.experiments.generic:GenericPlugin", GROUP)
    first, second = OneAtATime(sites), OneAtATime(sites)
    before, after = (IsolatedExperiments(sites, one, Condition(), 30, [entry]) for one in (first, second))
    names = "log.1.tgz", "out.1.root._1", "out.1.root._2"
    report = factories.report(1, "finished", output_report=entries("", *names))
    holding = reported(serve, database, before, report)
    serve(Adder(before)).handle(*holding)
    assert database.rows("SELECT state, waits_for FROM job") == [("holding", "the catalogue is away")]
    serve(Adder(after)).handle(*holding)
    assert sorted(first.told[0]) == sorted(names)
    assert sorted(second.told[0]) == sorted({*names} - {first.told[0][0]})
    last = serve(Adder(after))
    last.handle(*holding)
    assert [len(told) for told in second.told] == [2, 1]
    finisher = serve(Finisher())
    finisher.handle(*last.outlet.messages("job.outputs_added"))
    assert database.states() == {"finished": 1}
