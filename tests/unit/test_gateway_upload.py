"""Uploads: what a file holds is found out here, names that can be asked for, whole or nothing, swept after a crash."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import hashlib
import os
import resource
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.http.refusal import RefusalError, TooLargeError, UndecodableError
from gateway.work import sandboxes
from gateway.work import upload as uploads
from gateway.work.sandboxes import Directory, NoRoomError
from gateway.work.upload import NO_CHECKSUM, GzipFooter, Upload, safe_name

GZIP = gzip.compress(b"sources" * 5000)
CRC = zlib.crc32(b"sources" * 5000)


def body(name: str, content: bytes, end: bytes = b"\r\n--B--\r\n") -> bytes:
    """A multipart body with one file."""
    head = f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + end


async def _in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def receive(folder: Path, data: bytes, size: int = 65536, boundary: str = "B", *, keep: bool = False) -> Upload:
    """The upload after its body has come."""

    async def play() -> Upload:
        with Upload(Directory(folder), f"multipart/form-data; boundary={boundary}") as upload:
            await upload.receive(_in_pieces(data, size))
            if keep:
                upload.keep()
        return upload

    return asyncio.run(play())


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_came_is_measured_here(tmp_path: Path, size: int) -> None:
    upload = receive(tmp_path, body("/home/jane/jobO.1.tar.gz", GZIP), size, keep=True)
    assert (upload.name, upload.size, upload.checksum) == ("jobO.1.tar.gz", len(GZIP), CRC)
    assert struct.unpack("<II", GZIP[-8:])[0] == CRC, "which is what the client asks for"
    assert upload.digest == hashlib.sha256(GZIP).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["jobO.1.tar.gz"]
    assert (tmp_path / "jobO.1.tar.gz").read_bytes() == GZIP


NOT_BELIEVED = {
    "another CRC in the footer": GZIP[:-8] + struct.pack("<I", CRC ^ 1) + GZIP[-4:],
    "another size in the footer": GZIP[:-4] + b"\0\0\0\0",
    "another content with this footer": gzip.compress(b"evil")[:-8] + GZIP[-8:],
    "no gzip with this footer": b"x" * 100 + GZIP[-8:],
    "more behind the end": GZIP + GZIP[-8:],
    "two members": GZIP + GZIP,
    "cut short": GZIP[:-1],
    "seven bytes": b"sources",
    "nothing": b"",
}


@pytest.mark.parametrize("case", NOT_BELIEVED)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_footer_that_does_not_say_what_the_file_holds_is_none(case: str, size: int) -> None:
    footer, content = GzipFooter(), NOT_BELIEVED[case]
    for start in range(0, len(content), size):
        footer.feed(content[start : start + size])
    assert footer.checksum == NO_CHECKSUM


def test_a_bomb_is_not_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    footer = GzipFooter()
    footer.feed(bomb)
    assert footer.checksum == zlib.crc32(b"\0" * 5_000_000)
    monkeypatch.setattr(uploads, "_MAX_INFLATED", 4_000_000)
    footer = GzipFooter()
    footer.feed(bomb)
    assert footer.checksum == NO_CHECKSUM


REFUSED = {
    "no closing boundary": body("a", b"x" * 50, end=b""),
    "half a closing boundary": body("a", b"x" * 50, end=b"\r\n--B"),
    "a boundary of another part": body("a", b"x" * 50, end=b"\r\n--B\r\n"),
    "a header without end": b"--B\r\nX: " + b"x" * 100_000,
    "a header name without end": b"--B\r\n" + b"x" * 100_000,
    "many headers": b"--B\r\n" + b"X: y\r\n" * 50_000,
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_whole_is_refused_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    with pytest.raises(UndecodableError):
        receive(tmp_path, REFUSED[case], keep=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 257]
)
def test_what_will_not_be_read_gets_no_file(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(UndecodableError):
        Upload(Directory(tmp_path / "cache"), content_type)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a", "jobO.1f-2.tar.gz", "sources.x.__ow__", "C:\\jane\\a.tgz", "/home/jane/a+b@c,d=e.gz"]
)
def test_names_that_can_be_asked_for(name: str) -> None:
    assert safe_name(name) in name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/", ".bashrc", "a b", "a?b", "a#b", "a%2e", "a\n", "ä", "a;b", "a" * 201, "a&b", '"a"',
     "ddmendpoints.json", "schedconfig"],
)  # fmt: skip
def test_names_that_could_not_be_asked_for(name: str) -> None:
    with pytest.raises(RefusalError):
        safe_name(name)


def test_what_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError):
        receive(tmp_path, body("jobO.1.tgz", b"x" * (10 * 1024 * 1024 + 1)), keep=True)
    assert list(tmp_path.iterdir()) == []
    receive(tmp_path, body("sources.1.tgz", b"x" * (10 * 1024 * 1024 + 1)), keep=True)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writing beyond fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_no_fuller_afterwards(tmp_path: Path) -> None:
    with no_file_larger_than(500_000), pytest.raises(NoRoomError):
        receive(tmp_path, body("jobO.1.tgz", b"x" * 600_000), keep=True)
    assert list(tmp_path.iterdir()) == []
    receive(tmp_path, body("jobO.1.tgz", b"x" * 600_000), keep=True)
    assert (tmp_path / "jobO.1.tgz").stat().st_size == 600_000


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the folder after it: neither an empty file nor a lost one after a power cut."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        done.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")

    def renamed(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    receive(tmp_path, body("a", b"x"), keep=True)
    assert done == ["file", "name", "folder"]


def test_uploads_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    cache = Directory(tmp_path)
    (tmp_path / ".upload-left").write_bytes(b"half")
    (tmp_path / "jobO.1.tgz").write_bytes(b"whole")
    with cache.incoming() as incoming:
        incoming.write(b"coming")
        cache.sweep()
        assert len(list(tmp_path.glob(".upload-*"))) == 1
        incoming.finish()
        incoming.keep("jobO.2.tgz")
    cache.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobO.1.tgz", "jobO.2.tgz"]


def test_uploads_sweep_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another gateway may have died meanwhile."""
    cache = Directory(tmp_path)
    cache.sweep()
    (tmp_path / ".upload-left").write_bytes(b"half")
    with cache.incoming():
        assert (tmp_path / ".upload-left").exists()
    monkeypatch.setattr(sandboxes, "_SWEEP_S", 0.0)
    with cache.incoming():
        assert not (tmp_path / ".upload-left").exists()


def test_an_upload_that_is_swept_before_it_is_locked_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    swept: list[Path] = []

    def late(descriptor: int, how: int) -> None:
        if not swept and how == fcntl.LOCK_EX:
            swept.extend(tmp_path.glob(".upload-*"))
            swept[0].unlink()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with Directory(tmp_path).incoming() as incoming:
        incoming.write(b"x")
        incoming.keep("a")
    assert (tmp_path / "a").read_bytes() == b"x"
