"""What sources may say, each entry by itself; and what counts at a time."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jedi.specs import Rules
from panda_fsm.errors import TransientError
from panda_fsm.information.models import Downtime, Fact, Kind, Override, Queue, Site, Status, Storage
from panda_fsm.information.reading import (
    MOST_ENTRIES,
    Read,
    UnreadableSourceError,
    read_cric,
    read_file,
    refuse_references,
)
from panda_fsm.information.sources import Source
from panda_fsm.sites import Known, Sites
from plugins.ddm.catalogue import LocalCatalogue
from tests import cric

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DISK = (Kind.STORAGE, "Q_DISK")


def read(kind: Kind, **entries: Any) -> Read:
    return read_cric(kind, json.dumps(entries).encode())


def queue_of(**fields: Any) -> Queue:
    found = read(Kind.QUEUE, Q=cric.queue("Q", **fields)).facts[Kind.QUEUE, "Q"]
    assert isinstance(found, Queue)
    return found


def test_what_pilots_read_is_what_limits_a_queue() -> None:
    queue = queue_of(parent="Q_TEMPLATE", corecount=None, maxtime="")
    assert (queue.site, queue.storage, queue.storages) == ("Q_SITE", "Q_DISK", ("Q_DISK",))
    assert (queue.status, queue.max_memory_mb, queue.max_work_dir_mb) == (Status.ONLINE, 4000, 20000)
    assert (queue.cores, queue.max_time_s, queue.capability, queue.parent) == (0, 0, "score", "Q_TEMPLATE")
    assert queue.queuedata["timefloor"] == 60


@pytest.mark.parametrize(
    ("fields", "what", "expected"),
    [
        ({"status": "BrokerOff"}, "status", Status.BROKEROFF),
        ({"state": "INACTIVE"}, "status", Status.OFFLINE),
        ({"site": "S"}, "site", "S"),
        ({"lab_site": None, "rc_site": "CENTRE"}, "site", "CENTRE"),
        ({"astorages": {}, "ddm": "A, B"}, "storages", ("A", "B")),
        ({"astorages": {"pr": ["A"], "pw": ["B"]}}, "storages", ("B", "A")),
        ({"maxrss": 4000.0}, "max_memory_mb", 4000),
        ({"a_field_of_tomorrow": {"x": 1}}, "status", Status.ONLINE),
        ({"downtimes": [{"start_time": "2026-11-26T12:00:00", "end_time": "2026-11-26T13:00:00Z", "description": "d"}]},
         "downtimes", (Downtime(begins_at=NOW, ends_at=NOW + HOUR, reason="d"),)),
    ],
)  # fmt: skip
def test_what_a_source_says_is_understood(fields: Mapping[str, Any], what: str, expected: object) -> None:
    assert getattr(queue_of(**fields), what) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "sleepy"}, "status: Input should be"),
        ({"status": None}, "it has no status"),
        ({"status": 1}, "status: 1 is no text"),
        ({"lab_site": ""}, "it has no site"),
        ({"astorages": {}}, "it has no storage"),
        ({"astorages": ["A"]}, "astorages: it is no JSON object"),
        ({"astorages": {"pr": [1]}}, "astorages.pr: it is no list of names"),
        ({"maxrss": -1}, "maxrss: -1 is not between"),
        ({"maxrss": 10**11}, "max_memory_mb: Input should be less than"),
        ({"maxrss": 10**400}, "maxrss"),
        ({"maxrss": True}, "maxrss: True is no whole number"),
        ({"corecount": 1.5}, "corecount: 1.5 is no whole number"),
        ({"maxtime": "long"}, "maxtime: 'long' is no whole number"),
        ({"minrss": 4001}, "the least memory is 4001, more than the most, 4000"),
        ({"mintime": 86401}, "the least time is 86401"),
        ({"downtimes": [{"start": "2026-11-26T12:00:00", "end": "2026-11-26T11:00:00"}]}, "ends before it begins"),
        ({"downtimes": [{"start": "soon", "end": "later"}]}, "'soon' is no time"),
        ({"comment": "a\x00b"}, "NUL"),
        ({"comment": "x" * 2_000_000}, "more than"),
    ],
)
def test_an_entry_that_is_wrong_is_refused_alone(fields: Mapping[str, Any], reason: str) -> None:
    try:
        found = read(Kind.QUEUE, BAD=cric.queue("BAD", **fields), GOOD=cric.queue("GOOD"))
    except UnreadableSourceError as error:  # a number that no JSON reader takes spoils the whole document
        assert "no whole JSON" in str(error)
        return
    assert list(found.facts) == [(Kind.QUEUE, "GOOD")]
    assert list(found.rejected) == [(Kind.QUEUE, "BAD")]
    assert reason in found.rejected[Kind.QUEUE, "BAD"]


@pytest.mark.parametrize("name", ["", "x" * 201, "a/b", " a", "a\nb", "a\x00"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    found = read_cric(Kind.QUEUE, json.dumps({name: cric.queue("Q")}).encode())
    ((_, shown),) = found.rejected
    assert not found.facts
    assert "\x00" not in shown


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b'{"Q": {"status": ', "it is no whole JSON"),
        (b"\xff\xfe", "it is no whole JSON"),
        (b"[" * 100_000, "it is no whole JSON"),
        (b"[1]", "neither an object of entries by name nor a list"),
        (b'"Q"', "neither an object"),
        (json.dumps(dict.fromkeys(map(str, range(MOST_ENTRIES + 1)))).encode(), "more than 50000 are not taken"),
    ],
)
def test_a_document_that_is_none_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableSourceError, match=reason):
        read_cric(Kind.QUEUE, content)


def test_storages_sites_and_links_are_read_too() -> None:
    storage = read(Kind.STORAGE, D=cric.storage("D", "S")).facts[Kind.STORAGE, "D"]
    assert isinstance(storage, Storage)
    assert storage.protocols["write_lan"][0].path == "/data/D"
    site = read_cric(Kind.SITE, json.dumps([{"name": "S", "country": "Norway", "state": "ACTIVE"}]).encode())
    assert site.facts == {(Kind.SITE, "S"): Site(country="Norway")}
    for document in ([{"src": "A", "dst": "B", "closeness": 4}, 7], {"A:B": {"closeness": {"latest": 4}}, "odd": 1}):
        links = Sites.of(read_cric(Kind.NETWORK, json.dumps(document).encode()).facts).network["A"].links
        assert {name: link.closeness for name, link in links.items()} == {"B": 4}
    measured = read(Kind.NETWORK, **{"A:B": {"mbps": {"one": {"1d": 3.5, "1w": 8}}}})
    assert Sites.of(measured.facts).network["A"].links["B"].mbps == 8


def test_a_sites_file_is_looked_at_more_closely() -> None:
    found = read_file(json.dumps({
        "queues": {
            "Q": {"site": "S", "storage": "D", "queuedata": {"maxrss": 2000}},
            "TYPED": {"site": "S", "storage": "D", "storge": "D"},
            "SET": {"site": "S", "storage": "D", "override": {"status": "online"}},
        },
        "storages": {"D": {"site": "S", "path": "/d"}}, "transformations": "/t",
    }).encode())  # fmt: skip
    sites = Sites.of(found.facts)
    assert (sites.queues["Q"].max_memory_mb, sites.transformations, sites.storages["D"].path) == (2000, "/t", "/d")
    assert found.rejected[Kind.QUEUE, "TYPED"] == "'storge': there is no such field"
    assert (Kind.QUEUE, "SET") in found.rejected
    with pytest.raises(UnreadableSourceError, match="'quues': there is no such section"):
        read_file(b'{"quues": {}}')


def test_queues_that_are_made_after_themselves_and_storages_that_are_not_are_refused() -> None:
    found = read(
        Kind.QUEUE, A=cric.queue("Q", parent="B"), B=cric.queue("Q", parent="C"), C=cric.queue("Q", parent="B"),
        D=cric.queue("Q", parent="TEMPLATE"), E=cric.queue("Q", astorages={"pw": ["Q_DISK"], "pr": ["GONE"]}),
    )  # fmt: skip
    refuse_references(found, {DISK: Storage(site="S")})
    assert list(found.facts) == [(Kind.QUEUE, "D")]
    assert found.rejected[Kind.QUEUE, "C"] == "it is made after itself: C -> B -> C"
    assert found.rejected[Kind.QUEUE, "E"] == "its storage 'GONE' is not known"


def test_a_row_of_thousands_of_parents_is_passed_once() -> None:
    count = 20_000
    said: dict[tuple[Kind, str], Fact] = {
        (Kind.QUEUE, f"Q{number}"): Queue(site="S", storage="Q_DISK", parent=f"Q{number + 1}")
        for number in range(count)
    }
    found = Read(said | {(Kind.QUEUE, f"Q{count}"): Queue(site="S", storage="Q_DISK", parent="Q1")})
    refuse_references(found, {DISK: Storage(site="S")})
    assert len(found.rejected) == count + 1
    assert found.rejected[Kind.QUEUE, "Q0"].startswith("it is made after itself: Q0 -> Q1 -> Q2")


def test_an_operator_is_above_a_downtime_and_that_above_the_source() -> None:
    downtime = Downtime(begins_at=NOW, ends_at=NOW + HOUR)
    queue = Queue(site="S", storage="D", downtimes=(downtime,))
    override = Override(status=Status.TEST, by="jane", reason="r", since=NOW, until=NOW + HOUR / 2)
    known = Known(Sites(queues={
        "SAID": queue, "SET": queue.model_copy(update={"override": override}),
        "AT_SITE": Queue(site="AWAY", storage="D"),
    }, sites={"AWAY": Site(downtimes=(downtime,))}))  # fmt: skip
    at = {name: [known.status_at(name, NOW + minutes * HOUR / 60) for minutes in (0, 45, 60)] for name in known.queues}
    assert at == {
        "SAID": ["offline", "offline", "online"], "SET": ["test", "offline", "online"],
        "AT_SITE": ["offline", "offline", "online"],
    }  # fmt: skip
    assert known.status_at("NONE", NOW) is None


def test_who_holds_what_is_known_follows_it(tmp_path: Path) -> None:
    known = Known()
    catalogue, check = LocalCatalogue(known), Rules(known, lambda _vo, _lfn: None)
    for ask in (
        lambda: catalogue.replicas([("s", "f")]),
        lambda: check.sites.queues,
        lambda: known.status_at("Q", NOW),
    ):
        with pytest.raises(TransientError, match="not known yet"):  # and not: there is none
            ask()
    known.learn({(Kind.STORAGE, "D"): Storage(site="S", path=str(tmp_path / "away"))}, 1, is_all=True)
    assert catalogue.replicas([("s", "f")])[("s", "f")].unreachable == ("D",)
    before = known.now
    known.learn({(Kind.QUEUE, "Q"): Queue(site="S", storage="D"), (Kind.STORAGE, "D"): None}, 2, is_all=False)
    assert (list(check.sites.queues), list(known.storages), known.version, list(before.storages)) == (
        ["Q"],
        [],
        2,
        ["D"],
    )
    assert catalogue.replicas([("s", "f")])[("s", "f")].unreachable == ()
    known.learn({(Kind.SITE, "S"): Site()}, 1, is_all=True)
    assert (dict(known.queues), list(known.sites)) == ({}, ["S"])
    assert pickle.loads(pickle.dumps(known)).version == 1  # noqa: S301  # as it goes to a plugin that is tried out


def test_what_only_those_may_know_who_ask_is_not_shown() -> None:
    for kind in (Kind.QUEUE, None):  # a sites file may have an address, too
        source = Source("s", "https://jane:secret@cric/all.json?x=@", kind)
        assert source.shown_place == "https://cric/all.json?x=@"
    assert Source("s", "/lab/a://b@c.json").shown_place == "/lab/a://b@c.json"
