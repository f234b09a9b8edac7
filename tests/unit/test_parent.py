"""A served process and its supervisor: it ends with it, at once or, where it does not listen, a little later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command.parent import VARIABLE
from tests.polling import wait_until

CHILD = """
import signal, sys, time
from command import parent
parent._LOOK_S, parent._END_WITHIN_S = 0.05, float(sys.argv[1])
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
parent.follow()
print("up", flush=True)
time.sleep(60)
"""
SUPERVISOR = f"""
import os, subprocess, sys
environment = {{**os.environ, "{VARIABLE}": str(os.getpid())}}
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], env=environment, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""


@pytest.mark.parametrize(("ends_itself_after_s", "ears"), [("600", "good"), ("0.2", "deaf")])
def test_it_ends_with_its_supervisor(ends_itself_after_s: str, ears: str) -> None:
    command = [sys.executable, "-c", SUPERVISOR, CHILD, ends_itself_after_s, ears]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    pid = int(done.stdout)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), "it ended")


def test_it_does_not_start_for_a_supervisor_that_has_gone() -> None:
    environment = {**os.environ, VARIABLE: "1"}
    command = [sys.executable, "-c", CHILD, "600", "good"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_without_a_supervisor_it_is_free() -> None:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    script = "from command import parent; parent.follow(); print('up')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "up\n"


ENDS = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from command import parent, serve
parent._END_WITHIN_S = 0.2
ending = serve.Ending()
ThreadPoolExecutor(1).submit(threading.Event().wait)
print("up", flush=True)
if sys.argv[1] == "hears":
    while not ending.wait(60):
        pass
    print("end")
    serve.leave(3)
time.sleep(60)
time.sleep(60)
"""


@pytest.mark.parametrize(("who", "code", "told"), [("hears", 3, "end\n"), ("does not", 1, "")])
def test_who_is_told_to_end_ends_whatever_threads_a_plugin_left(who: str, code: int, told: str) -> None:
    """By itself, or a little later: nobody would replace it else."""
    child = subprocess.Popen([sys.executable, "-c", ENDS, who], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child, child.stdout as output:
        assert output.readline() == "up\n"
        child.terminate()
        said = output.read()
        assert child.wait() == code
    assert said.startswith(told)
