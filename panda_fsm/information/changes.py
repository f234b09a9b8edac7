"""What a source changes: which entries are put, which are gone, and when its word is not believed.

What is known is never emptied because a source was empty or half: who lacks many of the entries that it had is not
followed at all until somebody says that this is right.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from panda_fsm.information.models import READ_BY_PILOTS, Fact, Kind, Queue
from panda_fsm.information.reading import Key, Read, refuse_references
from panda_fsm.messages import cut

FEW = 5
"""So many entries of a kind may always go at once."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is known, who said it, and the fingerprint of all that was said."""

    source: str
    fact: Fact
    digest: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a source may take away: so many percent of what it has, or anything (`allow_removals`).

    `sources` are those that are asked: what another one said stays his, what one said that is asked no more may be
    said by any.
    """

    percent: float
    sources: Collection[str]
    allow_removals: bool = False


@dataclass(slots=True)
class Changes:
    """`refused`: why nothing of it is done, though it could be read."""

    put: dict[Key, Fact] = field(default_factory=dict)
    gone: list[Key] = field(default_factory=list)
    rejected: dict[Key, str] = field(default_factory=dict)
    refused: str | None = None


def changes(source: str, read: Read, held: Mapping[Key, Held], bounds: Bounds) -> Changes:
    """What becomes of what is held when `source` says this."""
    for key in list(read.facts):
        other = held[key].source if key in held else source
        if other != source and other in bounds.sources:
            del read.facts[key]
            read.rejected[key] = f"source {other} has it already"
    refuse_references(read, {key: one.fact for key, one in held.items()})
    own = [key for key, one in held.items() if one.source == source]
    missing = {key for key in own if key not in read.facts and key not in read.rejected}
    kept = dict(_still_used(missing, read, held))
    gone = sorted(missing - kept.keys())
    found = Changes(
        {key: fact for key, fact in read.facts.items() if key not in held or _differs(source, fact, held[key])},
        gone, read.rejected | kept, _not_believed(source, read, own, missing, bounds),
    )  # fmt: skip
    if found.refused is not None:
        found.put, found.gone = {}, []
    return found


def digest(fact: Fact) -> str:
    """A fingerprint of all that a source said of one thing."""
    said = fact.model_dump(mode="json", exclude={"override"})
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def difference(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Both, without what is the same in them; what pilots read is looked through too. None: it is not there."""
    if before is None or after is None:
        return _plain(before), _plain(after)
    was, now = dict(before), dict(after)
    for name in READ_BY_PILOTS.values():
        if isinstance(was.get(name), dict) and isinstance(now.get(name), dict):
            was[name], now[name] = difference(was[name], now[name])
    names = [name for name in was.keys() | now.keys() if was.get(name) != now.get(name)]
    return {name: was.get(name) for name in sorted(names)}, {name: now.get(name) for name in sorted(names)}


def _plain(said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """All of it but what pilots read, which is long and can be looked at where it is."""
    return None if said is None else {name: it for name, it in said.items() if name not in READ_BY_PILOTS.values()}


def _differs(source: str, fact: Fact, held: Held) -> bool:
    return held.source != source or held.digest != digest(fact)


def _still_used(missing: Collection[Key], read: Read, held: Mapping[Key, Held]) -> Iterator[tuple[Key, str]]:
    """Storages that are not spoken of any more, but that a queue names which stays."""
    storages = {name for kind, name in missing if kind is Kind.STORAGE}
    if storages:
        stays = {key: one.fact for key, one in held.items() if key not in missing} | read.facts
        for (_, name), fact in stays.items():
            if isinstance(fact, Queue):
                for storage in storages.intersection((fact.storage, *fact.storages)):
                    yield (
                        (Kind.STORAGE, storage),
                        cut(f"its source has it no more, but queue {name} names it: it stays"),
                    )


def _not_believed(
    source: str, read: Read, own: Collection[Key], missing: Collection[Key], bounds: Bounds
) -> str | None:
    """Each kind is counted by itself: a file may lack all its queues, and have many storages and links."""
    if bounds.allow_removals:
        return None
    if not read.facts:
        kept = f": the {len(own)} that are known stay" if own else ""
        return f"it has no entry that can be used{kept}"
    had, lacks = Counter(kind for kind, _ in own), Counter(kind for kind, _ in missing)
    for kind, number in sorted(lacks.items()):
        is_much = number > FEW and number * 100 > bounds.percent * had[kind]
        if is_much or (kind is not Kind.FOLDER and not read.names(kind)):
            return (
                f"it lacks {number} of the {had[kind]} entries that it had of kind {kind}, so nothing of it is taken; "
                f"if that is right: panda-fsm queues import --allow-removals {source}"
            )
    return None
