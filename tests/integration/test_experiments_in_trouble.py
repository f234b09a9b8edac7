"""An experiment in trouble, in the real engine: its jobs wait and say why, end by age, and no message is buried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from command.sites import load
from consumers.adder import Adder
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from consumers.watcher import Watcher
from lab.site import write_lab
from panda_fsm.errors import SystemicError, TransientError
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import State
from panda_fsm.plans import Go, Plan
from panda_fsm.trouble import Condition
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments import isolation
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.registry import GROUP, IsolatedExperiments
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put


class Raising(GenericPlugin):
    """Stumbles over one job."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        if any(job.job_id == 13 for job in jobs):
            raise KeyError("no such dataset")
        return super().setup(jobs)


class Forgetful(GenericPlugin):
    """Answers nothing."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        return {}

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        return {}


class Pointed(GenericPlugin):
    """Its sizes have a decimal point, which the database does not take for a whole number."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        return {job_id: pointed(plan) for job_id, plan in super().setup(jobs).items()}

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        return {job_id: pointed(plan) for job_id, plan in super().add_outputs(jobs).items()}


def pointed(plan: Plan) -> Plan:
    """The plan, and no file's size a whole number."""
    assert isinstance(plan, Go)
    return replace(plan, files=tuple(replace(one, size=22.5) for one in plan.files))  # type: ignore[arg-type]


