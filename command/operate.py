"""What operators type beside serving: how is it, send everything again, look after topology and partitions."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict

import typer

from command import terminal
from command.settings import settings
from command.terminal import AsJson

topology = typer.Typer(help="Queues and bindings of the broker, against those of this version.", no_args_is_help=True)
partitions = typer.Typer(help="Month partitions of history and archive.", no_args_is_help=True)


def health(as_json: AsJson = False) -> None:
    """Say which processes run and what is not well; exit code 0 when all is, 1 otherwise."""
    from command import health as judge
    from command.compose import NAMES

    report = judge.look(settings(), NAMES)
    if as_json:
        terminal.say_json(judge.as_json(report))
    else:
        judge.show(report)
    raise typer.Exit(1 if report.trouble else 0)


def replay() -> None:
    """Say again now what every live job waits for, and every kept request: an emptied broker need not be waited for."""
    from sql.appointments import make_appointments_now

    config = settings()
    jobs, requests = make_appointments_now(config.database_url, config.statement_timeout_s)
    typer.echo(f"{jobs} jobs and {requests} requests are due now: the daemon and the relay send what they wait for")


@topology.command()
def check(as_json: AsJson = False) -> None:
    """Compare the broker with what this version declares; exit code 1 when they differ. Changes nothing."""
    from broker.upgrade import check as differences
    from sql.broker_bindings import retired

    config = settings()
    _say(
        differences(config.broker_url, retired(config.database_url), config.further()),
        as_json,
        "the broker is as it should be",
    )


@topology.command()
def prune(as_json: AsJson = False) -> None:
    """Remove bindings that left the table, and queues that did once they are empty; exit code 1 when some must stay."""
    from broker.upgrade import prune as remove
    from sql.broker_bindings import forget, retired

    config = settings()
    left = retired(config.database_url)
    sentences, removed = remove(config.broker_url, left, config.further())
    forget(config.database_url, removed)
    _say(sentences, as_json, "nothing to remove", code=1 if len(removed) < len(left) else 0)


@topology.command()
def declare() -> None:
    """Declare what is missing on the broker, as every process does that connects: before JEDI gets its password."""
    from broker.upgrade import declare as make

    config = settings()
    make(config.broker_url, config.further())
    typer.echo("the broker has all exchanges, queues and bindings")


@topology.command()
def policy() -> None:
    """Print the commands that set what is tunable, to be run where `rabbitmqctl` is."""
    from broker.policies import commands

    for arguments in commands(settings().broker_url):
        typer.echo(shlex.join(["rabbitmqctl", *arguments]))


@topology.command()
def permissions() -> None:
    """Print the commands that say what the users server, jedi and operator may do."""
    from broker.permissions import commands

    for arguments in commands(settings().broker_url):
        typer.echo(shlex.join(["rabbitmqctl", *arguments]))


def _say(sentences: Sequence[str], as_json: bool, none: str, code: int | None = None) -> None:
    """Print them and end; the exit code is 1 when there are any, unless it is given."""
    if as_json:
        terminal.say_json(sentences)
    else:
        typer.echo("\n".join(sentences) or none)
    raise typer.Exit(min(1, len(sentences)) if code is None else code)


@partitions.command()
def status(as_json: AsJson = False) -> None:
    """Show every partition; exit code 1 when rows are in a default partition."""
    from sql.partitions import partitions as found

    rows = found(settings().database_url)
    if as_json:
        terminal.say_json([asdict(row) for row in rows])
    else:
        shown = ([row.parent, row.name, row.rows, round(row.bytes / 1e6, 1)] for row in rows)
        terminal.show(("table", "partition", "rows", "MB"), shown)
    raise typer.Exit(1 if any(row.is_default and row.rows for row in rows) else 0)


@partitions.command("repair")
def repair_partitions() -> None:
    """Move rows of default partitions into those of their months. Each table is locked meanwhile."""
    from sql.partitions import repair

    for table, rows in repair(settings().database_url).items():
        typer.echo(f"{table}: {rows} rows moved")
