"""Ends the process when its work does not: what hangs here for ever is started again by the supervisor."""

import os
import sys
import threading
import time
import traceback

import structlog

log = structlog.get_logger()

EXIT_CODE = 70
_LOOK_S = 1.0


class Watchdog:
    """Watches one thread: between `begin` and `end` no more than `limit_s` may pass."""

    def __init__(self, what: str, limit_s: float) -> None:
        self._what = what
        self._limit_s = limit_s
        self._began: tuple[float, int] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def begin(self) -> None:
        """The calling thread begins a piece of work."""
        self._began = time.monotonic(), threading.get_ident()

    def end(self) -> None:
        """It came to an end."""
        self._began = None

    def _watch(self) -> None:
        while not self._over.wait(min(_LOOK_S, self._limit_s / 4)):
            began = self._began
            if began is not None and time.monotonic() - began[0] > self._limit_s:
                self._give_up(began[1])

    def _give_up(self, thread_id: int) -> None:
        frame = sys._current_frames().get(thread_id)
        where = "".join(traceback.format_stack(frame)) if frame is not None else ""
        log.critical("hangs", what=self._what, limit_s=self._limit_s, where=where)
        sys.stderr.flush()
        os._exit(EXIT_CODE)
