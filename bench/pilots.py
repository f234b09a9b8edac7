"""The handle on a process of its own in which simulated users and pilots ask as fast as they are answered."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import uvloop

from bench.crowd import Burst, Crowd, Served
from bench.plant import BenchError

_ANSWER_S = 240.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How many pilots ask at a time, and whether each opens a connection for every request as the real one does."""

    pilots: int = 32
    connects_anew: bool = False


class PilotProcess:
    """The handle on the process; it ends with us, however we end."""

    def __init__(self, port: int, kind: Kind = Kind()) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_main, args=(port, kind, there), daemon=True)

    def __enter__(self) -> PilotProcess:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def submit(self, bodies: list[bytes]) -> Served:
        """Send submissions, one after another."""
        return self._ask("submit", bodies)

    def acquire(self, count: int) -> Served:
        """Ask that many times for a job; every request must get one."""
        return self._ask("acquire", count)

    def ask_in_vain(self, asks: list[dict[str, Any]]) -> Served:
        """One pilot asks with these fields, one request after another; none may get a job."""
        return self._ask("ask_in_vain", asks)

    def update(self, states: list[tuple[int, str]], encoding: str = "") -> Served:
        """Report states of jobs, in this order, with bodies as they are or packed by `gzip`."""
        return self._ask("update", (states, encoding))

    def live(self, bodies: list[bytes], count: int, described: list[int] | None = None) -> Served:
        """Submit, and be pilots until every one of that many jobs was reported finished.

        Meanwhile somebody has the jobs `described` described, again and again.
        """
        return self._ask("live", (bodies, count, described or []))

    def burst(self, connections: int, rounds: int) -> Burst:
        """That many pilots that are connected already ask for a job at once."""
        found = self._answer_to("burst", (connections, rounds))
        if isinstance(found, Burst):
            return found
        raise BenchError(f"pilots: {found}")

    def _ask(self, what: str, value: object) -> Served:
        answer = self._answer_to(what, value)
        if isinstance(answer, Served):
            return answer
        raise BenchError(f"pilots: {answer}")

    def _answer_to(self, what: str, value: object) -> object:
        self._pipe.send((what, value))
        try:
            if not self._pipe.poll(_ANSWER_S):
                raise BenchError(f"pilots: no answer to {what} within {_ANSWER_S:.0f} s")
            return self._pipe.recv()
        except EOFError:
            raise BenchError(f"pilots: the process ended while asked to {what}") from None


def _main(port: int, kind: Kind, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crowd = runner.run(Crowd.gather(port, kind.pilots, kind.connects_anew))
        commands: dict[str, Callable[[Any], Any]] = {
            "submit": lambda value: crowd.timed(crowd.submit(value)),
            "acquire": lambda value: crowd.timed(crowd.acquire(value)),
            "ask_in_vain": lambda value: crowd.timed(crowd.ask_in_vain(value)),
            "update": lambda value: crowd.timed(crowd.update(*value)),
            "live": lambda value: crowd.timed(crowd.live(*value)),
            "burst": lambda value: crowd.burst(*value),
        }
        while True:
            try:
                what, value = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(runner.run(commands[what](value)))
            except Exception as error:
                pipe.send(repr(error))
