"""What a source sent, entry by entry: what can be used, and why the rest cannot. One bad entry is alone in that."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import ValidationError

from panda_fsm.errors import PandaError, complaint
from panda_fsm.information import cric
from panda_fsm.information.models import MODELS, READ_BY_PILOTS, Fact, Kind, Queue
from panda_fsm.messages import cut

READING = 1
"""Counts up when more is read of an entry: then what a source has not changed since is read again."""
MOST_ENTRIES = 50_000
LARGEST_ENTRY = 1 << 20
_LONGEST_NAME = 200
_SHOWN_OF_A_WAY = 10
Key = tuple[Kind, str]
SECTIONS = {"queues": Kind.QUEUE, "sites": Kind.SITE, "storages": Kind.STORAGE, "network": Kind.NETWORK}
_FOLDERS = ("transformations", "block_register")
"""In a sites file these two are paths."""


class UnreadableSourceError(PandaError):
    """Nothing of what a source sent can be used; the message says why."""


@dataclass(slots=True)
class Read:
    """What can be used, and the reason for each entry that cannot."""

    facts: dict[Key, Fact] = field(default_factory=dict)
    rejected: dict[Key, str] = field(default_factory=dict)

    def names(self, kind: Kind) -> set[str]:
        """Whatever was said of them."""
        return {name for one, name in (*self.facts, *self.rejected) if one is kind}


def read_cric(kind: Kind, content: bytes) -> Read:
    """A document of CRIC with things of one kind. Raises UnreadableSourceError."""
    read = Read()
    entries = cric.links(_decoded(content)) if kind is Kind.NETWORK else _named(_decoded(content))
    for name, entry in _counted(entries).items():
        _add(read, (kind, name), entry, cric.READERS[kind])
    return read


def read_file(content: bytes) -> Read:
    """A sites file: queues, sites, storages and network by name, and folders. Raises UnreadableSourceError."""
    document = _decoded(content)
    if not isinstance(document, dict):
        raise UnreadableSourceError('it is no JSON object with "queues" and "storages"')
    unknown = document.keys() - SECTIONS.keys() - set(_FOLDERS)
    if unknown:
        raise UnreadableSourceError(f"{min(unknown)!r:.80}: there is no such section")
    read = Read()
    for section, kind in SECTIONS.items():
        entries = document.get(section) or {}
        if not isinstance(entries, dict):
            raise UnreadableSourceError(f"{section}: it is no JSON object")
        for name, entry in _counted(entries).items():
            _add(read, (kind, name), entry, _typed(kind))
    for name in _FOLDERS:
        if document.get(name) is not None:
            _add(read, (Kind.FOLDER, name), {"path": document[name]}, _typed(Kind.FOLDER))
    return read


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError as error:
        start = content[:200].lstrip().lower()
        if not start:
            raise UnreadableSourceError("it is empty") from None
        if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
            raise UnreadableSourceError("it is a web page, no JSON: is a login or an error page in between?") from None
        raise UnreadableSourceError(f"it is no whole JSON: {cut(str(error), 200)}") from None


def _named(document: Any) -> dict[str, Any]:
    """Entries by name: as an object, or as a list of objects with names."""
    if isinstance(document, dict):
        return document
    is_list = isinstance(document, list)
    if is_list and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in document):
        return {one["name"]: one for one in document}
    raise UnreadableSourceError("it is neither an object of entries by name nor a list of entries with names")


def _counted(entries: dict[str, Any]) -> dict[str, Any]:
    if len(entries) > MOST_ENTRIES:
        raise UnreadableSourceError(f"it has {len(entries)} entries; more than {MOST_ENTRIES} are not taken")
    return entries


def _add(read: Read, key: Key, entry: Any, make: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Read one entry; whatever is wrong with it is said of it alone."""
    kind, name = key
    try:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name != name.strip() or "/" in name:
            raise ValueError("the name is empty, too long, or has characters that a name cannot have")
        if not isinstance(entry, dict):
            raise ValueError("it is no JSON object")
        text = orjson.dumps(entry)
        if len(text) > LARGEST_ENTRY:
            raise ValueError(f"it has {len(text)} bytes; more than {LARGEST_ENTRY} are not taken")
        if b"\\u0000" in text:
            raise ValueError("it has a NUL character")
        read.facts[key] = MODELS[kind].model_validate(make(entry))
    except ValidationError as error:
        read.rejected[_shown(key)] = cut(complaint(error))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        read.rejected[_shown(key)] = cut(str(error))


def _shown(key: Key) -> Key:
    """The name as it can be stored and shown, whatever it is."""
    kind, name = key
    return kind, cut(name.replace("\x00", "\\0"), _LONGEST_NAME) or "(no name)"


def _typed(kind: Kind) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """An entry as people write it: by our own names, none that there is not; what pilots read says the rest."""
    known = MODELS[kind].model_fields.keys() - {"override"}

    def make(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        unknown = entry.keys() - known
        if unknown:
            raise ValueError(f"{min(unknown)!r:.80}: there is no such field")
        said = entry.get(READ_BY_PILOTS[kind]) if kind is Kind.QUEUE else None
        return {**(cric.limits(said) if isinstance(said, dict) else {}), **entry}

    return make


def refuse_references(read: Read, others: Mapping[Key, Fact]) -> None:
    """Reject what names a storage that there is not, or is its own ancestor; `others` are known already."""
    known = {**others, **read.facts}
    for key, reason in list(_wrong_references(read, known)):
        del read.facts[key]
        read.rejected[key] = reason


def _wrong_references(read: Read, known: Mapping[Key, Fact]) -> Iterator[tuple[Key, str]]:
    parents = {name: fact.parent for (_, name), fact in known.items() if isinstance(fact, Queue) and fact.parent}
    endless = _endless(parents)
    for key, fact in read.facts.items():
        if isinstance(fact, Queue):
            missing = [one for one in (fact.storage, *fact.storages) if (Kind.STORAGE, one) not in known]
            if missing:
                yield key, cut(f"its storage {missing[0]!r} is not known")
            elif key[1] in endless:
                yield key, cut(f"it is made after itself: {' -> '.join(_way(key[1], parents))}")


def _endless(parents: Mapping[str, str]) -> set[str]:
    """Queues whose way by their parents has no end. Each is passed once, for a source may make a row of thousands."""
    ends: dict[str, bool] = {}
    for name in parents:
        way: dict[str, None] = {}
        while name in parents and name not in ends and name not in way:
            way[name] = None
            name = parents[name]
        ends |= dict.fromkeys(way, name not in way and ends.get(name, True))
    return {name for name, has_an_end in ends.items() if not has_an_end}


def _way(name: str, parents: Mapping[str, str]) -> list[str]:
    """The beginning of a way that has no end, until it comes back."""
    way = [name]
    while len(way) <= _SHOWN_OF_A_WAY:
        way.append(parents[way[-1]])
        if way[-1] in way[:-1]:
            break
    return way
