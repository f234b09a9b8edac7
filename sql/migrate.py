"""Brings a database to the present schema: numbered SQL files, forward only, one at a time behind an advisory lock."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import structlog

from panda_fsm.bindings import Further
from panda_fsm.errors import SettingsError, TransientError
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB
from sql.broker_bindings import record
from sql.queries import load

log = structlog.get_logger()

_LOCK = 0x70616E6461  # "panda": whoever holds it migrates, everybody else waits
_FILES = Path(__file__).parent / "migrations"
LOCK_TIMEOUT = "1s"
"""Whoever waits for a table holds up all behind him: not for longer, then again after a pause in which these go on."""
PAUSE_S = 2.0
GIVE_UP_S = 300.0
"""A backup or a forgotten session may hold a table for hours; then it is for people to decide."""


def migrations() -> list[Path]:
    """The migration files in order."""
    return sorted(_FILES.glob("[0-9][0-9][0-9][0-9]_*.sql"))


def latest() -> str:
    """The version that this program needs."""
    return migrations()[-1].stem


def migrate(database_url: str, further: Further = frozenset()) -> list[str]:
    """Apply what is missing and return its names. Raises SettingsError when an applied file was changed since.

    `further` are the bindings of this installation beyond the table.
    """
    try:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (version text PRIMARY KEY, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
            applied = [path.stem for path in migrations() if _apply(connection, path)]
            _write_lifecycle(connection)
            record(connection, further)
            _patiently(connection, "the starts at queues", _note_starts)
            _patiently(connection, "the month partitions", _make_partitions)
            return applied
    except psycopg.OperationalError as error:
        raise TransientError(f"no database at PANDA_FSM_DATABASE_URL: {error}") from error


def _apply(connection: psycopg.Connection, path: Path) -> bool:
    text = path.read_text()
    checksum = hashlib.sha256(text.encode()).hexdigest()
    known = connection.execute("SELECT checksum FROM schema_version WHERE version = %s", (path.stem,)).fetchone()
    if known is not None:
        if known[0] != checksum:
            raise SettingsError(f"migration {path.name} was applied with other content; write a new migration instead")
        return False

    def run(connection: psycopg.Connection) -> None:
        connection.execute(text.encode())
        connection.execute("INSERT INTO schema_version (version, checksum) VALUES (%s, %s)", (path.stem, checksum))

    _patiently(connection, f"migration {path.name}", run)
    log.info("migrated", version=path.stem)
    return True


def _patiently(connection: psycopg.Connection, what: str, work: Callable[[psycopg.Connection], object]) -> None:
    """Do `work` in a transaction, again and again while somebody else holds one of its tables."""
    until = time.monotonic() + GIVE_UP_S
    while True:
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
                work(connection)
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() >= until:
                raise TransientError(
                    f"{what} was given up after {GIVE_UP_S:.0f} s, for another session holds a table that it changes:"
                    " look for long transactions in pg_stat_activity, end them, and run panda-fsm migrate again"
                ) from error
            log.warning("migration_waits", migration=what, why=str(error).partition("\n")[0])
            time.sleep(PAUSE_S)


def _note_starts(connection: psycopg.Connection) -> None:
    """Programs of before note none, however long they ran, for a second time maybe: no queue is idle yet."""
    sites = [site for (site,) in connection.execute("SELECT DISTINCT site FROM job")]
    if sites:
        connection.execute(load("store")["note_starts"], {"sites": sites})


def _make_partitions(connection: psycopg.Connection) -> None:
    """As far ahead as the daemon makes them (periodic/partitions.py)."""
    connection.execute("SELECT ensure_partitions(now() + n * interval '1 month') FROM generate_series(0, 3) n")


def _write_lifecycle(connection: psycopg.Connection) -> None:
    """Add the states and transitions of the program that the database does not know yet."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO job_state (state, final) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [(state.value, state in FINAL) for state in State],
        )
        cursor.executemany(
            "INSERT INTO job_transition (event, source, destination, service) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (event, source, destination) DO UPDATE SET service = excluded.service"
            " WHERE job_transition.service <> excluded.service",
            list(JOB.rows()),
        )
