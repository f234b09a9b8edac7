"""What sources say, written down: one transaction a source, with the history of what it changed and who said so."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from panda_fsm.information.changes import Bounds, Changes, Held, changes, difference, digest
from panda_fsm.information.models import MODELS, READ_BY_PILOTS, Fact, Kind
from panda_fsm.information.reading import READING, Key, Read
from panda_fsm.information.sources import CONFIGURATOR, Remembered, Source, Stamp, Taken
from sql.queries import load
from sql.rows import as_json

_Q = load("information")
_AT_ONCE = 500
"""Rows of a statement: each may be some ten kilobytes."""
_NO_STAMP = Stamp()


class Sources:
    """`begin`: a transaction of whoever writes. Raises TransientError while the database is away."""

    def __init__(self, begin: Callable[[], AbstractContextManager[psycopg.Connection]]) -> None:
        self._begin = begin

    def remembered(self) -> dict[str, Remembered]:
        """What is known of each source that was ever asked."""
        with self._begin() as connection:
            return {
                name: Remembered(place, reading, Stamp(etag, modified), may_remove, is_clean)
                for name, place, reading, etag, modified, may_remove, is_clean in connection.execute(_Q["sources"])
            }

    def take(
        self, source: Source, read: Read, stamp: Stamp, bounds: Bounds, actor: str = CONFIGURATOR, why: str = ""
    ) -> Taken:
        """Do what it says, or nothing of it. Who follows hears of it once it is done."""
        with self._begin() as connection:
            connection.execute(_Q["be_the_one"])
            held = _held(connection)
            found = changes(source.name, read, held, bounds)
            if found.put or found.gone:
                self._write(connection, source.name, found, actor, why or f"so says {source.shown_place}")
            _reject(connection, source.name, found.rejected)
            _note(
                connection, source, stamp, found.refused, is_changed=bool(found.put or found.gone),
                is_read=found.refused is None,
            )  # fmt: skip
        return Taken(len(found.put), len(found.gone), len(found.rejected), found.refused)

    def note(self, source: Source, trouble: str | None, remembered: Remembered | None) -> None:
        """It was asked, and has nothing new, or is in trouble: what is known stays."""
        with self._begin() as connection:
            stamp = remembered.stamp if remembered is not None and trouble is None else _NO_STAMP
            _note(connection, source, stamp, trouble, is_changed=False, is_read=False)

    def allow_removals(self, name: str, actor: str) -> bool:
        """The source may take away whatever it wants, once; False: it was never asked."""
        with self._begin() as connection:
            return bool(connection.execute(_Q["allow_removals"], {"name": name, "actor": actor}).fetchone())

    def lift_overdue(self) -> list[str]:
        """What operators set for a time that is over is lifted; the queues."""
        with self._begin() as connection:
            names = [name for (name,) in connection.execute(_Q["overdue"])]
            for name in names:
                asked = {"name": name, "override": None, "actor": CONFIGURATOR, "why": "its time is over"}
                connection.execute(_Q["set_status"], asked)
        return names

    @staticmethod
    def _write(connection: psycopg.Connection, source: str, found: Changes, actor: str, why: str) -> None:
        (version,) = connection.execute(_Q["count"]).fetchone() or (0,)
        of = {"source": source, "actor": actor, "why": why, "version": version}
        keys = [*found.put, *found.gone]
        for at in range(0, len(keys), _AT_ONCE):
            part = keys[at : at + _AT_ONCE]
            before = _as_they_were(connection, part)
            after = {key: _row(key, found.put[key]) for key in part if key in found.put}
            if after:
                connection.execute(_Q["put"], of | {"rows": as_json(list(after.values()))})
            connection.execute(_Q["remove"], of | _columns([key for key in part if key not in after]))
            written = [_written(key, before.get(key), after.get(key)) for key in part]
            connection.execute(_Q["write_down"], of | {"rows": as_json(written)})
        connection.execute(_Q["tell"], {"version": version})


def _held(connection: psycopg.Connection) -> dict[Key, Held]:
    rows = connection.execute(_Q["held"]).fetchall()
    return {
        (Kind(kind), name): Held(source, MODELS[Kind(kind)].model_validate(facts), was)
        for kind, name, source, facts, was in rows
        if kind in MODELS
    }


def _row(key: Key, fact: Fact) -> dict[str, Any]:
    kind, name = key
    for_pilots = READ_BY_PILOTS.get(kind)
    facts = fact.model_dump(mode="json", exclude={"override", for_pilots or ""})
    pilots = getattr(fact, for_pilots) if for_pilots else None
    return {"kind": kind, "name": name, "facts": facts, "pilots": pilots, "digest": digest(fact)}


def _as_they_were(connection: psycopg.Connection, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
    rows = connection.execute(_Q["as_it_was"], _columns(keys))
    return {(Kind(kind), name): _all_of(Kind(kind), facts, pilots) for kind, name, facts, pilots in rows}


def _all_of(kind: Kind, facts: Mapping[str, Any], pilots: Any) -> dict[str, Any]:
    return {**facts, READ_BY_PILOTS[kind]: pilots} if kind in READ_BY_PILOTS else dict(facts)


def _written(key: Key, was: Mapping[str, Any] | None, row: Mapping[str, Any] | None) -> dict[str, Any]:
    kind, name = key
    before, after = difference(was, None if row is None else _all_of(kind, row["facts"], row["pilots"]))
    return {"kind": kind, "name": name, "before": before, "after": after}


def _columns(keys: Collection[Key]) -> dict[str, list[str]]:
    return {"kinds": [kind.value for kind, _ in keys], "names": [name for _, name in keys]}


def _reject(connection: psycopg.Connection, source: str, rejected: Mapping[Key, str]) -> None:
    connection.execute(_Q["reject_no_more"], {"source": source} | _columns(rejected))
    if rejected:
        rows = [{"kind": kind, "name": name, "reason": reason} for (kind, name), reason in rejected.items()]
        connection.execute(_Q["reject"], {"source": source, "rows": as_json(rows)})


def _note(
    connection: psycopg.Connection,
    source: Source,
    stamp: Stamp,
    trouble: str | None,
    *,
    is_changed: bool,
    is_read: bool,
) -> None:
    connection.execute(_Q["note_source"], {
        "name": source.name, "url": source.shown_place, "etag": stamp.etag, "modified": stamp.modified,
        "reading": READING, "trouble": trouble, "is_changed": is_changed, "is_read": is_read,
    })  # fmt: skip
