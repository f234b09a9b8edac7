"""The log: one JSON object a line that names the service, whoever writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, structlog
from command import log
log.configure("closer", "warning")
structlog.get_logger().info("not_shown")
structlog.get_logger().warning("ours", queue="closer")
logging.getLogger("library").warning("theirs: %s", 7)
try:
    raise ValueError("no")
except ValueError:
    structlog.get_logger().exception("failed")
"""


def test_every_line_is_an_object_that_names_the_service() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    ours, theirs, failed = map(json.loads, done.stderr.splitlines())
    assert (ours["service"], ours["event"], ours["level"], ours["queue"]) == ("closer", "ours", "warning", "closer")
    assert (theirs["service"], theirs["event"], theirs["logger"]) == ("closer", "theirs: 7", "library")
    assert "ValueError: no" in failed["exception"]


@pytest.mark.parametrize("where", ["full", "unread"])
def test_a_log_that_cannot_be_written_keeps_nobody_from_his_work(where: str) -> None:
    """A full disk, and a pipe whose reader has gone."""
    if where == "full":
        log = os.open(Path("/dev/full"), os.O_WRONLY)
    else:
        reader, log = os.pipe()
        os.close(reader)
    script = SCRIPT + "print('worked on')"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=log, text=True, check=False)
    os.close(log)
    assert done.stdout == "worked on\n"
