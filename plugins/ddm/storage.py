"""Local storages: where a replica lies, its checksum, and copying it safely."""

import hashlib
import os
import shutil
import zlib
from pathlib import Path

_CHUNK = 1 << 20


def replica_path(root: Path, scope: str, lfn: str) -> Path:
    """The deterministic place of a file below a storage's root, as the real pilot computes it."""
    digest = hashlib.md5(f"{scope}:{lfn}".encode(), usedforsecurity=False).hexdigest()
    return root.joinpath(*scope.split("."), digest[:2], digest[2:4], lfn)


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
    """Copy so that `destination` is either whole and on disk, or not there."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{zlib.crc32(destination.name.encode()):08x}.{os.getpid()}.part")
    shutil.copyfile(source, part)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(destination)
