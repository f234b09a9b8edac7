"""Temporary files: only old regular files of ours, in the folders that are named; a missing folder is said."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from command import duties
from command.settings import Settings
from gateway.work.sandboxes import Directory
from panda_fsm.errors import SystemicError
from periodic import temporary_files
from periodic.temporary_files import Place

HOUR = 3600.0
OLD_S = time.time() - 13 * HOUR


def left(path: Path, age_s: float = 13 * HOUR) -> Path:
    """A file that was last written so long ago."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("left")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def swept(places: Sequence[Place]) -> None:
    """A whole round."""
    duty = temporary_files.duty(places)
    while duty.run():
        pass


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_old_files_of_such_names_go_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name in ("tmp1", "tmp2", "core.7", ".tmp3"):
        left(place / name)
    left(place / "tmp-fresh", 11 * HOUR)
    left(place / "tmp-folder" / "tmp-inside")
    outside = left(tmp_path / "outside")
    (place / "tmp-link").symlink_to(outside)
    os.utime(place / "tmp-link", (OLD_S, OLD_S), follow_symlinks=False)
    os.utime(place / "tmp-folder", (OLD_S, OLD_S))
    os.mkfifo(place / "tmp-pipe")
    os.utime(place / "tmp-pipe", (OLD_S, OLD_S))
    swept([Place(place, "tmp*", 12 * HOUR)])
    assert there(place) == {"core.7", ".tmp3", "tmp-fresh", "tmp-folder", "tmp-link", "tmp-pipe"}
    assert outside.exists()
    assert (place / "tmp-folder" / "tmp-inside").exists()


def test_files_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that all may write to, say."""
    left(tmp_path / "tmp1")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    swept([Place(tmp_path, "tmp*", HOUR)])
    assert there(tmp_path) == {"tmp1"}


def test_a_round_is_made_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_files, "_SLICE", 2)
    for folder, number in (("a", 1), ("a", 2), ("a", 3), ("b", 1)):
        left(tmp_path / folder / f"tmp{number}")
    duty = temporary_files.duty([Place(tmp_path / folder, "tmp*", HOUR) for folder in ("a", "b")])
    assert [duty.run() for _ in range(3)] == [True, True, False]
    assert there(tmp_path / "a") == there(tmp_path / "b") == set()
    assert duty.run() is False, "and there is nothing more"


def test_a_folder_that_is_not_there_is_trouble_and_stops_no_other(tmp_path: Path) -> None:
    left(tmp_path / "here" / "tmp1")
    duty = temporary_files.duty([Place(tmp_path / folder, "tmp*", HOUR) for folder in ("gone", "here")])
    with pytest.raises(SystemicError, match=r"temporary files stay: .*/gone: No such file or directory"):
        duty.run()
    assert there(tmp_path / "here") == set()
    (tmp_path / "gone").mkdir()
    assert duty.run() is False


def test_a_file_that_cannot_go_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def fail(self: Path, missing_ok: bool = False) -> None:
        if self.name == "tmp1":
            raise PermissionError(1, "Operation not permitted")
        unlink(self, missing_ok)

    for number in (1, 2, 3):
        left(tmp_path / f"tmp{number}")
    monkeypatch.setattr(Path, "unlink", fail)
    swept([Place(tmp_path, "tmp*", HOUR)])
    assert there(tmp_path) == {"tmp1"}


def test_uploads_of_dead_gateways_and_what_an_installation_names(tmp_path: Path) -> None:
    """The folder of sandboxes is made when the first comes: until then nobody misses it."""
    cache, logs = tmp_path / "cache", tmp_path / "logs"
    config = Settings(  # type: ignore[call-arg]  # the others have defaults
        database_url="postgresql://nobody", broker_url="amqp://nobody", cache_dir=cache,
        temporary_files=f"{logs}/pilot-*.log:{logs}/core.*",
    )  # fmt: skip
    logs.mkdir()
    swept(list(duties.temporary(config)))
    for name in ("pilot-1.log", "core.7", "panda.log"):
        left(logs / name)
    left(cache / ".upload-left")
    left(cache / "sources.1.tar.gz")
    with Directory(cache).incoming() as incoming:
        incoming.write(b"coming")
        left(cache / ".upload-left")
        swept(list(duties.temporary(config)))
        assert len(list(cache.glob(".upload-*"))) == 1, "somebody writes this one"
    assert there(cache) == {"sources.1.tar.gz"}
    assert there(logs) == {"panda.log"}
