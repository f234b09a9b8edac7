"""The local DDM on real storages: what is copied, what is tried again and for how long, and what is said of it."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.site import LabFiles
from panda_fsm.handler import Item
from panda_fsm.messages import BlockClosed, FilesArrived, FilesFailed, FileToMove, TransferRequested
from panda_fsm.outcomes import Emit, Outcome, Reject, Wait
from panda_fsm.sites import Sites
from panda_fsm.trouble import Condition
from plugins.ddm import local, storage
from plugins.ddm.catalogue import LocalCatalogue
from plugins.ddm.local import LocalDdm, Moved
from tests import factories

A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE
DAY = 86400.0


def asked(*files: FileToMove, waited_s: float = 0, source: str = A, destination: str = B) -> Item[Moved]:
    """A request that came so long ago for the first time."""
    request = TransferRequested(
        block="b_dis1", kind="dispatch", source=source, destination=destination, files=list(files)
    )
    return factories.item(request, retries=int(waited_s > 0), waiting_since=time.time() - waited_s)


def answers(ddm: LocalDdm, *items: Item[Moved]) -> list[Outcome]:
    """What the DDM makes of a batch of requests."""
    ddm.prepare(items)
    return [ddm.decide(item) for item in items]


def ask(sites: Sites, *files: FileToMove, **fields: Any) -> Any:
    """What it makes of one."""
    (outcome,) = answers(LocalDdm(sites), asked(*files, **fields))
    return outcome


def said(messages: Sequence[Any]) -> list[tuple[type, list[str]]]:
    """Which files arrived, and which did not."""
    return [(type(message), message.lfns) for message in messages]


def wanted(lfn: str, **fields: Any) -> FileToMove:
    """A file as the catalogue describes it."""
    return FileToMove(lfn=lfn, scope=factories.SCOPE, **fields)


def test_files_are_really_copied_and_again_is_no_harm(lab: LabFiles, sites: Sites) -> None:
    content = bytes(range(256)) * 10_000
    factories.store_file(lab.source_storage, "big.root", content)
    file = wanted("big.root", size=len(content), checksum=f"ad:{zlib.adler32(content):08x}")
    there = factories.store_path(lab.queue_storage, "big.root")
    for _ in range(2):
        outcome = ask(sites, file)
        assert isinstance(outcome, Emit)
        assert said(outcome.messages) == [(FilesArrived, ["big.root"])]
        assert there.read_bytes() == content
    assert [path.name for path in there.parent.iterdir()] == ["big.root"], "no partial files are left"


def test_each_file_of_a_batch_is_copied_once(lab: LabFiles, sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty jobs of as many blocks may read the same file."""
    factories.store_file(lab.source_storage, "shared.root")
    copies: list[Path] = []

    def counted(here: Path, there: Path) -> None:
        copies.append(there)
        storage.copy(here, there)

    monkeypatch.setattr(local, "copy", counted)
    outcomes = answers(LocalDdm(sites), *(asked(wanted("shared.root")) for _ in range(20)))
    assert [said(outcome.messages) for outcome in outcomes if isinstance(outcome, Emit)] == [
        [(FilesArrived, ["shared.root"])]
    ] * 20
    assert len(copies) == 1


def test_a_batch_ends_in_time_and_what_is_left_is_asked_for_again(lab: LabFiles, sites: Sites) -> None:
    """A process whose batch never ends is started again, and again."""
    minutes = itertools.count(step=60)
    lfns = [f"{number}.root" for number in range(9)]
    for lfn in lfns:
        factories.store_file(lab.source_storage, lfn)
    item = asked(*(wanted(lfn) for lfn in lfns))
    (outcome,) = answers(LocalDdm(sites, clock=lambda: next(minutes)), item)
    assert isinstance(outcome, Emit)
    arrived, rest = outcome.messages
    assert isinstance(arrived, FilesArrived)
    assert isinstance(rest, TransferRequested)
    assert len(arrived.lfns or []) == 2, "at once and after a minute, but not after three"
    assert sorted([*(arrived.lfns or []), *(file.lfn for file in rest.files)]) == lfns
    assert (rest.block, rest.source, rest.destination) == ("b_dis1", A, B)
    assert rest.message_id != item.message.message_id


def test_a_failed_copy_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-file"):
        storage.copy(tmp_path / "no-such-file", tmp_path / "folder" / "file")
    assert list((tmp_path / "folder").iterdir()) == []


