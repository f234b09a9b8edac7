"""The DDM moved files and nobody heard of it: the daemon asks again, the DDM looks, and the job goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command.sites import load
from consumers.activator import Activator
from consumers.adder import Adder
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from lab.site import LabFiles, write_lab
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, TransferRequested
from plugins.ddm.local import LocalDdm
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock, said
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put


@pytest.fixture
def lab(run_dir: Path) -> LabFiles:
    """The same as the plugins' own."""
    return write_lab(run_dir, "http://127.0.0.1:1")


@pytest.fixture
def ddm(serve: Serve, lab: LabFiles) -> InProcess:
    return serve(LocalDdm(load(lab.sites_file)))


def asked(database: Database, clock: Clock) -> list[AnyMessage]:
    """What the DDM is asked once a reminder is due; what was said before is lost."""
    said(database)
    database.execute("UPDATE job SET state_changed_at = state_changed_at - interval '10 min'")
    database.execute("UPDATE job_deadline SET deadline_at = now()")
    clock.round("deadlines")
    messages = said(database)
    assert {type(message) for message in messages} == {TransferRequested}
    return messages


def test_an_assigned_job_whose_inputs_are_there_is_activated(
    serve: Serve, registry: IsolatedExperiments, lab: LabFiles, ddm: InProcess, database: Database, clock: Clock
) -> None:
    setupper, activator = serve(Setupper(registry)), serve(Activator())
    setupper.handle(factories.submit(factories.draft(1, inputs=("far.csv",))))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    assert database.states() == {"assigned": 1}
    factories.store_file(lab.queue_storage, "far.csv")
    factories.store_path(lab.source_storage, "far.csv").unlink()
    ddm.handle(*asked(database, clock))
    activator.handle(*ddm.outlet.messages("ddm.arrived"))
    assert database.states() == {"activated": 1}


def test_a_transferring_job_whose_outputs_are_there_finishes(
    serve: Serve, registry: IsolatedExperiments, lab: LabFiles, ddm: InProcess, database: Database, clock: Clock
) -> None:
    setupper, watcher, adder = serve(Setupper(registry)), serve(Watcher(LIMITS)), serve(Adder(registry))
    setupper.handle(factories.submit(factories.draft(1, destination=factories.QUEUE_STORAGE)))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    put(database, [1], State.RUNNING)
    at_a = {lfn: factories.entry(endpoint=factories.SOURCE_STORAGE) for lfn in factories.output_lfns(1)}
    watcher.handle(factories.report(1, "finished", output_report=json.dumps(at_a)))
    for lfn in at_a:
        factories.store_file(lab.source_storage, lfn)
    adder.handle(*watcher.outlet.messages("job.holding"))
    assert database.states() == {"transferring": 1}
    for lfn in at_a:
        factories.store_path(lab.source_storage, lfn).rename(factories.store_file(lab.queue_storage, lfn))
    ddm.handle(*asked(database, clock))
    finisher = serve(Finisher())
    finisher.handle(*ddm.outlet.messages("ddm.arrived"))
    assert database.states() == {"finished": 1}
