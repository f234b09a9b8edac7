"""Experiments in trouble: a plugin raises, hangs, forgets, does not load; another experiment's jobs flow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import factories
from tests.driver import Driver
from tests.e2e.conftest import ENGINE
from tests.e2e.test_chaos import jobs, made_to_fail, outcome
from tests.faults import command
from tests.invariants import Listener, check_all, dead_letters, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

EACH = 8
BAD = {"raising": "Raises", "hanging": "Hangs", "forgetful": "Forgets", "unloadable": "IsNotThere"}
ASKED_BY = ("setupper", "adder")
PLUGINS = """
import threading
from plugins.experiments.generic import GenericPlugin

class Raises(GenericPlugin):
    def setup(self, jobs):
        raise RuntimeError("no idea")

class Hangs(GenericPlugin):
    def setup(self, jobs):
        threading.Event().wait()

class Forgets(GenericPlugin):
    def add_outputs(self, jobs):
        return {}
"""


def install(directory: Path, plugins: dict[str, str]) -> str:
    """A distribution with the plugins of experiments, as pip would install it; where it is."""
    (directory / "zoo-1.dist-info").mkdir(parents=True)
    (directory / "zoo-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1\n")
    entries = "\n".join(f"{name} = {place}" for name, place in plugins.items())
    (directory / "zoo-1.dist-info" / "entry_points.txt").write_text(f"[panda_fsm.plugins]\n{entries}\n")
    (directory / "zoo.py").write_text(PLUGINS)
    return str(directory)


def test_an_experiment_in_trouble_is_alone_with_it_and_goes_on_when_it_is_mended(
    processes: Processes, driver: Driver, listener: Listener, broker_url: str, run_dir: Path
) -> None:
    database = driver.database
    bad = install(run_dir / "bad", {name: f"zoo:{plugin}" for name, plugin in BAD.items()})
    good = install(run_dir / "good", dict.fromkeys(BAD, "plugins.experiments.generic:GenericPlugin"))
    # Small batches: a plugin is in trouble once it has failed on several questions, not on one.
    asking = {"PANDA_FSM_PLUGIN_TIMEOUT_S": "1", "PANDA_FSM_BATCH_SIZE": "1"}
    for name in ENGINE:
        processes.start(name, **(asking | {"PYTHONPATH": bad} if name in ASKED_BY else {}))
    troubled = [
        factories.draft(1000 * number + job_id, vo=vo, blocks_of=vo)
        for number, vo in enumerate(BAD, 1)
        for job_id in range(1, EACH + 1)
    ]
    drafts = jobs(100)
    driver.fails = made_to_fail
    with driver.pilots():
        driver.submit(troubled, bunch=EACH)
        driver.submit(drafts, bunch=10)
        wait_for_end(database, len(drafts))
        waiting = "SELECT state, vo, count(*) FROM job WHERE vo <> %s AND waits_for IS NOT NULL GROUP BY state, vo"
        stuck = {("defined" if vo != "forgetful" else "holding", vo, EACH) for vo in BAD}
        wait_until(lambda: set(database.rows(waiting, (factories.VO,))) == stuck, "jobs that say what they wait for")

        def all_shown() -> bool:
            shown = json.loads(command(processes, "health", "--json", expect=1))
            return all(f"experiment {vo}" in " ".join(shown["trouble"]) for vo in BAD)

        wait_until(all_shown, "each experiment's trouble shown", 60)
        assert dead_letters(database) == []
        for name in ASKED_BY:
            processes.stop(name)
            processes.start(name, PYTHONPATH=good)
        wait_for_end(database, len(drafts) + len(troubled), timeout_s=90)
    check_all(database, broker_url, listener, outcome([*drafts, *troubled]))
