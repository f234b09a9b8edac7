"""Local storages: where a replica lies, whether it can be reached, its checksum, and copying it safely."""

import errno
import hashlib
import os
import shutil
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path

from panda_fsm.sites import SitesNow, Storage

NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
"""What a file system answers of a name that it can never hold; all other errors are a storage's trouble."""
_CHUNK = 1 << 20


class Roots:
    """The storages that have a path, by name, as they are known now: worked out once a snapshot."""

    def __init__(self, sites: SitesNow) -> None:
        self._sites = sites
        self._found: tuple[Mapping[str, Storage], dict[str, Path]] = ({}, {})

    def now(self) -> dict[str, Path]:
        storages, (of, found) = self._sites.storages, self._found
        if storages is not of:
            found = {name: Path(storage.path) for name, storage in sorted(storages.items()) if storage.path}
            self._found = storages, found
        return found

    def verified(self) -> dict[str, Path]:
        """Those on which it is looked whether they have what pilots say."""
        storages = self._sites.storages
        return {name: root for name, root in self.now().items() if name in storages and storages[name].verify}


def is_reachable(root: Path) -> bool:
    """Whether a storage can be looked at; one whose root is not there is not mounted, and says nothing of files."""
    try:
        return root.is_dir()
    except OSError:
        return False


def replica_path(root: Path, scope: str, lfn: str) -> Path:
    """The deterministic place of a file below a storage's root, as the real pilot computes it."""
    return root / replica_place(scope, lfn)


def replica_place(scope: str, lfn: str) -> str:
    """The same for all storages: the way there from their roots."""
    digest = hashlib.md5(f"{scope}:{lfn}".encode(), usedforsecurity=False).hexdigest()
    return "/".join([*filter(None, scope.split(".")), digest[:2], digest[2:4], lfn])


def adler32_of(path: Path) -> str:
    """The file's adler32 as 8 hexadecimal digits."""
    value = 1
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.adler32(chunk, value)
    return f"{value:08x}"


def matches(path: Path, size: int, checksum: str) -> bool:
    """Whether the file is what the catalogue says; an unknown size (0) or checksum ("") is not compared."""
    if size and path.stat().st_size != size:
        return False
    if checksum.startswith("ad:"):
        return adler32_of(path) == checksum[3:].lower()
    if checksum.startswith(("md5:", "md:")):  # the server's spelling and the pilot's
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return digest == checksum.partition(":")[2].lower()
    return True


def copy(source: Path, destination: Path) -> None:
    """Copy so that `destination` is either whole and on disk, or not there; several may do so at once, anywhere."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{uuid.uuid4().hex}.part")
    try:
        shutil.copyfile(source, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)
