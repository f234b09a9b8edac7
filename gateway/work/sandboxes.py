"""Where the bytes of sandboxes are: a directory that all gateways share. Other stores fit behind the same port."""

import errno
import fcntl
import hashlib
import os
import tempfile
import time
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog

from gateway.http.refusal import RefusalError
from panda_fsm.errors import TransientError

log = structlog.get_logger()

COMING = ".upload-"
"""So the names of uploads begin until they are kept."""
_OLD_S = 24 * 3600.0
"""Where files cannot be locked, an upload this old has no gateway any more."""
_SWEEP_S = 600.0
"""Other gateways may die while this one lives: it looks again so often, as long as there are uploads."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoRoomError(RefusalError):
    """The disk is full; nothing of the file stays."""

    status = 507


class Incoming(Protocol):
    """Bytes on their way in: gone at the end of the context unless they are kept. Its methods block.

    They raise NoRoomError, or TransientError when the store is away.
    """

    def __enter__(self) -> "Incoming": ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None:
        """All came: on disk when it returns."""

    def keep(self, name: str) -> None:
        """They are what has the name from now on: at once, whole, and after a power cut too."""


class Sandboxes(Protocol):
    """The sandbox cache without its records. Its methods block."""

    def incoming(self) -> Incoming:
        """A place for one upload. Raises as its methods do."""

    def size(self, name: str) -> int | None:
        """How many bytes have the name; None: there is no such file."""

    def digest(self, name: str) -> str | None:
        """What tells their content from others'."""

    def path(self, name: str) -> Path:
        """Where they can be read on this machine."""

    def sweep(self) -> None:
        """Remove what uploads left whose gateway died."""


class Directory:
    """The port on a directory: a file a name, written beside its place and renamed into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept_at = -inf

    def incoming(self) -> "IncomingFile":
        """A place for one upload."""
        if time.monotonic() - self._swept_at > _SWEEP_S:
            self.sweep()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return IncomingFile(self._folder)
        except OSError as error:
            raise trouble(error) from error

    def size(self, name: str) -> int | None:
        """How many bytes have the name."""
        path = self.path(name)
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError:
            return None  # a name that this file system cannot have

    def digest(self, name: str) -> str | None:
        """What tells their content from others'."""
        try:
            with self.path(name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def path(self, name: str) -> Path:
        """Where they can be read on this machine."""
        return self._folder / name

    def sweep(self) -> None:
        """Remove what uploads left whose gateway died: theirs are the files that nobody has locked."""
        self._swept_at = time.monotonic()
        for path in self._folder.glob(f"{COMING}*"):
            try:
                if _removed(path):
                    log.info("upload_swept", file=path.name)
            except OSError as error:
                log.warning("upload_not_swept", file=path.name, error=str(error))


class IncomingFile:
    """A hidden file, locked for as long as somebody writes it; it is removed unless it is kept."""

    def __init__(self, folder: Path) -> None:
        while True:
            self._descriptor, name = tempfile.mkstemp(dir=folder, prefix=COMING)
            self._path = Path(name)
            _lock(self._descriptor)
            if os.fstat(self._descriptor).st_nlink:  # else it was swept before it was locked
                return
            os.close(self._descriptor)

    def __enter__(self) -> "IncomingFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        """All of it, or an exception."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            raise trouble(error) from error

    def finish(self) -> None:
        """On disk when it returns."""
        try:
            os.fchmod(self._descriptor, 0o644)
            os.fsync(self._descriptor)
        except OSError as error:
            raise trouble(error) from error

    def keep(self, name: str) -> None:
        """At once, whole, and after a power cut too."""
        folder = self._path.parent
        try:
            self._path.replace(folder / name)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise trouble(error) from error


def trouble(error: OSError) -> Exception:
    """What an error of the file system means to who uploads."""
    if error.errno in _FULL:
        return NoRoomError("the server has no room for files at this moment: nothing of yours was kept")
    return TransientError(f"the sandbox cache: {error}")


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        log.debug("no_locks", error=str(error))


def _removed(path: Path) -> bool:
    """Remove it if nobody writes it any more; the lock is held meanwhile, so a new one is not taken for an old one."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            if time.time() - os.fstat(file.fileno()).st_mtime < _OLD_S:
                return False
        path.unlink(missing_ok=True)
        return True
