"""`panda-fsm queues ls | show | history | set | import | export`: PanDA queues, as sources and operators say."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from command import acting, asking, lists, sites, terminal
from command.queues import PANDAS
from command.settings import settings
from command.terminal import AsJson

if TYPE_CHECKING:
    from panda_fsm.views.information import QueueFacts, QueueView

Name = Annotated[str, typer.Argument(metavar="NAME", help="a PanDA queue, as `panda-fsm queues ls` names it")]
setting = typer.Typer(help="Set something of a PanDA queue above what its source says.", no_args_is_help=True)
_OF_QUEUES: tuple[lists.Column[Any], ...] = (
    ("queue", lambda row: row.name),
    ("status", lambda row: row.status),
    ("because", lambda row: row.shut or (row.override.sentence() if row.override else "")),
    ("site", lambda row: row.site),
    ("cores", lambda row: row.cores),
    ("MB", lambda row: row.memory_mb),
    ("time, s", lambda row: row.time_s),
    ("source", lambda row: row.source),
    ("changed", lambda row: row.changed_at),
)


def join(group: typer.Typer) -> None:
    """These commands beside those about the broker's queues."""
    for command in (ls, show, history, take, export):
        name = "import" if command is take else command.__name__
        group.command(name, rich_help_panel=PANDAS)(command)
    group.add_typer(setting, name="set", rich_help_panel=PANDAS)


def ls(
    name: Annotated[str | None, typer.Option(help="a part of the queue's name")] = None,
    status: Annotated[str | None, typer.Option(help="online, brokeroff, test or offline, as set or said")] = None,
    source: Annotated[str | None, typer.Option(help="said by this source")] = None,
    after: lists.After = None, limit: lists.Limit = 50, as_json: AsJson = False,
) -> None:  # fmt: skip
    """List PanDA queues with status, limits and source; sources in trouble; exit code 1 when one is."""
    from gateway.dashboard.information import PAGE

    found = lists.look(PAGE, {"name": name, "status": status, "source": source, "after": after, "limit": limit})
    lists.tell(found, _OF_QUEUES, as_json)
    wrong = [one for one in found.sources if one.trouble is not None]
    if not as_json:
        for one in wrong:
            terminal.say(f"source {one.name} is in trouble: {one.trouble}", "red")
        if found.rejected:
            terminal.aside(f"{len(found.rejected)} entries cannot be used: see /ui/information, or --json")
    raise typer.Exit(1 if wrong else 0)


def show(name: Name, as_json: AsJson = False) -> None:
    """Show all that is known of a PanDA queue, who said it, and what a source says that cannot be used."""
    found = _found(name)
    if as_json:
        lists.tell_json(found)
        return
    terminal.show(("what", "value"), list(_told(found.queue)), f"queue {name}")
    if found.queue.downtimes:
        rows = ((one.begins_at, one.ends_at, one.reason) for one in found.queue.downtimes)
        terminal.show(("from", "until", "why"), rows, "downtimes")
    ways = ((one.name, one.site, one.type, one.path or ", ".join(one.endpoints)) for one in found.storages)
    terminal.show(("storage", "site", "type", "reached by"), ways, "storages")
    if found.rejected:
        terminal.show(("source", "why"), ((one.source, one.reason) for one in found.rejected), "not usable")


def history(name: Name, as_json: AsJson = False) -> None:
    """Show who changed what of a PanDA queue, the newest first; also of one that is gone."""
    found = asking.ask(lambda store: store.dashboards.information.history(name))
    if not found:
        _say_unknown(name)
    if as_json:
        from gateway.dashboard import typed

        terminal.say_json(typed.plain(found))
        return
    rows = (
        (change.at, change.actor, field, was, is_now, change.why)
        for change in found
        for field, was, is_now in change.what
    )
    terminal.show(("when", "who", "what", "was", "is", "why"), rows, f"queue {name}")


