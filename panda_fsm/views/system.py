"""The system below: the database and what is in it, the broker, versions, and the settings in force."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from panda_fsm.views.duties import DutiesNow, DutyNow
from panda_fsm.views.health import Health, Trouble, troubles
from panda_fsm.views.words import counted

HORIZON_DAYS = 14
"""Partitions are made months ahead: with fewer days left somebody has to look at the daemon."""
_NEARLY_ALL = 0.8
_MANY_DEAD, _MORE_DEAD_THAN = 100_000, 0.5
"""Dead rows of a table that are many, and the part of the living ones that they exceed."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections of one program: how many work, wait inside a transaction, and wait for a lock."""

    program: str
    count: int
    active: int
    idle_in_transaction: int
    wait_for_locks: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table with its partitions; rows are estimates. `vacuumed_at`: None where that never was."""

    table: str
    rows: int
    dead_rows: int
    bytes: int
    partitions: int
    vacuumed_at: datetime | None

    @property
    def is_bloated(self) -> bool:
        """More is dead than should be."""
        return self.dead_rows > _MANY_DEAD and self.dead_rows > _MORE_DEAD_THAN * self.rows


@dataclass(frozen=True, slots=True)
class Horizon:
    """There are partitions for what happens before `until`."""

    table: str
    until: date


@dataclass(frozen=True, slots=True)
class Database:
    """What the database says of itself."""

    version: str
    bytes: int
    most_connections: int
    is_read_only: bool
    schema: str
    connections: tuple[Connections, ...]
    tables: tuple[TableRow, ...]
    horizons: tuple[Horizon, ...]

    @property
    def connected(self) -> int:
        return sum(one.count for one in self.connections)


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker, as this gateway meets it."""

    is_connected: bool
    is_blocked: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """A name and what it stands for: a version, a setting."""

    name: str
    value: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class SystemView:
    """All of it, and what is not well with it."""

    database: Database
    broker: Broker | None
    health: Health
    duties: DutiesNow
    troubles: tuple[Trouble, ...]
    versions: tuple[Named, ...]
    settings: tuple[Named, ...]

    @property
    def rows(self) -> tuple[TableRow, ...]:
        return self.database.tables


def judged(
    database: Database,
    broker: Broker | None,
    health: Health,
    services: Sequence[str],
    needed_schema: str,
    today: date,
    duties: Sequence[DutyNow] = (),
) -> Iterator[Trouble]:
    """What is not well, the worst first."""
    found = [
        *_of_database(database, needed_schema, today), *_of_broker(broker), *troubles(health, services),
        *_of_duties(duties),
    ]  # fmt: skip
    yield from sorted(found, key=lambda trouble: not trouble.is_bad)


def _of_database(database: Database, needed_schema: str, today: date) -> Iterator[Trouble]:
    if database.is_read_only:
        yield Trouble("database", "the database can only be read: is it a standby?", is_bad=True)
    if database.schema < needed_schema:
        says = f"the schema is {database.schema or 'none'}, needed is {needed_schema}: panda-fsm migrate"
        yield Trouble("schema", says, is_bad=True)
    if database.connected > _NEARLY_ALL * database.most_connections:
        yield Trouble("connections", f"{database.connected} of {database.most_connections} connections are taken")
    for program in database.connections:
        if program.wait_for_locks:
            says = f"{counted(program.wait_for_locks, 'connection')} of {program.program} wait for a lock"
            yield Trouble("locks", says)
    for one in database.horizons:
        left = (one.until - today).days
        if left < HORIZON_DAYS:
            says = f"{one.table} has partitions for {counted(max(0, left), 'day')} more: is the daemon served?"
            yield Trouble("partitions", says, is_bad=left <= 1)
    for table in database.tables:
        if table.is_bloated:
            says = f"{table.table}: {counted(table.dead_rows, 'dead row')} beside {counted(table.rows, 'living one')}"
            yield Trouble("dead rows", says)


def _of_duties(duties: Sequence[DutyNow]) -> Iterator[Trouble]:
    for one in duties:
        if one.level != "ok":
            yield Trouble(f"duty {one.name}", f"{one.word}: {one.says}")


def _of_broker(broker: Broker | None) -> Iterator[Trouble]:
    if broker is None:
        return
    if broker.is_blocked:
        says = "the broker takes no messages: its memory or disk is full; what is accepted is kept meanwhile"
        yield Trouble("broker", says, is_bad=True)
    elif not broker.is_connected:
        why = f": {broker.trouble}" if broker.trouble else ""
        says = f"this gateway has no broker; what is accepted is kept meanwhile{why}"
        yield Trouble("broker", says, is_bad=True)
