"""Reads queues and storages from the file that PANDA_FSM_SITES_FILE names."""

from pathlib import Path

from panda_fsm.errors import SettingsError
from panda_fsm.information.reading import Read, UnreadableSourceError, read_file, refuse_references
from panda_fsm.sites import Sites


def load(path: Path | None) -> Sites:
    """What a file says; no path means no queues. Raises SettingsError that says what is wrong where."""
    if path is None:
        return Sites()
    found = read(path)
    for reason in complaints(found):
        raise SettingsError(f"PANDA_FSM_SITES_FILE={path}: {reason}")
    return Sites.of(found.facts)


def read(path: Path) -> Read:
    """The same with what is wrong with each entry. Raises SettingsError when nothing of it can be used."""
    try:
        found = read_file(path.read_bytes())
    except (OSError, UnreadableSourceError) as error:
        raise SettingsError(f"PANDA_FSM_SITES_FILE={path}: {error}") from None
    refuse_references(found, {})
    return found


def complaints(found: Read) -> list[str]:
    """What is wrong with each entry that cannot be used."""
    return [f"{kind} {name}: {reason}" for (kind, name), reason in found.rejected.items()]
