"""The life of one served process: bound to its supervisor, shown to operators, at work once the database is ready."""

import contextlib
import gc
import os
import signal
import sys
import threading
from importlib.metadata import version
from types import FrameType
from typing import NoReturn

import structlog

from command import compose, frozen, parent, tracing
from command.presence import Shown
from command.settings import Settings
from panda_fsm.errors import PandaError
from panda_fsm.trouble import Condition
from sql.presence import Presence
from sql.required import Required

log = structlog.get_logger()

_LOOK_S = 1.0
_COLLECT_AFTER = 20_000
"""Objects more than before until unreachable ones are looked for: messages and requests leave few."""


class Ending:
    """Whether the process was told to end (SIGTERM, SIGINT, SIGHUP); what it is doing then hears of it."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._work: compose.Work | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)

    def wait(self, seconds: float) -> bool:
        """Wait; True when the process shall end."""
        return self._told.wait(seconds)

    def run(self, work: compose.Work) -> None:
        """Work until told to end."""
        self._work = work
        if not self._told.is_set():
            work.run()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if not self._told.is_set():
            parent.end_soon("it was told to end")
        self._told.set()
        if self._work is not None:
            self._work.end()


def serve(name: str, config: Settings) -> int:
    """Serve until told to end; the batch in hand is finished and acknowledged. The code to exit with."""
    parent.follow()
    frozen.watch(2 * config.plugin_timeout_s, config.batch_limit_s)
    ending = Ending()
    queue = name if name in compose.QUEUES else ""
    shown = Shown(
        Presence(config.database_url, name, queue, version("panda-fsm"), metrics=_metrics(name, config)),
        queue, config.sites_file, for_pilots=name == compose.GATEWAY,
    )  # fmt: skip
    if name == compose.GATEWAY and config.sites_file is not None:
        shown.read_file()  # it serves pilots before the database has said what it knows
    shown.start()
    try:
        # A gateway listens from the start: whoever looks whether it is ready gets an answer.
        if name == compose.GATEWAY or (
            _is_ready(config.database_url, shown.condition, ending) and _has_heard(shown, ending)
        ):
            with (
                tracing.to(config.otlp_endpoint, name),
                compose.work(name, config, shown.condition, shown.progress, shown.known) as work,
            ):
                _collect_seldom()
                log.info("serving", name=name)
                ending.run(work)
    except PandaError:
        raise  # a person can mend it, and is told in a sentence
    except Exception:
        log.exception("crashed")
        return 1
    shown.end()
    log.info("stopped")
    return 0


def _has_heard(shown: Shown, ending: Ending) -> bool:
    """True once it is known which queues there are, and whether that of this process is paused: who worked before would
    refuse jobs of queues that there are."""
    while not ending.wait(0):
        has_heard = shown.wait_until_heard(_LOOK_S)
        shown.condition.note("start", None if has_heard else "which queues there are is not known yet")
        if has_heard:
            return True
    return False


def _metrics(name: str, config: Settings) -> str | None:
    """Where this process shows what it counts, if it does. A gateway does at its own address."""
    if not config.metrics_port:
        return None
    if name == compose.GATEWAY:
        return f"{config.gateway_host}:{config.gateway_port}"
    from command import metrics

    return metrics.serve(config.metrics_host, config.metrics_port)


def leave(code: int) -> NoReturn:
    """The last act of a served process. Python's own end would wait for every thread that a plugin left behind."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _collect_seldom() -> None:
    """What is there now stays: looking through it again and again costs time, and holds up whoever is served."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _is_ready(database_url: str, condition: Condition, ending: Ending) -> bool:
    """True once the database has what this program needs; until then no message is taken, and none is to blame."""
    required = Required(database_url)
    try:
        while not ending.wait(0):
            missing, away = None, None
            try:
                missing = required.missing()
            except PandaError as error:
                away = str(error)
            condition.note("schema", missing)
            condition.note("database", away)
            if missing is None and away is None:
                return True
            ending.wait(_LOOK_S)
        return False
    finally:
        required.close()
