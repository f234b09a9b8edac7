"""Whether a process of this machine lives."""

from pathlib import Path


def lives(pid: int) -> bool:
    """False also for a zombie, whose parent has not asked yet how it ended: it has no command line any more."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False
