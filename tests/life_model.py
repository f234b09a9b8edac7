"""What becomes of a job, written from docs/semantics.md alone: nothing here knows the server's tables or its code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.life_rules import (
    CLOSING,
    ERROR_OF_KILL,
    HANDED_OUT_AGAIN,
    SAID_ANEW,
    SUB_STATUS_OF_KILL,
    Timeout,
    is_forced,
    timeouts,
)

WITH_PILOT = ("sent", "starting", "running")
FINAL = ("finished", "failed", "closed", "cancelled")
_UNSETTLED = ("unknown", "transferring", "merging")


@dataclass
class Said:
    """What a report says. `stored`: the files that it lists, None where nobody can read it; `code`: the pilot's error;
    `is_foreign`: it came from another batch."""

    state: str
    attempt: int | None = None
    returns: int | None = None
    code: int = 0
    sub_status: str | None = None
    stored: frozenset[str] | None = None
    is_foreign: bool = False


@dataclass
class Life:
    """One job; each method is one message that a service handled.

    `away`: inputs that must move first, `nowhere`: those of them that nobody has yet, `files`: its output and its log,
    `moves`: whether these go elsewhere, `unmerged`: those that another job shall merge, `mergers`: the jobs that were
    submitted to do so, `merges`: those whose outputs it merges itself. `words`: the pilot's last ones. `told`: what its
    pilot is to hear. `entered`, `heard`: days ago.
    """

    job_id: int
    label: str
    away: set[str]
    files: dict[str, str]
    moves: bool
    nowhere: set[str] = field(default_factory=set)
    unmerged: set[str] = field(default_factory=set)
    state: str = "defined"
    attempt: int = 0
    has_attempt_left: bool = False
    version: int = 1
    returns: int = 0
    words: Said | None = None
    told: str = ""
    verdict: str | None = None
    entered: int = 0
    heard: int = 0
    missing: set[str] = field(default_factory=set)
    mergers: list[Life] = field(default_factory=list)
    merges: list[Life] = field(default_factory=list)
    keeps_unmerged: bool = False
    errors: dict[str, int] = field(default_factory=dict)
    sub_status: str = ""

    def _go(self, state: str) -> None:
        self.state = state
        self.version += 1
        self.entered = self.heard = 0
        if self.is_final:  # semantics 8, point 6: every end moves the outputs off
            self.files |= {lfn: "failed" for lfn, status in self.files.items() if status in _UNSETTLED}

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_killed(self) -> bool:
        """Whether its pilot is to stop."""
        return self.told == "tobekilled"

    @property
    def owes_words(self) -> bool:
        """Whether a pilot has it, and its last words are to come."""
        return self.state in WITH_PILOT or (self.state in ("holding", "transferring") and self.words is None)

    def released(self) -> None:
        """§1.2: what was held back goes."""
        if self.state == "pending":
            self._go("defined")

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
        if self.state in ("pending", "waiting", "assigned", "activated"):
            self._go("defined")

    def throttled(self, on: bool) -> None:
        """§1.2: held back from pilots, or let go."""
        if self.state == ("activated" if on else "throttled"):
            self._go("throttled" if on else "activated")

    def inputs(self, lfns: Iterable[str], arrived: bool) -> None:
        """§3.2: inputs arrived, or will not."""
        if self.state != "assigned":
            return
        if not arrived:
            self.errors["ddm"] = 201
            self._go("failed")
            return
        self.missing -= set(lfns)
        if not self.missing:
            self._go("activated")

    def claimed(self) -> None:
        """A pilot took it."""
        assert self.state == "activated"
        self._go("sent")

    def reported(self, said: Said) -> None:
        """§3.4: the Watcher reads what a pilot said; attempt, batch and the pilots before tell ghosts."""
        if said.attempt not in (None, self.attempt) or said.returns != self.returns or self.is_final:
            return
        if said.is_foreign:
            self.errors["sup"] = 1
        elif self.owes_words:
            if said.code:
                self.errors["pilot"] = said.code
            if said.sub_status is not None:
                self.sub_status = said.sub_status
            self._reported(said)

    def _reported(self, said: Said) -> None:
        match said.state:
            case "failed" if said.sub_status == "pilot_closed":  # §1.3, code 60
                self.errors["task_buffer"] = 100
                self._go("closed")
            case "finished" | "failed":
                self.words = said
                self._go("holding")
            case "starting" if self.state == "sent":
                self._go("starting")
            case "running" if self.state in ("sent", "starting"):
                self._go("running")
            case "holding" | "transferring" if self.state in WITH_PILOT:
                self._go(said.state)
            case _:
                self.heard = 0

    def killed(self, code: int, by_production: bool, keeps_unmerged: bool) -> None:
        """§1.3: only the pilot of a running job is asked, unless the kill is forced."""
        if self.is_final:
            return
        if self.state != "running" or (by_production and is_forced(code, self.label)):
            self.errors["task_buffer"] = ERROR_OF_KILL.get(code, 100)
            self.sub_status = SUB_STATUS_OF_KILL.get(code, self.sub_status)
            self.keeps_unmerged |= keeps_unmerged
            self._go("closed" if code in CLOSING else "cancelled")
        elif not self.is_killed or code in SAID_ANEW:
            self.told = "tobekilled"
            self.keeps_unmerged |= keeps_unmerged
            self.errors["kill"] = ERROR_OF_KILL.get(code, 100)

    def commanded(self, command: str | None, debug: bool | None) -> None:
        """§3.4: debug mode stays, a soft kill stands alone, a kill replaces both, whose pilot is done hears none."""
        if self.is_final or self.words is not None or self.is_killed:
            return
        if command == "softkill" or (command is None and self.told == "softkill"):
            self.told = "softkill"
        else:
            is_on = self.told == "debug" if debug is None else debug
            self.told = "debug" if is_on else ""

    def overdue(self, state: str, version: int, is_idle: bool, in_vain: bool) -> None:
        """§4.3: a deadline, of the state and version that it was announced for; `is_idle`: its task does not go on,
        `in_vain`: not all that it merges are there."""
        if (state, version) != (self.state, self.version) or self.is_final or (state == "holding" and self.words):
            return
        in_vain = in_vain and any(one.is_final for one in self.merges)
        passed = {
            t: late
            for t in timeouts(self.state, self.label, self.words is not None, is_idle, in_vain)
            if (late := self._late(t)) > 0
        }
        if not passed:
            return
        timeout = max(passed, key=passed.__getitem__)
        if timeout.kill:
            self.errors["task_buffer"] = ERROR_OF_KILL.get(timeout.kill, 100)
            self.sub_status = SUB_STATUS_OF_KILL.get(timeout.kill, self.sub_status)
            self._go("closed" if timeout.kill in CLOSING else "cancelled")
        elif self.state == "sent" and self.returns < HANDED_OUT_AGAIN:
            self.returns += 1
            self._go("activated")
        else:
            is_lost = timeout.component == "job_dispatcher" and self.state != "sent"
            self.errors[timeout.component] = 101 if is_lost and "pilot" in self.errors else timeout.code
            self._go("failed")

    def _late(self, timeout: Timeout) -> float:
        return 24 * (self.entered if timeout.since_entry else self.heard) - timeout.hours

    def outputs_looked_at(self, version: int) -> None:
        """§3.6: the Adder reads the last words of a holding job, once."""
        words = self.words
        if (self.state, self.version) != ("holding", version) or words is None or self.verdict is not None:
            return
        stored = words.stored or frozenset()
        if words.state == "finished" and stored >= self.files.keys():
            self.files = {lfn: self._planned(lfn) for lfn in self.files}
            if not self._follows_files():
                self.verdict = "finished"
            return
        kept = [lfn for lfn in self.files if lfn.startswith("log.") and lfn in stored]
        self.files = {lfn: "ready" if lfn in kept else "failed" for lfn in self.files}
        is_explained = "pilot" in self.errors
        if words.stored is not None:
            is_explained = words.state == "failed" and (is_explained or self.is_killed)
        if not is_explained:
            self.errors["ddm"] = 200
        self.verdict = "cancelled" if self.is_killed else "failed"

    def _planned(self, lfn: str) -> str:
        if lfn in self.unmerged:
            return "merging"
        return "transferring" if self.moves else "ready"

    def _follows_files(self) -> bool:
        """§3.8: outputs on their way keep it transferring, then those to be merged keep it merging."""
        for status in ("transferring", "merging"):
            if status in self.files.values():
                self.sub_status = ""
                self._go(status)
                return True
        return False

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
            if self.files[lfn] == "transferring":
                self.files[lfn] = "ready" if arrived else "failed"
                if not arrived:
                    self.errors["task_buffer"] = 101
        if "transferring" in self.files.values():
            return
        if "failed" in self.files.values():
            self._go("cancelled" if self.is_killed else "failed")
        elif not self._follows_files():
            self._go("finished")

    def mergers_looked_at(self, version: int) -> None:
        """§3.8: one that merged its outputs is enough, and only the end of the last one that may is the end."""
        if (self.state, self.version) != ("merging", version) or not self.mergers:
            return
        if any(one.state == "finished" for one in self.mergers):
            self.files = dict.fromkeys(self.files, "ready")
            self._go("finished")
        elif all(one.is_final for one in self.mergers) and (last := [one for one in self.mergers if one.is_last]):
            self.errors["task_buffer"] = 113
            self.sub_status = f"merge_{last[0].state}"
            self._go("failed")

    @property
    def is_last(self) -> bool:
        """Whether nobody tries again what this one did not merge."""
        return not self.has_attempt_left and not self.keeps_unmerged and self.sub_status != "toreassign"
