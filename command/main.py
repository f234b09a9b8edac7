"""The `panda-fsm` command and the composition root: the only module that knows every folder."""

import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from panda_fsm import log as logs
from panda_fsm.errors import PandaError
from panda_fsm.handler import Service
from panda_fsm.process import Processor
from panda_fsm.relay import Relay
from panda_fsm.settings import Settings, settings
from panda_fsm.sites import Sites

app = typer.Typer(help="A PanDA server as a state machine over RabbitMQ and PostgreSQL.", no_args_is_help=True)
dead_letters_app = typer.Typer(help="Messages that could not be handled.", no_args_is_help=True)
app.add_typer(dead_letters_app, name="dead-letters")
log = structlog.get_logger()

ARCHIVE_AFTER_S = 600.0
"""Final jobs stay among the live ones this long, for late reports and the first questions of their users."""


def main() -> None:
    """Run the command; an error that a person can mend is one sentence, not a traceback."""
    try:
        app()
    except PandaError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
        sys.exit(2)


def _services() -> dict[str, Callable[[Sites], Service]]:
    """Consumers by queue name. Imported here, so that --help does not wait for database and broker libraries."""
    from consumers.activator import Activator
    from consumers.adder import Adder
    from consumers.closer import Closer
    from consumers.finisher import Finisher
    from consumers.setupper import Setupper
    from consumers.watcher import Watcher
    from panda_fsm.dead_letters import DeadLetters
    from plugins.local_ddm import LocalDdm
    from plugins.registry import EntryPointRegistry

    return {
        "setupper": lambda sites: Setupper(EntryPointRegistry(sites)),
        "activator": lambda _: Activator(),
        "watcher": lambda _: Watcher(),
        "watcher.heartbeats": lambda _: Watcher(),
        "adder": lambda sites: Adder(EntryPointRegistry(sites)),
        "closer": lambda _: Closer(),
        "finisher": lambda _: Finisher(),
        "ddm": LocalDdm,
        "dead_letters": lambda _: DeadLetters(),
    }


def _consume(queue: str, config: Settings) -> None:
    """One queue: consumer thread, worker, store, publisher, until SIGTERM."""
    from broker.consume import BatchConsumer
    from broker.publish import BrokerPublisher
    from sql.store import PostgresStore

    service = _services()[queue](Sites.load(config.sites_file))
    store = PostgresStore(config.database_url, queue, config.statement_timeout_s, ARCHIVE_AFTER_S)
    publisher = BrokerPublisher(config.broker_url, queue)
    publisher.start()
    processor = Processor(service, store, publisher, config.deadline_s, config.confirm_timeout_s)
    consumer = BatchConsumer(config.broker_url, queue, config.batch_size, processor.handle)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: consumer.end())
    log.info("serving", queue=queue)
    consumer.run()
    publisher.stop()
    store.close()
    log.info("stopped")


def _relay(config: Settings) -> None:
    from broker.publish import BrokerPublisher
    from sql.housekeeping import Housekeeping

    publisher = BrokerPublisher(config.broker_url, "relay")
    publisher.start()
    housekeeping = Housekeeping(config.database_url, config.statement_timeout_s)
    relay = Relay(housekeeping, publisher, config.relay_age_s, config.confirm_timeout_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.end())
    log.info("serving")
    relay.run()
    publisher.stop()
    housekeeping.close()
    log.info("stopped")


