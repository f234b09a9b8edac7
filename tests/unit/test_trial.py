"""A plugin's first steps in a process apart: who ends that process, or stays in it, is known before it is in ours."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from panda_fsm.sites import Sites
from panda_fsm.trouble import Condition
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments import registry
from plugins.experiments.registry import GROUP, IsolatedExperiments
from plugins.experiments.trial import try_out

SITES = Sites()
GOOD = "from plugins.experiments.generic import GenericPlugin as Plugin\n"
MADE = "class Plugin:\n    names = None\n    def __init__(self, sites, catalogue):\n        "
ENDED = "it ended the process in which it was tried, with exit code"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a module with this text, and the entry point that names its plugin."""

    def make(text: str) -> EntryPoint:
        (tmp_path / "tried.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return EntryPoint("x", "tried:Plugin", GROUP)

    return make


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os\nos._exit(3)\n", f"{ENDED} 3"),
        ("import os\nos._exit(0)\n", f"{ENDED} 0"),
        ("import ctypes\nctypes.string_at(0)\n", f"{ENDED} -11"),
        (f"import os\n{MADE}os.abort()\n", f"{ENDED} -6"),
    ],
)
def test_who_ends_its_process_does_not_load(entry: Any, text: str, why: str) -> None:
    with pytest.raises(ImportError, match=why):
        try_out(entry(text), SITES, LocalCatalogue(SITES))


@pytest.mark.parametrize("text", ["import time\ntime.sleep(100)\n", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')\n"])
def test_who_stays_in_it_does_not_load(entry: Any, text: str) -> None:
    with pytest.raises(ImportError, match=r"did not come to an end within 0\.5 s"):
        try_out(entry(text), SITES, LocalCatalogue(SITES), 0.5)


@pytest.mark.parametrize("text", [GOOD, "print('hello')\nraise SystemExit(3)\n", "this is no Python"])
def test_who_survives_it_may_be_loaded_whatever_it_says(entry: Any, text: str) -> None:
    try_out(entry(text), SITES, LocalCatalogue(SITES))


def test_with_a_catalogue_that_cannot_be_sent_it_is_imported_only(entry: Any) -> None:
    catalogue: Any = threading.Lock()
    try_out(entry(f"import os\n{MADE}os.abort()\n"), SITES, catalogue)
    with pytest.raises(ImportError, match=f"{ENDED} 3"):
        try_out(entry("import os\nos._exit(3)\n"), SITES, catalogue)


def test_ours_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost no process at each start."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr(registry, "try_out", refuse)
    condition = Condition()
    IsolatedExperiments(SITES, LocalCatalogue(SITES), condition)
    assert condition.trouble is None