BAD: dict[str, tuple[FileToMove, str]] = {
    "not at the source": (wanted("nowhere"), "nowhere is not at the source"),
    "wrong size": (wanted("a.root", size=7), "not what the catalogue says"),
    "wrong checksum": (wanted("a.root", checksum="ad:00000001"), "not what the catalogue says"),
    "wrong md5": (wanted("a.root", checksum="md5:" + "0" * 32), "not what the catalogue says"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_tried_again_for_a_minute_and_holds_up_no_other(lab: LabFiles, sites: Sites, name: str) -> None:
    factories.store_file(lab.source_storage, "a.root")
    factories.store_file(lab.source_storage, "good.root")
    file, why = BAD[name]
    for waited_s in (0, 59):
        outcome = ask(sites, wanted("good.root"), file, waited_s=waited_s)
        assert isinstance(outcome, Wait)
        assert why in outcome.reason
        assert outcome.give_up_s > 60, "the end is an answer, not a dead letter"
        assert said(outcome.messages) == [(FilesArrived, ["good.root"])]
    outcome = ask(sites, wanted("good.root"), file, waited_s=61)
    assert isinstance(outcome, Emit)
    assert said(outcome.messages) == [(FilesArrived, ["good.root"]), (FilesFailed, [file.lfn])]
    assert isinstance(outcome.messages[1], FilesFailed)
    assert why in outcome.messages[1].reason
    assert not factories.store_path(lab.queue_storage, file.lfn).exists(), "a wrong copy is taken away again"


LONG = "é" * 200
"""Within the limit of a name in characters, and beyond that of a file system in bytes."""


@pytest.mark.parametrize(
    ("file", "fields", "why"),
    [
        (wanted("a.root"), {"destination": "MOON"}, "unknown storage"),
        (wanted("a.root"), {"source": "MOON"}, "unknown storage"),
        (wanted(LONG), {}, "File name too long"),
    ],
    ids=["destination", "source", "name"],
)
def test_what_no_time_will_mend_fails_at_once(
    lab: LabFiles, sites: Sites, file: FileToMove, fields: dict[str, Any], why: str
) -> None:
    factories.store_file(lab.source_storage, "a.root")
    factories.store_path(lab.queue_storage, LONG).parent.mkdir(parents=True)
    outcome = ask(sites, file, **fields)
    assert isinstance(outcome, Emit)
    (answer,) = outcome.messages
    assert isinstance(answer, FilesFailed)
    assert why in answer.reason


@pytest.mark.parametrize("away", ["source", "destination"])
def test_a_storage_that_is_not_mounted_is_waited_for_a_day(lab: LabFiles, sites: Sites, away: str) -> None:
    factories.store_file(lab.source_storage, "a.root")
    root, name = (lab.source_storage, A) if away == "source" else (lab.queue_storage, B)
    gone = root.rename(root.with_suffix(".unmounted"))
    condition = Condition()
    ddm = LocalDdm(sites, condition)
    for waited_s in (0, 61, DAY - 60):
        (outcome,) = answers(ddm, asked(wanted("a.root"), waited_s=waited_s))
        assert outcome == Wait(f"storage {name} cannot be reached", DAY + 3600)
    assert condition.trouble == f"storages: cannot be reached: {name}"
    assert not root.exists(), "a file must not be written where the storage will be mounted"
    (outcome,) = answers(ddm, asked(wanted("a.root"), waited_s=DAY + 1))
    assert isinstance(outcome, Emit)
    assert said(outcome.messages) == [(FilesFailed, ["a.root"])]
    gone.rename(root)
    (outcome,) = answers(ddm, asked(wanted("a.root"), waited_s=600))
    assert isinstance(outcome, Emit)
    assert said(outcome.messages) == [(FilesArrived, ["a.root"])]
    assert condition.trouble is None


def test_what_is_there_already_needs_no_source(lab: LabFiles, sites: Sites) -> None:
    factories.store_file(lab.queue_storage, "a.root")
    lab.source_storage.rename(lab.source_storage.with_suffix(".unmounted"))
    outcome = ask(sites, wanted("a.root"), wanted("b.root"))
    assert isinstance(outcome, Wait)
    assert said(outcome.messages) == [(FilesArrived, ["a.root"])]


def test_a_copy_that_was_cut_short_is_made_again(lab: LabFiles, sites: Sites) -> None:
    factories.store_file(lab.source_storage, "a.root")
    half = factories.store_file(lab.queue_storage, "a.root", factories.CONTENT[:3])
    ask(sites, wanted("a.root", size=len(factories.CONTENT), checksum=factories.CHECKSUM))
    assert half.read_bytes() == factories.CONTENT


def test_a_full_storage_is_the_storages_trouble(lab: LabFiles, sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_here: Path, there: Path) -> None:
        raise OSError(28, "No space left on device", str(there))

    factories.store_file(lab.source_storage, "a.root")
    monkeypatch.setattr(local, "copy", full)
    assert ask(sites, wanted("a.root"), waited_s=3600) == Wait("a.root: No space left on device", DAY + 3600)


def test_reasons_are_short(sites: Sites) -> None:
    outcome = ask(sites, *(wanted(f"nowhere.{number}") for number in range(1000)))
    assert len(outcome.reason) == 500
    assert len(ask(sites, *(wanted(f"nowhere.{n}") for n in range(1000)), waited_s=61).messages[0].reason) == 500


def test_a_message_that_is_no_request_is_rejected(sites: Sites) -> None:
    (outcome,) = answers(LocalDdm(sites), factories.item(BlockClosed(block="b")))
    assert isinstance(outcome, Reject)


def test_batches_are_small_for_each_copy_takes_time() -> None:
    assert LocalDdm.batch_limit == 20


def test_the_catalogue_tells_where_a_file_is_and_where_nobody_can_look(lab: LabFiles, sites: Sites) -> None:
    for root, lfn in ((lab.source_storage, "a"), (lab.source_storage, "both"), (lab.queue_storage, "both")):
        factories.store_file(root, lfn)
    files = [(factories.SCOPE, lfn) for lfn in ("a", "both", "nowhere", "x" * 256)]
    catalogue = LocalCatalogue(sites)
    found = {lfn[:7]: (replicas.storages, replicas.unreachable) for (_, lfn), replicas in
             catalogue.replicas(files).items()}  # fmt: skip
    assert found == {"a": ((A,), ()), "both": ((A, B), ()), "nowhere": ((), ()), "x" * 7: ((), ())}
    lab.source_storage.rename(lab.source_storage.with_suffix(".unmounted"))
    found = {lfn[:7]: (replicas.storages, replicas.unreachable) for (_, lfn), replicas in
             catalogue.replicas(files).items()}  # fmt: skip
    assert found == {"a": ((), (A,)), "both": ((B,), (A,)), "nowhere": ((), (A,)), "x" * 7: ((), (A,))}
