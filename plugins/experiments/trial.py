"""A plugin's first steps, in a process apart: whatever would end a process with it ends that one."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint

from panda_fsm.ports import Catalogue
from panda_fsm.sites import SitesNow

LIMIT_S = 30.0
_SURVIVED = 93
"""No exit code that means anything else."""


def try_out(entry: EntryPoint, sites: SitesNow, catalogue: Catalogue, limit_s: float = LIMIT_S) -> None:
    """Load a plugin where it harms nobody. Raises ImportError where it does not survive that, in time."""
    try:
        made_with = pickle.dumps((sites, catalogue))
    except Exception:  # a catalogue that cannot be sent, for it has connections: then it is not made, but imported
        made_with = b""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __name__, entry.value, str(limit_s)]
    try:
        done = subprocess.run(
            command, input=made_with, env=environment, timeout=limit_s, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ImportError(f"tried in a process apart it did not come to an end within {limit_s:g} s") from None
    if done.returncode != _SURVIVED:
        raise ImportError(f"it ended the process in which it was tried, with exit code {done.returncode}")


def _main(value: str, limit_s: str) -> None:
    signal.setitimer(signal.ITIMER_REAL, float(limit_s) + 1)  # should whoever waits for us have ended
    made_with = sys.stdin.buffer.read()
    # What it raises it raises again where it is asked for, and there it is told.
    with contextlib.suppress(BaseException):
        plugin = EntryPoint("", value, "").load()
        if made_with:
            _ = plugin(*pickle.loads(made_with)).names  # noqa: S301  # of our own making
    os._exit(_SURVIVED)


if __name__ == "__main__":
    _main(*sys.argv[1:])
