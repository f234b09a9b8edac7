"""`panda-fsm dead`: what nobody could handle is looked at, and replayed or discarded, alone or all of a kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command.asking import Store, ask
from command.settings import settings
from command.terminal import AsJson, aside, say, say_json, unknown
from command.terminal import show as show_table
from panda_fsm.views.words import moment, number, size

if TYPE_CHECKING:  # else --help waits for the database's library
    from panda_fsm.views.dead_letters import Choice, Fate, Group, Letter, Line
    from panda_fsm.views.replaying import DryRun
    from sql.dead_letters import DeadLetterBox

app = typer.Typer(help="Messages that could not be handled.", no_args_is_help=True)

Ids = Annotated[list[int] | None, typer.Argument(help="numbers of dead letters")]
One = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="the number of a dead letter")]
Fingerprint = Annotated[str | None, typer.Option(help="those that failed alike: the fingerprint that `ls` shows")]
Queue = Annotated[str | None, typer.Option(help="those of this queue")]
Everything = Annotated[bool, typer.Option("--all", help="all that are open")]
DryRunOnly = Annotated[bool, typer.Option("--dry-run", help="only say what would become of them, and why")]
Actor = Annotated[str, typer.Option(help="who does it, for the audit")]
Reason = Annotated[str, typer.Option(help="why, for the audit")]
_OF_GROUPS = ("fingerprint", "letters", "replays", "first", "last", "queue", "cause")
_OF_LETTERS = ("id", "at", "queue", "reason", "fingerprint", "replayed")
_SHOWN_JUDGEMENTS = 20


@app.command("ls")
@app.command("list", hidden=True)
def list_letters(
    status: Annotated[str, typer.Option(help="open, replayed or discarded")] = "open",
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    groups: Annotated[bool, typer.Option("--groups", help="what died alike as one line")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Show dead letters with their reasons, newest first."""
    from gateway.dashboard.twins import plain
    from panda_fsm.views.dead_letters import Group, Wanted

    wanted = Wanted(status, fingerprint, queue, limit=limit)

    async def look(store: Store) -> list[Any]:
        reads = store.dashboards.dead_letters
        return await reads.groups(wanted) if groups else list((await reads.letters(wanted)).rows)

    rows = ask(look)
    if as_json:
        for row in rows:
            say_json(plain(row))
    elif rows:
        shown = [_group(row) if isinstance(row, Group) else _line(row) for row in rows]
        show_table(_OF_GROUPS if groups else _OF_LETTERS, shown)
    else:
        say("no dead letters")


@app.command()
def show(
    letter_id: One,
    as_json: AsJson = False,
    raw: Annotated[bool, typer.Option("--raw", help="its body alone, as it came, secrets included")] = False,
    to_edit: Annotated[bool, typer.Option("--to-edit", help="its body as `replay --edited` takes it")] = False,
) -> None:
    """Show a dead letter: headers, body, what the handler said, what it was before. Secrets are hidden."""
    from gateway.dashboard.twins import plain

    if raw or to_edit:
        with _box() as box:
            body = box.body(letter_id) if raw else f"{box.to_edit(letter_id)}\n".encode()
        sys.stdout.buffer.write(body)
        return
    letter = ask(lambda store: store.dashboards.dead_letters.letter(letter_id))
    if letter is None:
        raise unknown(f"dead letter {letter_id}")
    if as_json:
        say_json(plain(letter))
    else:
        _show(letter)


