"""Whether a process that a test looks at lives: not asked of the code that is tested."""

from pathlib import Path


def is_alive(pid: int) -> bool:
    """True while it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
