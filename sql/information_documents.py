"""Queues, sites and storages as documents: what a person imports, in one transaction with its audit, and exports."""

from contextlib import nullcontext
from typing import Any

from panda_fsm.descriptions import AuditRow
from panda_fsm.information.changes import Bounds
from panda_fsm.information.imports import Change, Imported, audited, document
from panda_fsm.information.reading import Read
from panda_fsm.information.sources import Source, Stamp
from sql.audit_rows import WRITE_DOWN, columns
from sql.information_sources import Sources
from sql.queries import load
from sql.session import Session

_Q = load("information_documents")
_TIMEOUT_S = 60.0


class Documents:
    """Over a connection of its own. Raises TransientError while the database is away."""

    def __init__(self, database_url: str) -> None:
        self._session = Session(database_url, "information", _TIMEOUT_S)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def take(
        self,
        source: Source,
        read: Read,
        bounds: Bounds,
        actor: str,
        why: str,
        is_trial: bool,
    ) -> Imported:
        """Do what a document says, or nothing of it; as a trial it is done and undone, and nobody hears of it."""
        with self._session.use() as connection, connection.transaction(force_rollback=is_trial):
            before = connection.execute(_Q["newest"]).fetchone()
            sources = Sources(lambda: nullcontext(connection))
            taken = sources.take(source, read, Stamp(), bounds, actor, why)
            since = {"history_id": before[0] if before else 0, "source": source.name}
            changes = tuple(Change(*one) for one in connection.execute(_Q["changes"], since))
            rejected = {f"{kind} {name}": reason for kind, name, reason in connection.execute(_Q["rejected"], since)}
            found = Imported(source.name, not is_trial and taken.refused is None, changes, rejected, taken.refused)
            connection.execute(WRITE_DOWN, columns(audited(source.name, source.shown_place, actor, found, why)))
        return found

    def allow_removals(self, source: str, audit: AuditRow) -> bool:
        """The source may take away what it wants, the next time it is asked; False: it was never asked."""
        with self._session.transaction() as connection:
            is_known = Sources(lambda: nullcontext(connection)).allow_removals(source, str(audit.detail["name"]))
            if is_known:
                connection.execute(WRITE_DOWN, columns(audit))
        return is_known

    def all(self) -> dict[str, Any]:
        """All that is known, as a sites file."""
        with self._session.use() as connection:
            return document(connection.execute(_Q["all"]).fetchall())
