"""Free loopback ports, picked once per run directory and kept, so that addresses survive a restart."""

from __future__ import annotations

import random
import socket
from pathlib import Path

# Below the kernel's range for outgoing connections (32768 and up). A port inside it could be taken by
# any client while its server restarts; on loopback a reconnecting client may even connect to itself.
FIRST, LAST = 20000, 32000
METRICS = 32100
"""From here on processes of all clones show their metrics, each on the next free port."""


def is_free(port: int) -> bool:
    """True if a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick() -> int:
    """A free port at random: clones that start at the same moment rarely meet."""
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        if is_free(port):
            return port
    raise RuntimeError(f"no free loopback port between {FIRST} and {LAST}")


def kept(directory: Path, name: str) -> int:
    """The port remembered under this name in the directory, picked at the first call."""
    file = directory / f"{name}.port"
    if file.exists():
        return int(file.read_text())
    return _remember(file, pick())


def for_start(directory: Path, name: str) -> int:
    """The remembered port, or a new one if a stranger took it while our server was down."""
    port = kept(directory, name)
    return port if is_free(port) else _remember(directory / f"{name}.port", pick())


def _remember(file: Path, port: int) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{port}\n")
    return port
