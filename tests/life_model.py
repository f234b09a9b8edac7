"""What becomes of a job, written from docs/semantics.md alone: nothing here knows the server's tables or its code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

WITH_PILOT = ("sent", "starting", "running")
FINAL = ("finished", "failed", "closed", "cancelled")
_CLOSING = (2, 4, 10, 51, 55, 60)
"""§1.3: with these the system ends a job; all other codes are somebody's wish."""
_HANDED_OUT_AGAIN = 3


@dataclass
class Life:
    """One job; each method is one message that a service handled.

    `away`: inputs that must move first, `nowhere`: those of them that nobody has yet, `moving`: outputs on their way.
    `words`: the pilot's last ones. `is_silent`: nothing was heard of it for longer than its state may last.
    """

    job_id: int
    away: set[str]
    outputs_move: bool
    nowhere: set[str] = field(default_factory=set)
    state: str = "defined"
    version: int = 1
    returns: int = 0
    words: str | None = None
    is_told: bool = False
    verdict: str | None = None
    is_silent: bool = False
    moving: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def _go(self, state: str) -> None:
        self.state = state
        self.version += 1
        self.is_silent = False

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    def set_up(self, version: int) -> None:
        """§3.1: the Setupper looks at the event of a defined or waiting job."""
        if self.state not in ("defined", "waiting") or version != self.version:
            return
        if not self.nowhere:
            self.missing = set(self.away)
            self._go("assigned" if self.away else "activated")
        elif self.state == "defined":
            self._go("waiting")

    def reassigned(self) -> None:
        """§1.2: back to the beginning, if no pilot has had it."""
        if self.state in ("waiting", "assigned", "activated"):
            self._go("defined")

    def throttled(self, on: bool) -> None:
        """§1.2: held back from pilots, or let go."""
        if self.state == ("activated" if on else "throttled"):
            self._go("throttled" if on else "activated")

    def inputs(self, lfns: Iterable[str], arrived: bool) -> None:
        """§3.2: inputs arrived, or will not."""
        if self.state != "assigned" or not arrived:
            if self.state == "assigned":
                self._go("failed")
            return
        self.missing -= set(lfns)
        if not self.missing:
            self._go("activated")

    def claimed(self) -> None:
        """A pilot took it."""
        assert self.state == "activated"
        self._go("sent")

    def reported(self, said: str, returns: int, gives_back: bool = False) -> None:
        """§3.4: the Watcher reads what a pilot said when the job had come back so many times."""
        if returns != self.returns or self.is_final:
            return
        if self.state in WITH_PILOT:
            self._reported(said, gives_back)
        elif self.state in ("holding", "transferring") and self.words is None:
            if said == "failed" and gives_back:
                self._go("closed")
            elif said in ("finished", "failed"):
                self.words = said
                self._go("holding")
            else:
                self.is_silent = False

    def _reported(self, said: str, gives_back: bool) -> None:
        match said:
            case "starting" if self.state == "sent":
                self._go("starting")
            case "starting":
                self.is_silent = False
            case "running" if self.state == "running":
                self.is_silent = False
            case "running":
                self._go("running")
            case "holding" | "transferring":
                self._go(said)
            case "failed" if gives_back:
                self._go("closed")
            case "finished" | "failed":
                self.words = said
                self._go("holding")

    def killed(self, code: int, forced: bool) -> None:
        """§1.3: only the pilot of a running job is asked, unless the kill is forced."""
        if self.is_final:
            return
        if self.state == "running" and not forced:
            self.is_told = True
        else:
            self._go("closed" if code in _CLOSING else "cancelled")

    def overdue(self, state: str, version: int) -> None:
        """§4.3: a deadline, of the state and version that it was announced for."""
        if (state, version) != (self.state, self.version) or not self.is_silent or self.is_final:
            return
        if self.state in ("defined", "waiting", "assigned", "activated", "throttled"):
            self._go("closed")
        elif self.state == "sent" and self.returns < _HANDED_OUT_AGAIN:
            self.returns += 1
            self._go("activated")
        elif not (self.state == "holding" and self.words):
            self._go("failed")

    def outputs_looked_at(self, version: int, outputs: Iterable[str]) -> None:
        """§3.6: the Adder reads the last words of a holding job, once."""
        if (self.state, self.version) != ("holding", version) or self.words is None or self.verdict is not None:
            return
        if self.words == "finished" and self.outputs_move:
            self.moving = dict.fromkeys(outputs, "moving")
            self._go("transferring")
        elif self.words == "finished":
            self.verdict = "finished"
        else:
            self.verdict = "cancelled" if self.is_told else "failed"

    def verdict_heard(self, version: int, verdict: str) -> None:
        """§3.8: the Finisher hears what the Adder found."""
        if (self.state, self.version) == ("holding", version):
            assert verdict == self.verdict
            self._go(verdict)

    def outputs(self, lfns: Iterable[str], arrived: bool) -> None:
        """§3.8: outputs arrived at their destination, or will not."""
        if self.state != "transferring" or self.words is None:
            return
        for lfn in lfns:
            if self.moving.get(lfn) == "moving":
                self.moving[lfn] = "there" if arrived else "failed"
        if "moving" not in self.moving.values():
            failed = "cancelled" if self.is_told else "failed"
            self._go(failed if "failed" in self.moving.values() else "finished")
