"""Fixtures: the laboratory's two sites, and what the program knows of them; no service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.site import LabFiles, write_lab
from panda_fsm.sites import Sites


@pytest.fixture
def lab(tmp_path: Path) -> LabFiles:
    """Two sites with a storage each, and a folder for the register of blocks."""
    return write_lab(tmp_path, "http://127.0.0.1:1")


@pytest.fixture
def sites(lab: LabFiles) -> Sites:
    """What the program knows of them."""
    return Sites.model_validate_json(lab.sites_file.read_text())
