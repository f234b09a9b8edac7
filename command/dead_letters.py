"""`panda-fsm dead-letters`: what nobody could handle is listed, and replayed or discarded, alone or all of a kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from command.settings import settings
from command.terminal import literal

if TYPE_CHECKING:  # else --help waits for the database's library
    from sql.dead_letters import Choice, Fate

app = typer.Typer(help="Messages that could not be handled.", no_args_is_help=True)

Ids = Annotated[list[int] | None, typer.Argument(help="numbers of dead letters")]
Fingerprint = Annotated[str | None, typer.Option(help="those that failed alike: the fingerprint that `list` shows")]
Queue = Annotated[str | None, typer.Option(help="those of this queue")]
Everything = Annotated[bool, typer.Option("--all", help="all that are open")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="only say how many are meant")]
Actor = Annotated[str, typer.Option(help="who does it, for the audit")]


@app.command("list")
def list_letters(
    status: Annotated[str, typer.Option(help="open, replayed or discarded")] = "open",
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Show dead letters with their reasons, oldest first."""
    from sql.dead_letters import Choice, DeadLetterBox

    box = DeadLetterBox(settings().database_url)
    rows = box.listed(status, Choice(fingerprint=fingerprint, queue=queue), limit)
    box.close()
    if as_json:
        for row in rows:
            typer.echo(json.dumps(_printable(row)))
        return
    table = Table("id", "at", "queue", "reason", "fingerprint")
    for row in rows:
        at = row["at"].isoformat(" ", "seconds")
        table.add_row(str(row["dead_letter_id"]), at, row["queue"], literal(row["reason"]), row["fingerprint"])
    Console().print(table if rows else "no dead letters")


@app.command()
def replay(
    ids: Ids = None,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    actor: Actor = "operator",
) -> None:
    """Send dead letters to their queues again; exit code 1 when not all could be."""
    _settle(_choice(ids, fingerprint, queue, everything), "replayed", actor, dry_run)


@app.command()
def discard(
    ids: Ids = None,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    actor: Actor = "operator",
) -> None:
    """Mark dead letters as not worth replaying; exit code 1 when not all could be."""
    _settle(_choice(ids, fingerprint, queue, everything), "discarded", actor, dry_run)


def _choice(ids: list[int] | None, fingerprint: str | None, queue: str | None, everything: bool) -> Choice:
    """What was named; nothing named is a mistake, not everything."""
    from sql.dead_letters import Choice

    if not (ids or fingerprint or queue or everything):
        raise typer.BadParameter("name dead letters: by number, --fingerprint, --queue, or --all")
    return Choice(ids or None, fingerprint, queue)


def _settle(choice: Choice, fate: Fate, actor: str, dry_run: bool) -> None:
    from broker.topology import queues
    from sql.dead_letters import DeadLetterBox

    box = DeadLetterBox(settings().database_url, [queue.name for queue in queues()])
    meant = box.count(choice)
    typer.echo(f"{meant} open dead letters are meant")
    if dry_run:
        return
    done = box.settle(choice, fate, actor)
    box.close()
    for number, reason in done.unreadable.items():
        typer.echo(f"{number} stays: {reason}", err=True)
    wanted = len(choice.ids) if choice.ids is not None else meant
    typer.echo(f"{done.letters} of {wanted} {fate}")
    if done.letters < wanted:
        raise typer.Exit(1)


def _printable(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"at": row["at"].isoformat(), "payload": bytes(row["payload"]).decode(errors="replace")}