class Away(GenericPlugin):
    """Its catalogue is away."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        raise TransientError("catalogue is away")


PLUGINS = ("Raising", "Forgetful", "Pointed", "Away")


@pytest.fixture
def condition() -> Condition:
    """That of the process that asks."""
    return Condition()


@pytest.fixture
def experiments(run_dir: Path, condition: Condition) -> IsolatedExperiments:
    """Some in trouble beside one that works."""
    lab = write_lab(run_dir, "http://127.0.0.1:1")
    factories.store_file(lab.queue_storage, factories.INPUT)
    sites = load(lab.sites_file)
    entries = [EntryPoint("generic", "plugins.experiments.generic:GenericPlugin", GROUP)]
    entries += [EntryPoint(name.lower(), f"{__name__}:{name}", GROUP) for name in PLUGINS]
    entries.append(EntryPoint("missing", "no.such.module:Plugin", GROUP))
    return IsolatedExperiments(sites, LocalCatalogue(sites), condition, 30, entries)


def submitted(serve: Serve, experiments: IsolatedExperiments, vos: dict[int, str]) -> InProcess:
    """A Setupper that created these jobs and took all their events in one batch."""
    setupper = serve(Setupper(experiments))
    setupper.handle(factories.submit(*(factories.draft(job_id, vo=vo, blocks_of=vo) for job_id, vo in vos.items())))
    setupper.handle(*setupper.outlet.messages("job.defined"))
    return setupper


def test_trouble_of_experiments_is_their_jobs_own(
    serve: Serve, experiments: IsolatedExperiments, database: Database
) -> None:
    vos = dict.fromkeys(range(1, 26), "raising") | {30: "forgetful", 31: "away", 32: "missing", 33: "lab"}
    submitted(serve, experiments, vos)
    waiting: dict[int, Any] = dict(database.rows("SELECT job_id, waits_for FROM job WHERE state = 'defined'"))
    assert waiting == {
        13: "experiment raising failed: KeyError: 'no such dataset'",
        30: "experiment forgetful returned no plan for the job",
        31: "experiment away failed: TransientError: catalogue is away",
        32: "experiment missing does not load: ModuleNotFoundError: No module named 'no'",
    }
    assert database.states() == {"activated": 25, "defined": 4}
    assert database.value("SELECT count(*) FROM dead_letter") == 0
    soon = "SELECT count(*) FROM job_deadline JOIN job USING (job_id) WHERE state = 'defined' AND {}"
    soon = soon.format("job_deadline.deadline_at < now() + interval '2 s'")
    assert database.value(soon) == 4, "the daemon asks again, ever later; the deadline of the state is the end"


def test_a_forgotten_job_ends_after_a_day_and_its_block_closes(
    serve: Serve, experiments: IsolatedExperiments, database: Database
) -> None:
    submitted(serve, experiments, {1: "lab", 2: "forgetful"})
    database.execute("UPDATE job_file SET block_id = (SELECT block_id FROM data_block WHERE kind = 'sub' LIMIT 1)"
                     " WHERE job_id = 2 AND type IN ('output', 'log')")  # fmt: skip
    put(database, [2], State.RUNNING)
    watcher, adder = serve(Watcher(LIMITS)), serve(Adder(experiments))
    watcher.handle(factories.report(2, "finished"))
    (event,) = watcher.outlet.messages("job.holding")
    adder.handle(event)
    waits = database.value("SELECT waits_for FROM job WHERE job_id = 2 AND state = 'holding'")
    assert waits == "experiment forgetful returned no plan for the job"
    database.execute("UPDATE job SET state_changed_at = now() - interval '25 h' WHERE job_id = 2")
    adder.handle(event)
    finisher = serve(Finisher())
    finisher.handle(*adder.outlet.messages("job.outputs_added"))
    error = database.value("SELECT errors #>> '{ddm,diag}' FROM job WHERE job_id = 2 AND state = 'failed'")
    assert error == "gave up after 24 h: experiment forgetful returned no plan for the job"
    statuses = database.rows("SELECT type, status FROM job_file WHERE job_id = 2 AND type <> 'input' ORDER BY type")
    assert statuses == [("log", "ready"), ("output", "failed")]
    database.execute("UPDATE job_file SET status = 'ready' WHERE job_id = 1")
    closer = serve(Closer())
    closer.handle(*finisher.outlet.messages("job.failed"))
    assert len(closer.outlet.messages("block.closed")) == 1
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_plans_that_cannot_be_written_are_found_one_by_one_and_nobody_else_waits(
    serve: Serve, experiments: IsolatedExperiments, database: Database
) -> None:
    submitted(serve, experiments, dict.fromkeys(range(1, 11), "pointed") | dict.fromkeys(range(11, 31), "lab"))
    assert database.states() == {"activated": 20, "defined": 10}
    waiting = database.rows("SELECT waits_for FROM job WHERE state = 'defined'")
    assert waiting == [("experiment pointed returned a plan that gives file 1 a size that cannot be",)] * 10
    assert database.value("SELECT count(*) FROM dead_letter") == 0


UNWRITTEN = "returned a plan that cannot be written: InvalidTextRepresentation: invalid input syntax for type bigint"


def test_what_nobody_thought_of_in_a_plan_is_its_experiments_trouble(
    serve: Serve, experiments: IsolatedExperiments, condition: Condition, database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A fault that is not found in the plan: it would stop the process, for it happens to one job after the other."""
    monkeypatch.setattr(isolation, "fault", lambda *_: None)
    submitted(serve, experiments, dict.fromkeys(range(1, 11), "pointed") | dict.fromkeys(range(11, 31), "lab"))
    assert database.states() == {"activated": 20, "defined": 10}
    waiting = database.rows("SELECT waits_for FROM job WHERE state = 'defined'")
    assert all(reason.startswith(f"experiment pointed {UNWRITTEN}") for (reason,) in waiting)
    assert f"experiment pointed: {UNWRITTEN}" in str(condition.trouble)
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_it_is_where_outputs_are_added_too(
    serve: Serve, experiments: IsolatedExperiments, condition: Condition, database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(isolation, "fault", lambda *_: None)
    submitted(serve, experiments, {1: "lab", 2: "lab"})
    database.execute("UPDATE job SET vo = 'pointed' WHERE job_id = 1")
    put(database, [1, 2], State.RUNNING)
    watcher, adder = serve(Watcher(LIMITS)), serve(Adder(experiments))
    watcher.handle(factories.report(1, "finished"), factories.report(2, "finished"))
    adder.handle(*watcher.outlet.messages("job.holding"))
    assert [one.job_ids for one in adder.outlet.messages("job.outputs_added")] == [(2,)]
    assert UNWRITTEN in database.value("SELECT waits_for FROM job WHERE job_id = 1")
    assert f"experiment pointed: {UNWRITTEN}" in str(condition.trouble)
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_where_the_database_is_to_blame_no_experiment_is(
    serve: Serve, experiments: IsolatedExperiments, condition: Condition, database: Database
) -> None:
    setupper = serve(Setupper(experiments))
    setupper.handle(factories.submit(*(factories.draft(job_id) for job_id in range(1, 11))))
    database.execute("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                        RAISE EXCEPTION USING ERRCODE = 'data_exception', MESSAGE = 'no'; END $$""")
    database.execute("CREATE TRIGGER refuse BEFORE UPDATE ON job FOR EACH ROW EXECUTE FUNCTION refuse()")
    with pytest.raises(SystemicError):
        setupper.handle(*setupper.outlet.messages("job.defined"))
    assert "generic" not in str(condition.trouble)
