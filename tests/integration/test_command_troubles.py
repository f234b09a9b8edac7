"""`panda-fsm stuck | errors | sites | jobs why | top`: the pages' looks, as they are typed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import time

from tests import factories
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.processes import PROGRAM
from tests.typed import Run

ERROR = """INSERT INTO error_count VALUES
    (date_trunc('hour', now()), 'lab', 'LAB_B', 'pilot', 1099, 7, now(), now(), E'[b]no\\nroute\\x1b[2J', 11)"""
SECONDS = 60.0


def test_what_fails_and_what_is_stuck_is_told_with_an_exit_code(run: Run, serve: Serve, database: Database) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    database.execute(ERROR)
    found = run("stuck")
    assert found.returncode == 1
    assert found.stdout.splitlines()[1].startswith("no_consumer  "), "nobody serves any queue"
    quiet = run("stuck", "--rule", "sent_no_pilot")
    assert (quiet.returncode, quiet.stdout.splitlines()[-1]) == (0, "nothing is stuck")
    assert json.loads(run("stuck", "--json").stdout)["rows"][0]["rule"] == "no_consumer"
    failing = run("errors", "--site", "LAB_B").stdout.splitlines()
    assert re.split(" {2,}", failing[1])[:2] == ["pilot:1099", "7"]
    assert failing[1].endswith("[b]no route\N{REPLACEMENT CHARACTER}[2J")
    assert len(failing) == 2
    assert json.loads(run("errors", "--json").stdout)["rows"][0]["sample_job_id"] == "11"
    assert run("errors", "--by", "moon").returncode == 2
    assert "LAB_B" in run("sites").stdout
    one = run("sites", "LAB_B")
    assert "pilot:1099" in one.stdout
    assert (run("sites", "NOWHERE").returncode, run("stuck", "--rule", "none").returncode) == (1, 2)


def test_why_a_job_waits_is_said_in_sentences(run: Run, serve: Serve) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    done = run("jobs", "why", "1")
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0] == "job 1 is defined at LAB_B"
    assert len(said) > 1
    sentence = json.loads(run("jobs", "why", "1", "--json").stdout)["why"]["sentence"]
    assert sentence.split(" of it ")[0] == said[1].split(" of it ")[0] == "The setupper was told"
    unknown = run("jobs", "why", "999")
    assert (unknown.returncode, unknown.stdout, "no job 999" in unknown.stderr) == (1, "", True)


def test_top_is_for_a_terminal_and_ends_with_q(run: Run, serve: Serve, database_url: str, broker_url: str) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    assert (run("top").returncode, run("top").stdout) == (2, "")
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    known = {
        **os.environ, "PANDA_FSM_DATABASE_URL": database_url, "PANDA_FSM_BROKER_URL": broker_url, "TERM": "xterm",
    }  # fmt: skip
    with subprocess.Popen([str(PROGRAM), "top"], env=known, stdin=there, stdout=there, stderr=there) as process:
        os.close(there)
        shown, deadline = "", time.monotonic() + SECONDS
        while "nobody serves" not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(here, 65536).decode(errors="replace")
        assert "defined" in shown
        os.write(here, b"q")
        while process.poll() is None:
            assert time.monotonic() < deadline
            try:
                os.read(here, 65536)
            except OSError:  # it has left the terminal
                break
        assert process.wait(SECONDS) == 0
    os.close(here)