@app.command()
def replay(
    ids: Ids = None,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    everything: Everything = False,
    edited: Annotated[Path | None, typer.Option(help="send this body instead, of one letter: `show --to-edit`")] = None,
    dry_run: DryRunOnly = False,
    actor: Actor = "operator",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Send dead letters to their queues again; exit code 1 when not all could be."""
    if edited is not None:
        _replay_edited(ids or [], edited, dry_run, actor, reason)
        return
    choice = _choice(ids, fingerprint, queue, everything)
    if dry_run:
        _tell(ask(lambda store: store.dashboards.dead_letters.dry_run(choice)), as_json)
    else:
        _settle(choice, "replayed", actor, reason, as_json)


@app.command()
def discard(
    ids: Ids = None,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    everything: Everything = False,
    dry_run: DryRunOnly = False,
    actor: Actor = "operator",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Mark dead letters as not worth replaying; exit code 1 when not all could be."""
    choice = _choice(ids, fingerprint, queue, everything)
    if dry_run:
        with _box() as box:
            meant = box.count(choice)
        if as_json:
            say_json({"meant": meant})
        else:
            say(f"{meant} open dead letters are meant")
    else:
        _settle(choice, "discarded", actor, reason, as_json)


def _choice(ids: list[int] | None, fingerprint: str | None, queue: str | None, everything: bool) -> Choice:
    """What was named; nothing named is a mistake, not everything."""
    from panda_fsm.views.dead_letters import Choice

    if not (ids or fingerprint or queue or everything):
        raise typer.BadParameter("name dead letters: by number, --fingerprint, --queue, or --all")
    return Choice(ids or None, fingerprint, queue)


def _settle(choice: Choice, fate: Fate, actor: str, reason: str, as_json: bool) -> None:
    from panda_fsm.views.dead_letters import Deed

    with _box() as box:
        meant = box.count(choice)
        if not as_json:
            say(f"{meant} open dead letters are meant")
        done = box.settle(choice, fate, Deed(actor, reason))
    for letter_id, why in done.unreadable.items():
        aside(f"{letter_id} stays: {why}")
    wanted = len(choice.ids) if choice.ids is not None else meant
    if as_json:
        stay = {str(letter_id): why for letter_id, why in done.unreadable.items()}
        say_json({"meant": wanted, fate: done.letters, "stay": stay})
    else:
        say(f"{done.letters} of {wanted} {fate}")
    if done.letters < wanted:
        raise typer.Exit(1)


def _replay_edited(ids: list[int], path: Path, dry_run: bool, actor: str, reason: str) -> None:
    from panda_fsm.views.dead_letters import Deed

    if len(ids) != 1:
        raise typer.BadParameter("--edited needs the number of one dead letter")
    try:
        wanted = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from None
    with _box() as box:
        if dry_run:
            difference = box.difference(ids[0], wanted)
        else:
            difference = box.replay_edited(ids[0], wanted, Deed(actor, reason))
    say(difference)
    if not dry_run:
        say("1 of 1 replayed, edited")


def _tell(found: DryRun, as_json: bool) -> None:
    """What a dry run found; exit code 1 where not all would be sent."""
    meant = len(found.judged)
    if as_json:
        counts = {prospect.name.lower(): count for prospect, count in found.counts.items()}
        letters = [
            {"dead_letter_id": str(one.letter_id), "prospect": one.prospect.name.lower(), "why": one.why}
            for one in found.judged
        ]
        told = {"meant": meant, "is_whole": found.is_whole, "eligible": found.eligible, "counts": counts}
        say_json(told | {"letters": letters})
    else:
        say(f"{'' if found.is_whole else 'at least '}{meant} open dead letters are meant: {found.sentence}")
        for one in found.exceptions[:_SHOWN_JUDGEMENTS]:
            say(f"{one.letter_id} {one.prospect.value[0]}: {one.why}")
        if len(found.exceptions) > _SHOWN_JUDGEMENTS:
            say(f"and {len(found.exceptions) - _SHOWN_JUDGEMENTS} more: --json names them")
    if found.eligible < meant:
        raise typer.Exit(1)


def _show(letter: Letter) -> None:
    """For people: what happened first, the body last."""
    line, body = letter.line, letter.body
    facts = {
        "queue": line.queue, "at": moment(line.at), "status": line.status, "reason": line.reason, "way": letter.way,
        "fingerprint": line.fingerprint, "sent as": f"{letter.exchange or 'to the queue'} {letter.routing_key}",
        "jobs": ", ".join(map(str, letter.job_ids)),
        "replayed before": number(line.times_replayed) if line.times_replayed else "",
        "settled": f"{moment(line.settled_at)} by {line.settled_by or '?'}: {line.settle_reason or 'no reason given'}"
        if line.settled_at else "",
    }  # fmt: skip
    for name, value in facts.items():
        if value:
            say(f"{name}: {value}")
    for title, kin in (("it was", letter.earlier), ("its replay became", letter.later)):
        for one in kin:
            say(f"{title} {one.dead_letter_id}, {moment(one.at)}, {one.status}: {one.reason}")
    for name, value in letter.headers.items():
        say(f"header {name}: {value}")
    parts = {"what the handler said": letter.error, "what was edited": letter.edit_diff or ""}
    how = f"{body.form} of {size(body.size)}{', its beginning' if body.is_cut else ''}, {body.hidden} hidden"
    for title, text in (parts | {f"body, {how}": body.text}).items():
        if text:
            say(f"--- {title}")
            say(text)


def _group(group: Group) -> tuple[str, ...]:
    letters = f"at least {number(group.letters)}" if group.is_more else number(group.letters)
    first, last = moment(group.first_at), moment(group.last_at)
    return group.fingerprint, letters, number(group.replays), first, last, group.queue, group.cause


def _line(line: Line) -> tuple[str, ...]:
    replayed = number(line.times_replayed) if line.times_replayed else ""
    return str(line.dead_letter_id), moment(line.at), line.queue, line.reason, line.fingerprint, replayed


@contextmanager
def _box() -> Iterator[DeadLetterBox]:
    from sql.dead_letters import DeadLetterBox

    box = DeadLetterBox(settings().database_url)
    try:
        yield box
    finally:
        box.close()
