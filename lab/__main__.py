"""The commands behind the Makefile: python -m lab up | down | run | demo | traffic | status."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import typer

from lab.daemon import DaemonError
from lab.debian import MissingPackagesError
from lab.demo import run_demo
from lab.system import System

JEDI_URL = "PANDA_FSM_JEDI_URL"
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Jobs = Annotated[int, typer.Option(min=1, help="jobs to submit")]
Pilots = Annotated[int, typer.Option(min=1, help="real pilots that run them")]
Source = Annotated[
    Literal["client", "jedi"], typer.Option(help="who submits: the real panda-client, or JEDI over the broker")
]


@app.command()
def up() -> None:
    """Start services, schema, panda-fsm in the background; write .run/env."""
    system = System()
    system.up()
    _print_addresses(system)
    typer.echo(f"environment  source {system.run_dir / 'env'}")


@app.command()
def down() -> None:
    """Stop what `up` started in this clone."""
    System().down()


@app.command()
def run(jobs: Jobs = 20, pilots: Pilots = 2, source: Source = "client") -> None:
    """Start everything, send real jobs through, then serve until Ctrl-C."""
    with _interruptible(), System() as system:
        run_demo(system, jobs, pilots, keep_serving=True, json=False, **_by(source, system))
        _print_addresses(system)
        typer.echo("serving until Ctrl-C")
        threading.Event().wait()


@app.command()
def demo(
    jobs: Jobs = 20,
    pilots: Pilots = 2,
    source: Source = "client",
    json: Annotated[bool, typer.Option("--json", help="one JSON document instead of the display")] = False,
) -> None:
    """Start everything, send real jobs through, stop; the exit code says whether all went well."""
    code = 1
    with _interruptible(), System() as system:
        code = run_demo(system, jobs, pilots, keep_serving=False, json=json, **_by(source, system))
    raise typer.Exit(code)


@app.command()
def traffic(
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="jobs a second that users submit")] = 50,
    minutes: Annotated[float | None, typer.Option(min=0.05, max=10_080, help="for so long; else until Ctrl-C")] = None,
) -> None:
    """Keep simulated users and pilots going in the system that `up` started, with what goes wrong in real life.

    Its queues: LAB_STEADY with a node that fails everything, LAB_FAILING whose jobs mostly fail, LAB_SLOW that piles
    up. Some pilots fall silent, users kill a job now and then, and now and then comes a message that nobody can read.
    """
    from rich.console import Console

    from lab import traffic as simulated

    system = System()
    if not (system.is_running and system.is_ready()):
        raise DaemonError("nothing serves in this clone: start it with `make up`")
    typer.echo(f"dashboards   {system.url}/ui/")
    port = int(system.url.rpartition(":")[2])
    simulated.run(port, system.services.broker_url, system.lab, rate, minutes, Console())


@app.command()
def screenshots(
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="jobs a second that users submit")] = 30,
    minutes: Annotated[float, typer.Option(min=0.1, max=600, help="so long jobs flow first")] = 2,
    place: Annotated[Path, typer.Option(help="where the pictures go")] = Path("docs/operations/screenshots"),
    only: Annotated[list[str] | None, typer.Option(help="only the picture of this name; repeatable")] = None,
) -> None:
    """Take a picture of each page of the dashboards, of a private system with traffic in it."""
    from lab.screenshots import take

    with _interruptible():
        take(place, rate, minutes, only or (), typer.echo)


@app.command()
def status() -> None:
    """Say what of this clone runs."""
    system = System()
    parts = {
        "postgresql": system.services.postgres.is_running,
        "rabbitmq": system.services.rabbitmq.is_running,
        "panda-fsm": system.is_running,
    }
    for name, running in parts.items():
        typer.echo(f"{name:<12} {'running' if running else 'stopped'}")
    if system.is_running:
        _print_addresses(system)
    raise typer.Exit(0 if system.is_running and system.is_ready() else 1)


def _by(source: str, system: System) -> dict[str, Any]:
    """JEDI's way in; one of its jobs fails at first, and is done again."""
    if source != "jedi":
        return {}
    url = system.env.get(JEDI_URL) or os.environ.get(JEDI_URL)
    if url is None:
        raise DaemonError(f"{JEDI_URL} must name the broker for JEDI's user")
    return {"jedi_url": url, "failing": 1}


def _print_addresses(system: System) -> None:
    typer.echo(f"dashboards   {system.url}/ui/")
    typer.echo(f"API          {system.url}/docs")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the work inside, and let nothing interrupt the stopping after it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        typer.echo("\nstopping what was started", err=True)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def main() -> None:
    """Run a command; expected trouble is one message, not a traceback."""
    try:
        app()
    except (DaemonError, MissingPackagesError) as error:
        typer.echo(f"{error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
