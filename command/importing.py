"""`panda-fsm queues import`: a file or a page is read, compared with what is known, and taken over, or only said."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from command import sites, terminal
from command.settings import settings

if TYPE_CHECKING:
    from panda_fsm.information.imports import Imported
    from panda_fsm.information.reading import Read
    from panda_fsm.information.sources import Source

_SHOWN = 200
"""So many changes are listed; of all of them it is said how many there are."""
_LONGEST_NAME = 200


def take(
    place: str, kind: str | None, name: str | None, actor: str, why: str, allow_removals: str | None, is_trial: bool
) -> "Imported":
    """Do what it says, all in one transaction with the audit. Raises BadParameter for what cannot be read."""
    from panda_fsm.information.changes import Bounds
    from sql.information_documents import Documents

    config = settings()
    source, read = _read(place, kind, name)
    known = {one.name for one in sites.sources(config)}
    if source.name in known:
        raise typer.BadParameter(f"{source.name} is a source that is asked by itself: choose another --source")
    if allow_removals not in (None, source.name):
        raise typer.BadParameter(
            f"--allow-removals {allow_removals!r:.80}: what is imported is of source {source.name}"
        )
    bounds = Bounds(config.configurator_removals_percent, known, allow_removals == source.name)
    documents = Documents(config.database_url)
    try:
        return documents.take(source, read, bounds, actor, why, is_trial)
    finally:
        documents.close()


def allow(source: str, actor: str, why: str, is_json: bool) -> None:
    """The next time it is asked it may take away what it wants. Raises BadParameter for one that was never asked."""
    from panda_fsm.descriptions import AuditRow
    from sql.information_documents import Documents

    audit = AuditRow(f"local:{actor}", "removals_allowed", f"source {source}", {"name": actor, "reason": why})
    documents = Documents(settings().database_url)
    try:
        if not documents.allow_removals(source, audit):
            raise typer.BadParameter(f"no source {source!r:.80} was ever asked")
    finally:
        documents.close()
    if is_json:
        terminal.say_json({"source": source, "may_remove": True})
        return
    terminal.say(f"the next time that source {source} is asked it may take away what it lacks")


def as_json(found: "Imported") -> dict[str, Any]:
    """What changed, what cannot be used, and whether it is done."""
    changes = [{"kind": c.kind, "name": c.name, "before": c.before, "after": c.after} for c in found.changes]
    return {
        "source": found.source,
        "done": found.is_done,
        "changes": changes,
        "rejected": dict(found.rejected),
        "refused": found.refused,
    }


def tell(found: "Imported", is_trial: bool) -> None:
    """The same in words."""
    rows = [(change.kind, change.name, change.what) for change in found.changes[:_SHOWN]]
    terminal.show(("kind", "name", "what changes"), rows, f"source {found.source}")
    if len(found.changes) > _SHOWN:
        terminal.aside(f"and {len(found.changes) - _SHOWN} more")
    if found.rejected:
        terminal.show(("entry", "why it cannot be used"), list(found.rejected.items()), "not usable")
    if found.refused is not None:
        terminal.say(f"nothing was taken: {found.refused}", "red")
        return
    kinds = ", ".join(f"{number} of kind {kind}" for kind, number in Counter(c.kind for c in found.changes).items())
    said = kinds or "nothing"
    terminal.say(f"{said} would change: without --dry-run it does" if is_trial else f"{said} changed")


def _named_after(source: "Source") -> str:
    """Its file or its host. Raises BadParameter."""
    if not source.is_page:
        return Path(source.place).name
    try:
        return urlsplit(source.place).hostname or ""
    except ValueError as error:
        raise typer.BadParameter(f"{source.shown_place!r:.200}: {error}") from None


def _read(place: str, kind: str | None, name: str | None) -> tuple["Source", "Read"]:
    from panda_fsm.information.reading import SECTIONS, UnreadableSourceError
    from panda_fsm.information.sources import Source
    from periodic.fetching import Patience, SourceError, fetch

    if kind is not None and kind not in SECTIONS:
        raise typer.BadParameter(f"--kind: {kind!r:.40} is none of: {', '.join(SECTIONS)}")
    source = Source(name or "", place, None if kind is None else SECTIONS[kind])
    source = replace(source, name=source.name or _named_after(source))
    if not source.name.isprintable() or not 0 < len(source.name) <= _LONGEST_NAME:
        raise typer.BadParameter("a source's name has 1 to 200 characters that can be shown: choose another --source")
    try:
        said = fetch(source, None, Patience())
        return source, source.read(b"" if said is None else said.content)
    except (UnreadableSourceError, SourceError) as error:
        raise typer.BadParameter(f"{source.shown_place}: {error}") from None
