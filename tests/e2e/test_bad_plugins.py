"""Plugins that would take a process with them: one ends it at import, one leaves threads, one keeps the interpreter."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests import factories
from tests.driver import Driver
from tests.polling import wait_until
from tests.processes import Processes

PLUGINS = """
import re, threading
from concurrent.futures import ThreadPoolExecutor
from plugins.experiments.generic import GenericPlugin

class Leaves(GenericPlugin):
    def setup(self, jobs):
        ThreadPoolExecutor(1).submit(threading.Event().wait)
        return super().setup(jobs)

class Keeps(GenericPlugin):
    def setup(self, jobs):
        re.match("(a+)+$", "a" * 60 + "b")
"""
SERVICES = ("setupper", "setupper.submissions", "relay", "daemon")
"""The last two bring a job back that was asked about before its plugin was loaded, as on a busy machine."""


@pytest.fixture
def path(run_dir: Path) -> str:
    """A distribution with these plugins, as pip would install it."""
    directory = run_dir / "zoo"
    (directory / "zoo-1.dist-info").mkdir(parents=True)
    (directory / "zoo-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1\n")
    entries = "[panda_fsm.plugins]\ndies = zoodies:Plugin\nleaves = zoo:Leaves\nkeeps = zoo:Keeps\n"
    (directory / "zoo-1.dist-info" / "entry_points.txt").write_text(entries)
    (directory / "zoo.py").write_text(PLUGINS)
    (directory / "zoodies.py").write_text("import os\nos._exit(3)\n")
    return str(directory)


def test_who_ends_its_process_at_import_does_not_load_and_who_leaves_threads_keeps_nobody_from_ending(
    processes: Processes, driver: Driver, path: str
) -> None:
    for name in SERVICES:
        processes.start(name, PYTHONPATH=path)
    driver.submit([factories.draft(n, vo=vo, blocks_of=vo) for n, vo in enumerate(("dies", "leaves", "lab"), 1)])
    wait_until(lambda: driver.database.states() == {"activated": 2, "defined": 1}, "the jobs of others", 60)
    told = "experiment dies does not load: ImportError: it ended the process in which it was tried, with exit code 3"
    waits = "SELECT waits_for FROM job WHERE state = 'defined'"
    wait_until(lambda: driver.database.value(waits) == told, "what the third one waits for")
    os.kill(processes.pid("setupper"), signal.SIGTERM)
    wait_until(lambda: not processes.is_running("setupper"), "it ended")


def test_who_keeps_the_interpreter_is_ended(processes: Processes, driver: Driver, path: str) -> None:
    for name in SERVICES:
        processes.start(name, PYTHONPATH=path, PANDA_FSM_PLUGIN_TIMEOUT_S="0.5")
    driver.submit([factories.draft(1, vo="keeps", blocks_of="keeps")])
    wait_until(lambda: not processes.is_running("setupper"), "it ended", 60)
    assert "zoo.py" in processes.log("setupper")