def _gateway(config: Settings) -> None:
    from broker.async_publisher import AsyncPublisher
    from gateway.serve import serve as serve_gateway
    from sql.gateway_store import GatewayStore
    from sql.migrate import latest

    store = GatewayStore(config.database_url, config.database_pool, config.statement_timeout_s, config.deadline_s)
    publisher = AsyncPublisher(config.broker_url, config.confirm_timeout_s)
    serve_gateway(config, store, publisher, Sites.load(config.sites_file), latest())


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="gateway, relay, or a queue: setupper, watcher, ddm...")] = "",
    everything: Annotated[bool, typer.Option("--all", help="all of them, each a process, on this machine")] = False,
) -> None:
    """Run one service, or all of them, until SIGTERM (the batch in hand is finished and acknowledged)."""
    config = settings()
    names = ["gateway", "relay", *_services()]
    logs.configure(name or "supervisor", config.log_level, config.log_json)
    if everything:
        from panda_fsm.supervise import Supervisor

        Supervisor(names).run()
    elif name == "gateway":
        _gateway(config)
    elif name == "relay":
        _relay(config)
    elif name in names:
        _consume(name, config)
    else:
        raise typer.BadParameter(f"{name!r} is none of: {', '.join(names)}, --all")


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this version."""
    from sql.migrate import latest
    from sql.migrate import migrate as run

    logs.configure("migrate", "warning")
    applied = run(settings().database_url)
    typer.echo(f"database is at {latest()}" + (f", applied {', '.join(applied)}" if applied else ""))


@app.command()
def replay() -> None:
    """Send the pending event of every live job again: after a broker was emptied, work goes on from the database."""
    from sql.housekeeping import Housekeeping

    config = settings()
    sent = Housekeeping(config.database_url, config.statement_timeout_s).replay()
    typer.echo(f"{sent} messages written to the outbox; the relay publishes them")


@dead_letters_app.command("list")
def list_dead_letters(
    status: Annotated[str, typer.Option(help="open, replayed or discarded")] = "open",
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Show dead letters with their reasons."""
    from sql.housekeeping import Housekeeping

    config = settings()
    rows = Housekeeping(config.database_url, config.statement_timeout_s).dead_letters(status, limit)
    if as_json:
        for row in rows:
            payload = bytes(row.pop("payload")).decode(errors="replace")
            typer.echo(json.dumps(row | {"at": row["at"].isoformat(), "payload": payload}))
        return
    table = Table("id", "at", "queue", "reason", "cause")
    for row in rows:
        at = row["at"].isoformat(" ", "seconds")
        table.add_row(str(row["dead_letter_id"]), at, row["queue"], row["reason"], row["fingerprint"])
    Console().print(table if rows else "no dead letters")


@dead_letters_app.command("replay")
def replay_dead_letters(ids: list[int], actor: Annotated[str, typer.Option(help="who does it")] = "operator") -> None:
    """Send dead letters to their queues again."""
    _settle(ids, "replayed", actor)


@dead_letters_app.command("discard")
def discard_dead_letters(ids: list[int], actor: Annotated[str, typer.Option(help="who does it")] = "operator") -> None:
    """Mark dead letters as not worth replaying."""
    _settle(ids, "discarded", actor)


def _settle(ids: list[int], status: str, actor: str) -> None:
    from sql.housekeeping import Housekeeping

    config = settings()
    changed = Housekeeping(config.database_url, config.statement_timeout_s).settle_dead_letters(ids, status, actor)
    typer.echo(f"{changed} of {len(ids)} {status}")
    if changed < len(ids):
        raise typer.Exit(1)


@app.command()
def pilot(
    url: Annotated[str, typer.Option(help="origin of the gateway, http://127.0.0.1:25080")],
    queue: Annotated[str, typer.Option(help="the queue whose jobs to run")],
    workdir: Annotated[Path, typer.Option(help="directory to run them in")],
    label: Annotated[str, typer.Option(help="prodSourceLabel to ask for")] = "user",
    max_jobs: Annotated[int, typer.Option(min=0, help="stop after so many jobs; 0: when there are none")] = 0,
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
) -> None:
    """Run jobs as a small built-in pilot, for machines where the real one may not run."""
    from panda_fsm.pilot import run

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    token = token_file.read_text().strip() if token_file else ""
    raise typer.Exit(run(url, queue, label, max_jobs, workdir, token))


@app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="fail when a generated page is stale, write nothing")] = False,
    directory: Annotated[Path, typer.Option(help="where the pages are")] = Path("docs"),
) -> None:
    """Write the generated pages: docs/lifecycle.md, docs/settings.md."""
    from panda_fsm.pages import pages

    stale = [name for name, text in pages().items() if _differs(directory / name, text)]
    if check and stale:
        typer.echo(f"stale: {', '.join(stale)}; run `make docs`", err=True)
        raise typer.Exit(1)
    for name in stale:
        (directory / name).write_text(pages()[name])
        typer.echo(f"wrote {directory / name}")


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text() != text
