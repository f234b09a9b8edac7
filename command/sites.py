"""Where information on queues and storages comes from here: the file that PANDA_FSM_SITES_FILE names, and CRIC."""

from pathlib import Path

from command.settings import Settings
from panda_fsm.errors import SettingsError
from panda_fsm.information.models import Kind
from panda_fsm.information.reading import Read, UnreadableSourceError, read_file, refuse_references
from panda_fsm.information.sources import FILE, Source
from panda_fsm.sites import Known, Sites


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


def sources(config: Settings) -> list[Source]:
    """All that the configurator asks: what is named comes before who names it, and who has it first keeps it."""
    urls = {
        Kind.STORAGE: config.cric_storages_url, Kind.SITE: config.cric_sites_url, Kind.QUEUE: config.cric_queues_url,
        Kind.NETWORK: config.cric_network_url,
    }  # fmt: skip
    file = [Source(FILE, str(config.sites_file.absolute()))] if config.sites_file is not None else []
    return file + [Source(f"cric.{kind}", url, kind) for kind, url in urls.items() if url]


def now(config: Settings) -> Known:
    """What is known at this moment, for a command: what the database knows, else the file. Raises TransientError."""
    from sql import information
    from sql.session import Session

    session, known = Session(config.database_url, "command", config.statement_timeout_s), Known()
    try:
        with session.use() as connection:
            newest = information.version(connection)
            information.follow(connection, known, newest, for_pilots=True)
    finally:
        session.close()
    return known if newest else Known(load(config.sites_file))
