"""Dead letters as operators look at them: groups that died alike, single letters, and what one was before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from panda_fsm.views.cursors import Cursors, Key
from panda_fsm.views.payloads import Shown
from panda_fsm.views.redaction import redacted
from panda_fsm.views.words import counted

CURSORS = Cursors("dead letters", datetime, int)
STATUSES = ("open", "replayed", "discarded")
MOST_COUNTED = 5000
"""Letters of a group that are counted: then it is "at least" so many."""
MOST_GROUPS = 300
"""Groups that are looked at: of more causes the others are seen once some of these are settled."""
MOST_OPEN = 10_000
"""Open letters that are counted for the navigation."""
MOST_AT_ONCE = 1000
"""Letters that are settled from a page at once: what is left is still open."""
_LONGEST_COUNT = 10
CONFIRMED_FROM = 101
"""Who settles so many letters types how many they are."""
_LONGEST_ID = 18
Fate = Literal["replayed", "discarded"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which open dead letters are meant; None means any."""

    ids: Sequence[int] | None = None
    fingerprint: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """Who settles letters and why. `actor` is an identity's key, `name` what it is called, where that is another."""

    actor: str
    reason: str = ""
    name: str = ""

    @property
    def detail(self) -> dict[str, str]:
        """For the audit."""
        return {word: said for word, said in (("name", self.name), ("reason", self.reason)) if said}


@dataclass(slots=True)
class Settled:
    """How many letters were settled, and why others cannot be replayed, by their numbers."""

    letters: int = 0
    unreadable: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are looked at; None where any will do. `after`: where a list goes on."""

    status: str = "open"
    fingerprint: str | None = None
    queue: str | None = None
    since: datetime | None = None
    after: Key | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Group:
    """Letters that died alike in one queue. `replays` of them had been replayed before; `sample_id` is the newest."""

    fingerprint: str
    queue: str
    cause: str
    letters: int
    replays: int
    first_at: datetime
    last_at: datetime
    sample_id: int

    @property
    def is_more(self) -> bool:
        """Whether there are more than were counted."""
        return self.letters >= MOST_COUNTED


@dataclass(frozen=True, slots=True)
class Line:
    """A letter in a list."""

    dead_letter_id: int
    at: datetime
    queue: str
    reason: str
    fingerprint: str
    status: str
    size: int
    replay_of_id: int | None
    times_replayed: int
    settled_at: datetime | None
    settled_by: str | None
    settle_reason: str | None
    is_edited: bool


@dataclass(frozen=True, slots=True)
class Kin:
    """Another letter of the same message: what it was before it was replayed, or what the replay became."""

    dead_letter_id: int
    at: datetime
    status: str
    reason: str
    settled_at: datetime | None
    settled_by: str | None
    settle_reason: str | None
    is_edited: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter as people read it: no secret is shown. `error` is what the handler said last, and where.

    `way` is what its headers say of how it came here. `job_ids` are those that it is about, as far as it can be read.
    `edit_diff`: what was changed in the copy that was sent. `earlier` is what it was before it was replayed, the oldest
    first; `later` what its replay became, should that have died again.
    """

    line: Line
    exchange: str
    routing_key: str
    headers: Mapping[str, str]
    way: str
    error: str
    body: Shown
    job_ids: Sequence[int]
    edit_diff: str | None = None
    earlier: Sequence[Kin] = ()
    later: Sequence[Kin] = ()


def letter_number(name: str) -> int | None:
    """The number of a letter, as it stands in an address."""
    return int(name) if name.isascii() and name.isdigit() and len(name) <= _LONGEST_ID else None


def way(headers: Mapping[str, str]) -> str:
    """What its headers say of how a letter came here, in words."""
    put_off, deliveries = (_number(headers.get(name, "")) for name in ("retries", "x-delivery-count"))
    said = []
    if put_off:
        said.append(f"put off {counted(put_off, 'time')}, last for: {redacted(headers.get('reason', '?'))}")
    if deliveries:
        said.append(f"handed out again {counted(deliveries, 'time')}")
    return "; ".join(said) or "refused at once"


def _number(text: str) -> int:
    """A header that counts; anybody may write into it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST_COUNT else 0