@setting.command("status")
def set_status(
    name: Annotated[str, typer.Argument(metavar="QUEUE", help="a PanDA queue")],
    reason: acting.Reason,
    actor: acting.Actor,
    status: Annotated[
        str, typer.Argument(metavar="STATUS", help="online, brokeroff, test or offline; left out with --lift")
    ] = "",
    until: Annotated[str | None, typer.Option(help="for so long (30min, 4h, 2d) or until a time in UTC")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="what its source says counts again")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the status of a PanDA queue, above what its source says; gateways follow within seconds."""
    from panda_fsm.information.models import Override
    from panda_fsm.information.overriding import audited, overriding, told
    from panda_fsm.sites import Status

    if lift == bool(status) or (lift and until is not None):
        raise typer.BadParameter("name a status, or --lift what was set: one of both")
    override: Override | None = None
    if status:
        if status not in [one.value for one in Status]:
            raise typer.BadParameter(f"{status!r:.40} is none of: {', '.join(Status)}")
        try:
            override = overriding(status, actor, reason, datetime.now(UTC), _until(until))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    audit = audited(name, override, f"local:{actor}", actor, reason, by="command line")
    if not asking.ask(lambda store: store.operators.set_status(name, override, audit)):
        raise typer.BadParameter(f"no source has a queue {name!r:.80}: `panda-fsm queues ls` names them")
    if as_json:
        terminal.say_json({"queue": name, "override": None if override is None else override.model_dump(mode="json")})
    else:
        terminal.say(told(name, override))


def take(
    actor: acting.Actor,
    place: Annotated[str | None, typer.Argument(metavar="FILE_OR_URL", help="what is to be imported")] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="it has queues, storages, sites or network in the shape of CRIC; else it is a sites file"),
    ] = None,
    source: Annotated[str | None, typer.Option(help="who says so, else the file or the host")] = None,
    reason: Annotated[str, typer.Option(help="why, for the audit and the history")] = "imported by hand",
    allow_removals: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="it may take away all that it lacks, once; no file: the next time"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    as_json: AsJson = False,
) -> None:
    """Take over what a file or a page says of PanDA queues, sites and storages; exit code 1 when nothing of it is."""
    from command import importing

    if place is None:
        if allow_removals is None:
            raise typer.BadParameter("name a file or a URL to import, or --allow-removals SOURCE")
        if dry_run or kind is not None or source is not None:
            raise typer.BadParameter("--dry-run, --kind and --source are of a file or a URL: name it")
        importing.allow(allow_removals, actor, reason, as_json)
        return
    found = importing.take(place, kind, source, actor, reason, allow_removals, dry_run)
    if as_json:
        terminal.say_json(importing.as_json(found))
    else:
        importing.tell(found, dry_run)
    raise typer.Exit(1 if found.refused else 0)


def export(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="where to; else it is written out")] = None,
) -> None:
    """Write all that is known of queues, sites and storages as a file that can be imported; what is set stays out."""
    import json

    from sql.information_documents import Documents

    documents = Documents(settings().database_url)
    try:
        found = documents.all()
    finally:
        documents.close()
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror or error}") from None
    terminal.say(f"{len(found['queues'])} queues and {len(found['storages'])} storages are in {file}")


def _found(name: str) -> "QueueView":
    from panda_fsm.views.information import QueueView, storage_facts

    known = sites.now(settings())

    async def look(store: asking.Store) -> QueueView | None:
        information = store.dashboards.information
        queue = await information.queue(name, known)
        if queue is None:
            return None
        rest = await information.history(name), await information.rejected(name)
        return QueueView(queue, storage_facts(queue, known), *rest)

    found = asking.ask(look)
    if found is None:
        _say_unknown(name)
    return found


def _say_unknown(name: str) -> NoReturn:
    terminal.aside(f"no source has a queue {name!r:.80}: `panda-fsm queues ls` names them")
    raise typer.Exit(1)


def _told(one: "QueueFacts") -> Iterator[Sequence[Any]]:
    yield "status", one.status
    if one.shut or one.override:
        yield "because", one.override.sentence() if one.override else one.shut
    yield "its source says", one.said
    yield from (("source", one.source), ("changed", one.changed_at), ("site", one.site))
    limits = {"cores": one.cores, "memory, MB": one.memory_mb, "disk, MB": one.disk_mb, "time, s": one.time_s}
    yield from ((what, most or "any") for what, most in limits.items())
    yield "capability", one.capability


def _until(text: str | None) -> datetime | None:
    """So long from now on, or a time. Raises ValueError."""
    from gateway.dashboard.filters import later

    return None if text is None else later(text)
