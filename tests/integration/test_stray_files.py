"""Files in the folder of sandboxes without a record go when they are old, and nothing that has one or may get it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from panda_fsm.errors import SystemicError
from periodic import retention, temporary_files
from periodic.schedule import Duty
from sql.duty import WorkerSession
from sql.queries import load
from sql.stray_files import SandboxRecords
from tests.driver import Database

DAY = 86400.0
ROW = "INSERT INTO cache_file (name, owner, size, checksum) VALUES (%s, 'ann', 7, 7)"


@pytest.fixture
def cache(run_dir: Path, database: Database) -> Path:
    """The folder: a sandbox with its record, two files without, one of them young, and one with an odd name."""
    folder = run_dir / "cache"
    folder.mkdir()
    for name, days in (("sources.1", 31), ("sources.2", 31), ("young", 29), (os.fsdecode(b"\xff"), 31)):
        (folder / name).write_text("sources")
        os.utime(folder / name, (time.time() - days * DAY,) * 2)
    database.execute(ROW, ("sources.1",))
    return folder


@pytest.fixture
def duty(cache: Path, database_url: str) -> Iterator[Duty]:
    found = temporary_files.unrecorded(SandboxRecords(WorkerSession(database_url, 30)), cache, 30 * DAY)
    yield found
    found.rest()


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_without_a_record_go_and_sandboxes_stay(duty: Duty, cache: Path) -> None:
    assert duty.run() is False
    assert there(cache) == {"sources.1", "young"}


def test_a_name_that_somebody_uploads_just_now_is_left_alone(duty: Duty, cache: Path, database_url: str) -> None:
    """Its record is there only when the upload is."""
    with psycopg.connect(database_url) as upload:
        upload.execute(load("registers")["hold_cache_name"], {"name": "sources.2"})
        upload.execute(ROW, ("sources.2",))
        duty.run()
        upload.commit()
    duty.run()
    assert there(cache) == {"sources.1", "sources.2", "young"}


def test_a_folder_that_is_not_mounted_is_said_while_there_are_sandboxes(
    duty: Duty, cache: Path, database: Database
) -> None:
    for path in cache.iterdir():
        path.unlink()
    with pytest.raises(SystemicError, match="is it mounted"):
        duty.run()
    (cache / retention._MARK).touch()
    assert duty.run() is False, "we emptied it ourselves"
    (cache / retention._MARK).unlink()
    cache.rmdir()
    with pytest.raises(SystemicError, match="is it mounted"):
        duty.run()
    database.execute("DELETE FROM cache_file")
    assert duty.run() is False, "it is made with the first"
