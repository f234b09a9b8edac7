"""What a person imports by hand, and what became of it; and all that is known as a document that can be imported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panda_fsm.descriptions import AuditRow
from panda_fsm.information.models import READ_BY_PILOTS, Kind
from panda_fsm.information.reading import SECTIONS


@dataclass(frozen=True, slots=True)
class Change:
    """Of one thing what differs; None: it was not, or is not any more, there."""

    kind: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def what(self) -> str:
        """In a word, or the fields."""
        if self.before is None:
            return "new"
        return "gone" if self.after is None else ", ".join(sorted(self.after))


@dataclass(frozen=True, slots=True)
class Imported:
    """`refused`: why nothing of it was taken. `rejected`: what cannot be used, by kind and name, and why."""

    source: str
    is_done: bool
    changes: tuple[Change, ...]
    rejected: Mapping[str, str]
    refused: str | None


def audited(source: str, place: str, actor: str, found: Imported, why: str) -> AuditRow:
    """The row of the audit."""
    detail = {"name": actor, "reason": why, "place": place, "changed": len(found.changes), "by": "command line"}
    return AuditRow(f"local:{actor}", "queues_imported", f"source {source}", detail)


def document(rows: Iterable[tuple[str, str, Mapping[str, Any], Any]]) -> dict[str, Any]:
    """Facts by kind and name, with what pilots read, as a sites file; what operators set is theirs and stays out."""
    sections = {kind: section for section, kind in SECTIONS.items()}
    made: dict[str, Any] = {section: {} for section in SECTIONS}
    for kind, name, facts, pilots in rows:
        if kind == Kind.FOLDER:
            made[name] = facts["path"]
        elif kind in sections:
            said = {READ_BY_PILOTS[Kind(kind)]: pilots or {}} if kind in READ_BY_PILOTS else {}
            made[sections[Kind(kind)]][name] = {**facts, **said}
    return made
