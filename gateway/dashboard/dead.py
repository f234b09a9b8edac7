"""Dead letters: what was refused, why, may I send it again? What died alike together, and one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, SINCE, Filters, Limit, Moment, Text, place
from gateway.dashboard.page import Page
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.views.cursors import Key
from panda_fsm.views.dead_letters import (
    CONFIRMED_FROM,
    CURSORS,
    MOST_AT_ONCE,
    MOST_GROUPS,
    Choice,
    Group,
    Letter,
    Line,
    Wanted,
    letter_number,
)
from panda_fsm.views.replaying import DryRun

_SHOWN = 50


class DeadFilters(Filters):
    """Which dead letters."""

    queue: Text | None = Field(None, description="in which queue they died, such as watcher")
    fingerprint: Text | None = Field(None, description="those that died alike: the fingerprint of their group")
    status: Literal["open", "replayed", "discarded"] = Field("open", description="open, replayed or discarded")
    since: Moment | None = Field(None, description=SINCE)
    dry_run: Literal["yes"] | None = Field(None, description="yes: what a replay of the open letters would do")
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)


@dataclass(frozen=True, slots=True)
class Exceptional:
    """A letter that would not just apply, and why."""

    dead_letter_id: int
    prospect: str
    why: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a replay would do: `eligible` letters would be sent, `counts` by what would become of them."""

    sentence: str
    eligible: int
    is_whole: bool
    counts: Mapping[str, int]
    exceptions: tuple[Exceptional, ...]

    @classmethod
    def of(cls, found: DryRun) -> "Expected":
        """The dry run, in words; of very many exceptions the first."""
        shown = (
            Exceptional(one.letter_id, one.prospect.value[0], one.why) for one in found.exceptions[:_SHOWN]
        )  # fmt: skip
        counts = {prospect.name.lower(): count for prospect, count in found.counts.items()}
        return cls(found.sentence, found.eligible, found.is_whole, counts, tuple(shown))


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Groups and letters. `expected`: of a dry run, where one was asked for."""

    groups: tuple[Group, ...]
    rows: tuple[Line, ...]
    next: str | None
    expected: Expected | None

    @property
    def is_cut(self) -> bool:
        """Whether there may be more groups than these."""
        return len(self.groups) >= MOST_GROUPS

    def to_confirm(self, group: Group) -> int:
        """How many letters of a group are settled at once, where that must be typed; 0: they are few."""
        meant = min(group.letters, MOST_AT_ONCE)
        return meant if meant >= CONFIRMED_FROM else 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter, and what would become of it, while it is open."""

    rows: tuple[Line, ...]
    letter: Letter
    expected: Expected | None


async def look(board: Board, _call: Call, filters: DeadFilters) -> DeadLetters:
    """What nobody could handle: groups of what died alike, and letters, the newest first."""
    reads = board.store.dead_letters
    wanted = Wanted(**filters.model_dump(exclude={"dry_run"}))
    part = await reads.letters(wanted)
    expected = None
    if filters.dry_run and (filters.fingerprint or filters.queue):
        choice = Choice(fingerprint=filters.fingerprint, queue=filters.queue)
        expected = Expected.of(await reads.dry_run(choice))
    return DeadLetters(tuple(await reads.groups(wanted)), part.rows, part.next, expected)


async def look_at_one(board: Board, call: Call, _filters: Filters) -> DeadLetter:
    """A letter with all that is known of it, no secret shown, and whether it is safe to replay."""
    name = str(call.request.path_params["name"])
    letter_id = letter_number(name)
    letter = None if letter_id is None else await board.store.dead_letters.letter(letter_id)
    if letter is None or letter_id is None:
        raise NotFoundError(f"there is no dead letter {name!r:.80}")
    expected = None
    if letter.line.status == "open":
        expected = Expected.of(await board.store.dead_letters.dry_run(Choice([letter_id])))
    return DeadLetter((letter.line,), letter, expected)


async def _open(board: Board) -> int:
    return await board.store.dead_letters.open_letters()


PAGE = Page(
    "dead", "Dead letters", "dead.html", look, Action.LOOK, Line, DeadFilters, "Dead letters", _open
)  # fmt: skip
ONE = Page("dead/{name}", "Dead letter", "dead_letter.html", look_at_one, Action.LOOK, Line)
