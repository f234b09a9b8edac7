"""A process whose interpreter somebody keeps is ended, with what it did; one that works or waits is not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.processes import ROOT

PROGRAM = """
import ctypes, os, re, signal, sys, threading, time
from command import frozen

def computes(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

def is_stopped(seconds):
    if os.fork() == 0:
        time.sleep(seconds)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)

def keeps_it_and_computes():
    re.match("(a+)+$", "a" * 60 + "b")

def keeps_it_and_waits():
    ctypes.PyDLL(None).sleep(100)

frozen.watch(float(sys.argv[1]), float(sys.argv[2]))
threading.Thread(target=lambda: eval(sys.argv[3])).start()
"""


def end_of(busy_s: float, blocked_s: float, what: str) -> tuple[int, str]:
    """How a process ends that does this in a thread, and what it says."""
    command = [sys.executable, "-c", PROGRAM, str(busy_s), str(blocked_s), what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("busy_s", "blocked_s", "what", "code"),
    [
        (0.2, 100, "keeps_it_and_computes()", -signal.SIGPROF),
        (100, 0.2, "keeps_it_and_computes()", 1),
        (100, 0.2, "keeps_it_and_waits()", 1),
    ],
)
def test_who_keeps_the_interpreter_is_ended_and_seen(busy_s: float, blocked_s: float, what: str, code: int) -> None:
    ended, told = end_of(busy_s, blocked_s, what)
    assert ended == code
    assert what.removesuffix("()") in told


@pytest.mark.parametrize("what", ["computes(0.6)", "time.sleep(0.5)", "is_stopped(0.5)"])
def test_who_lets_others_have_their_turn_is_not(what: str) -> None:
    assert end_of(0.3, 100, what) == (0, "")
