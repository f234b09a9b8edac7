"""The worker processes of a daemon: started clean, kept, and replaced when they die or are ended."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from multiprocessing.connection import Connection, Pipe

import structlog

from panda_fsm.trouble import Backoff
from periodic.turns import Turn
from periodic.worker import Order, Report

log = structlog.get_logger()

Start = Callable[[int], "subprocess.Popen[bytes]"]
"""Starts a worker that talks with its master by a file descriptor, in a session of its own."""
_RESTART_S = (0.2, 10.0)
_LONG_S = 10.0
"""Who lived so long did not fail at start."""


@dataclass(slots=True)
class Hand:
    """A worker, as its master knows it; without a process it is started at `due_at`."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    talk: Connection | None = None
    is_ready: bool = False
    has_begun: bool = False
    """It was ready once."""
    turn: Turn | None = None
    began: float = 0.0
    began_at: datetime | None = None
    is_over: bool = False
    """Ended by us, for its slice took too long."""
    started: float = 0.0
    due_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(*_RESTART_S))

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.turn is None

    @property
    def over_at(self) -> float:
        """When the slice in hand is over its limit."""
        return inf if self.turn is None or self.is_over else self.began + self.turn.duty.limit_s


class Crew:
    """So many workers."""

    def __init__(self, start: Start, size: int, selector: selectors.BaseSelector) -> None:
        """`selector` tells who says something, or has died."""
        self._start = start
        self._selector = selector
        self.hands = [Hand(number) for number in range(size)]

    def tend(self) -> None:
        """Start those that are missing and whose time has come."""
        for hand in self.hands:
            if hand.process is None and time.monotonic() >= hand.due_at:
                self._begin(hand)

    def next_s(self) -> float:
        """Seconds until one is to be started, or is over its limit."""
        moments = [hand.over_at if hand.process is not None else hand.due_at for hand in self.hands]
        return min(moments) - time.monotonic()

    def idle(self) -> list[Hand]:
        """Those who wait for something to do."""
        return [hand for hand in self.hands if hand.is_idle]

    def busy(self) -> list[Hand]:
        """Those who have something to do."""
        return [hand for hand in self.hands if hand.turn is not None]

    def give(self, hand: Hand, turn: Turn) -> None:
        """Have an idle worker do a slice. One that has just died is heard of next."""
        hand.turn, hand.began, hand.began_at = turn, time.monotonic(), datetime.now(UTC)
        if hand.talk is not None:
            with contextlib.suppress(OSError):
                hand.talk.send(Order(turn.duty.name, turn.memory))

    def hear(self, hand: Hand) -> Report | None:
        """What it says; None: that it is ready. Raises EOFError when it is dead."""
        if hand.talk is None:
            raise EOFError
        try:
            said: Report | None = hand.talk.recv()
        except OSError as error:
            raise EOFError from error
        hand.is_ready = hand.has_begun = True
        return said

    def end_those_over(self) -> list[Hand]:
        """End those whose slice took too long; that they died is heard of next."""
        over = [hand for hand in self.hands if hand.over_at <= time.monotonic()]
        for hand in over:
            hand.is_over = True
            _kill(hand)
        return over

    def bury(self, hand: Hand, *, is_expected: bool) -> None:
        """It is dead: note when the next one starts. Who was ended by us, or killed at work, is back at once."""
        _kill(hand)
        if hand.process is None or hand.talk is None:
            return
        code = hand.process.wait()
        wait_s = 0.0
        if hand.turn is None and not hand.is_over and (code != -signal.SIGKILL or not hand.has_begun):
            if time.monotonic() - hand.started > _LONG_S:
                hand.backoff.reset()
            wait_s = hand.backoff.next_s()
        if not is_expected:
            log.warning("worker_died", pid=hand.process.pid, exit_code=code, again_in_s=round(wait_s, 1))
        self._hang_up(hand)
        hand.process = hand.turn = None
        hand.is_ready = hand.has_begun = hand.is_over = False
        hand.due_at = time.monotonic() + wait_s

    def dismiss(self) -> None:
        """Let those go who are idle; who is just starting holds nothing yet."""
        for hand in self.hands:
            if hand.is_idle and hand.talk is not None:
                hand.is_ready = False
                with contextlib.suppress(OSError):
                    hand.talk.send(None)
            elif hand.turn is None and not hand.has_begun:
                _kill(hand)

    def end(self, within_s: float) -> None:
        """Wait for all to go, and end those that do not."""
        until = time.monotonic() + within_s
        for hand in self.hands:
            if hand.process is None or hand.talk is None:
                continue
            try:
                hand.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("killed", pid=hand.process.pid)
                _kill(hand)
                hand.process.wait()
            self._hang_up(hand)
            hand.process = None

    def _begin(self, hand: Hand) -> None:
        ours, theirs = Pipe()
        try:
            hand.process = self._start(theirs.fileno())
        except OSError as error:  # the machine has no memory or no process left
            ours.close()
            hand.due_at = time.monotonic() + hand.backoff.next_s()
            log.error("not_started", process="worker", error=str(error))
            return
        finally:
            theirs.close()
        hand.talk, hand.started = ours, time.monotonic()
        self._selector.register(ours, selectors.EVENT_READ, hand)

    def _hang_up(self, hand: Hand) -> None:
        if hand.talk is not None:
            self._selector.unregister(hand.talk)
            hand.talk.close()
            hand.talk = None


def _kill(hand: Hand) -> None:
    """With whomever it started."""
    if hand.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(hand.process.pid, signal.SIGKILL)
