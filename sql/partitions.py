"""The month partitions: made ahead and dropped by the daemon, seen and repaired by operators."""

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from sql.duty import DutySession, WorkerSession
from sql.queries import load
from sql.session import Session

_Q = load("partitions")
_TIMEOUT_S = 60.0
_REPAIR_TIMEOUT_S = 6 * 3600.0
KEYS = {
    "job_history": "at", "job_archive": "ended_at", "job_file_archive": "ended_at", "job_spec_archive": "ended_at",
    "job_sample": "slot",
}  # fmt: skip
"""The partitioned tables and the column by whose month."""
MOST_COUNTED = 10_000
IN_DEFAULT = sql.SQL(" UNION ALL ").join(
    sql.SQL(_Q["in_default"]).format(parent=sql.Literal(parent), default=sql.Identifier(f"{parent}_default"))
    for parent in KEYS
)
"""The tables, and how many rows their default partitions hold, as far as they are counted."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; `rows` is the planner's estimate, for a default partition at most 10,000 counted ones."""

    parent: str
    name: str
    rows: int
    bytes: int
    is_default: bool


def partitions(database_url: str) -> list[Partition]:
    """All partitions, oldest first."""
    session = Session(database_url, "partitions", _TIMEOUT_S)
    try:
        with session.use() as connection:
            cursor = connection.cursor(row_factory=class_row(Partition))
            found = cursor.execute(_Q["partitions"], {"parents": list(KEYS)}).fetchall()
            beside = in_default(connection)
            return [replace(one, rows=beside.get(one.parent, 0)) if one.is_default else one for one in found]
    finally:
        session.close()


def in_default(connection: psycopg.Connection, most: int = MOST_COUNTED) -> dict[str, int]:
    """The tables whose default partition holds rows, and how many, as far as they are counted."""
    return {parent: rows for parent, rows in connection.execute(IN_DEFAULT, {"most": most}) if rows}


def repair(database_url: str) -> dict[str, int]:
    """Move what is in default partitions into those of its months; returns how many rows of each table.

    The table is locked meanwhile, one after another.
    """
    session = Session(database_url, "partitions", _REPAIR_TIMEOUT_S)
    moved = {}
    try:
        for parent, key in KEYS.items():
            with session.transaction() as connection:
                found = connection.execute(_Q["repair"], {"parent": parent, "key": key}).fetchone()
                moved[parent] = int(found[0]) if found else 0
    finally:
        session.close()
    return moved


class Partitions:
    """The same tables for the daemon. Raises TransientError while the database is away, or a table is busy for long."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "partitions")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def ensure(self, months_ahead: int) -> None:
        """Make the partitions of this month and the next ones that are not there yet."""
        with self._session.slice() as connection:
            connection.execute(_Q["wait_briefly"])
            connection.execute(_Q["ensure"], {"months": months_ahead})

    def in_default(self) -> list[str]:
        """The tables whose default partition holds rows."""
        with self._session.slice() as connection:
            return list(in_default(connection, 1))

    def drop_oldest(self, parent: str, months: int) -> str | None:
        """Drop the oldest partition of a table that ended more than `months` ago; its name, None when there is none."""
        with self._session.slice() as connection:
            old = connection.execute(_Q["oldest"], {"parent": parent, "months": months}).fetchone()
            if not old:
                return None
            connection.execute(_Q["wait_briefly"])
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(old[0])))
            return str(old[0])
