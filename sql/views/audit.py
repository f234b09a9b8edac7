"""Who did what, read for people: newest first, by actor, action, object and time."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import LiteralString

from panda_fsm.views.audit import CURSORS, AuditEntry, AuditWanted
from panda_fsm.views.cursors import Part
from sql.pool import Pool
from sql.queries import load

_Q = load("views_audit")
_WHICH: Mapping[str, LiteralString] = {
    "actor": "(actor = %(actor)s OR detail ->> 'name' = %(actor)s)",
    "action": "action = %(action)s",
    "object": "object = %(object)s",
    "since": "at >= %(since)s",
    "after": "audit_id < %(after)s",
}
"""What is not asked for does not stand in the statement: so each is planned for what it looks for."""


class AuditReads:
    """The audit table. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(self, wanted: AuditWanted) -> Part[AuditEntry]:
        """Deeds, the newest first."""
        asked = asdict(wanted) | {"after": None if wanted.after is None else wanted.after[0]}
        which = [condition for name, condition in _WHICH.items() if asked[name] is not None]
        query = _Q["newest"].replace("true /* which */", " AND ".join(which) or "true")
        found = [AuditEntry(*row) for row in await self._pool.rows(query, **asked)]
        return CURSORS.part(found, wanted.limit, lambda entry: (entry.audit_id,))
