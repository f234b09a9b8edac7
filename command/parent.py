"""The bond of a served process with its supervisor: it lives no longer than that, however that ends."""

import ctypes
import os
import signal
import sys
import threading
import time

import structlog

log = structlog.get_logger()

VARIABLE = "PANDA_FSM_SUPERVISOR_PID"
"""In the environment of a served process: the process that must be its parent."""
_PR_SET_PDEATHSIG = 1
_LOOK_S = 1.0
_END_WITHIN_S = 30.0


def follow() -> None:
    """Called first of all in a served process: the kernel tells it to end (SIGTERM) when its supervisor has ended."""
    supervisor = os.environ.pop(VARIABLE, "")
    if not supervisor:
        return
    bind(int(supervisor), signal.SIGTERM)
    threading.Thread(target=_end_alone, args=(int(supervisor),), name="supervisor", daemon=True).start()


def bind(process: int, number: int) -> None:
    """The kernel sends the signal to this process, a child of `process`, when that has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number) != 0:
        log.warning("not_bound", error=os.strerror(ctypes.get_errno()))
    if os.getppid() != process:  # it ended before the kernel was asked to tell
        sys.exit(1)


def _end_alone(supervisor: int) -> None:
    """Whatever the process is doing: nobody would ever look after it again."""
    while os.getppid() == supervisor:
        time.sleep(_LOOK_S)
    _end_within("its supervisor ended")


def end_soon(why: str) -> None:
    """End this process if it has not ended by itself in time: who was told to end and does not is never replaced."""
    threading.Thread(target=_end_within, args=(why,), name="end", daemon=True).start()


def _end_within(why: str) -> None:
    time.sleep(_END_WITHIN_S)
    try:
        log.error("killed_itself", why=f"{why} {_END_WITHIN_S:g} s ago")
    finally:  # also when whoever read the log has ended too
        os._exit(1)
