"""What is known of queues, sites, storages and the network, as a process follows it: what has changed, no more."""

from typing import Any

import psycopg
import structlog
from pydantic import ValidationError

from panda_fsm.errors import complaint
from panda_fsm.information.models import MODELS, READ_BY_PILOTS, Fact, Kind
from panda_fsm.information.reading import Key
from panda_fsm.sites import Known
from sql.queries import load

log = structlog.get_logger()

CHANNEL = "panda_information"
"""Who changes something notifies it, in his transaction."""
_Q = load("information")


def version(connection: psycopg.Connection) -> int:
    """That of the last change; 0: nothing was ever imported."""
    found = connection.execute(_Q["version"]).fetchone()
    return found[0] if found else 0


def follow(connection: psycopg.Connection, known: Known, newest: int, for_pilots: bool = False) -> None:
    """Swap the snapshot for what is known at `newest` or later; what did not change is not read again.

    `for_pilots`: with what only pilots read.
    """
    if newest == known.version:
        return
    since = known.version if newest > known.version else 0  # else it is another database
    rows = connection.execute(_Q["changed_since"], {"version": since, "for_pilots": for_pilots}).fetchall()
    changed: dict[Key, Fact | None] = {}
    for kind, name, facts, pilots, override in rows:
        try:
            changed[Kind(kind), name] = _fact(Kind(kind), facts, pilots, override)
        except ValidationError as error:
            log.warning("not_readable", kind=kind, name=name, error=complaint(error))
        except ValueError:
            log.warning("not_readable", kind=kind, name=name, error="a kind of a newer program")
    known.learn(changed, newest, is_all=since == 0)


def _fact(kind: Kind, facts: Any, pilots: Any, override: Any) -> Fact | None:
    if facts is None:
        return None
    said = {**facts, READ_BY_PILOTS[kind]: pilots or {}} if kind in READ_BY_PILOTS else facts
    return MODELS[kind].model_validate({**said, "override": override} if kind is Kind.QUEUE else said)
