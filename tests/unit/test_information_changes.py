"""What a source changes of what is known, and when its word is not believed."""

from __future__ import annotations

import pytest

from panda_fsm.information.changes import Bounds, Held, changes, difference, digest
from panda_fsm.information.models import Fact, Kind, Queue, Site, Storage
from panda_fsm.information.reading import Read

DISK = (Kind.STORAGE, "Q_DISK")


def held(count: int, source: str = "s") -> dict[tuple[Kind, str], Held]:
    site = Site()
    return {(Kind.SITE, f"S{number}"): Held(source, site, digest(site)) for number in range(count)}


@pytest.mark.parametrize(
    ("had", "has", "gone", "refused"),
    [
        (100, 100, 0, None),
        (100, 80, 20, None),
        (100, 79, 0, "it lacks 21 of the 100 entries that it had"),
        (6, 1, 5, None),  # of a few, a few may go
        (7, 1, 0, "it lacks 6 of the 7"),
        (3, 0, 0, "it has no entry that can be used: the 3 that are known stay"),
        (0, 0, 0, "it has no entry that can be used"),
    ],
)
def test_a_source_that_lacks_much_is_not_followed(had: int, has: int, gone: int, refused: str | None) -> None:
    names = [*(f"S{number}" for number in range(has)), *(["NEW"] if has else [])]
    said = Read({(Kind.SITE, name): Site() for name in names})
    found = changes("s", said, held(had), Bounds(20, ["s"]))
    assert (len(found.gone), len(found.put)) == (gone, 1 if refused is None else 0)
    assert (found.refused or "").startswith(refused or "")
    allowed = changes("s", said, held(had), Bounds(20, ["s"], allow_removals=True))
    assert (len(allowed.gone), allowed.refused) == (had - has, None)


@pytest.mark.parametrize(
    ("queues", "left", "refused"),
    [(3, 0, "it lacks 3 of the 3 entries that it had of kind queue"), (1, 0, "it lacks 1 of the 1"), (3, 1, None),
     (20, 10, "it lacks 10 of the 20 entries that it had of kind queue")],
)  # fmt: skip
def test_a_source_of_many_kinds_does_not_empty_one(queues: int, left: int, refused: str | None) -> None:
    queue = Queue(site="S", storage="Q_DISK")
    known = {(Kind.QUEUE, f"Q{number}"): Held("s", queue, digest(queue)) for number in range(queues)} | held(100)
    said = Read({key: one.fact for key, one in known.items()} | {DISK: Storage(site="S")})
    for number in range(left, queues):
        del said.facts[Kind.QUEUE, f"Q{number}"]
    assert (changes("s", said, known, Bounds(20, ["s"])).refused or "").startswith(refused or "")


def test_what_is_wrong_with_an_entry_takes_it_away_from_nobody() -> None:
    found = changes("s", Read({}, {(Kind.SITE, "S0"): "why"}), held(2), Bounds(20, ["s"], allow_removals=True))
    assert found.gone == [(Kind.SITE, "S1")]


def test_who_has_an_entry_first_keeps_it_as_long_as_he_is_asked() -> None:
    said: dict[tuple[Kind, str], Fact] = {(Kind.SITE, "S0"): Site(country="Norway")}
    found = changes("other", Read(dict(said)), held(1), Bounds(20, ["s", "other"]))
    assert (found.put, found.rejected) == ({}, {(Kind.SITE, "S0"): "source s has it already"})
    assert changes("other", Read(dict(said)), held(1), Bounds(20, ["other"])).put == said


def test_a_storage_that_a_queue_names_stays() -> None:
    queue, disk = Queue(site="S", storage="Q_DISK"), Storage(site="S")
    known = {DISK: Held("d", disk, digest(disk)), (Kind.QUEUE, "Q"): Held("q", queue, digest(queue))}
    found = changes("d", Read({(Kind.STORAGE, "NEW"): disk}), known, Bounds(20, ["d", "q"]))
    assert (found.gone, list(found.rejected)) == ([], [DISK])


def test_history_keeps_what_differs() -> None:
    was = {"status": "online", "cores": 1, "queuedata": {"a": 1, "b": 2}}
    now = {"status": "offline", "cores": 1, "queuedata": {"a": 1, "c": 3}}
    assert difference(was, now) == (
        {"queuedata": {"b": 2, "c": None}, "status": "online"}, {"queuedata": {"b": None, "c": 3}, "status": "offline"},
    )  # fmt: skip
    assert difference(None, now) == (None, {"status": "offline", "cores": 1})
