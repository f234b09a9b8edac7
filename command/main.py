"""The `panda-fsm` command: what can be typed, and errors as one sentence; the work is done by the modules beside it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from command import (
    daemon,
    dead_letters,
    jobs,
    log,
    look,
    operate,
    overview,
    queue_data,
    queues,
    site_commands,
    targets,
    troubles,
)
from command.audit import audit
from command.doctor import doctor
from command.find import find
from command.follow import tail
from command.operations import operations
from command.settings import settings
from command.terminal import literal
from command.top import top
from panda_fsm.errors import PandaError, SettingsError

app = typer.Typer(help="A PanDA server as a state machine over RabbitMQ and PostgreSQL.", no_args_is_help=True)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dead_letters.app, name="dead")
app.add_typer(dead_letters.app, name="dead-letters", hidden=True)
app.add_typer(queues.app, name="queues")
app.add_typer(site_commands.app, name="sites")
queue_data.join(queues.app)
app.command()(queues.workers)
app.add_typer(operate.topology, name="topology")
app.add_typer(operate.partitions, name="partitions")
app.add_typer(daemon.app, name="daemon")
app.add_typer(targets.app, name="metrics")
app.command()(overview.status)
app.command()(top)
app.command()(find)
app.command()(operations)
app.command()(troubles.stuck)
app.command()(troubles.errors)
app.command()(operate.health)
app.command()(doctor)
app.command()(tail)
app.command()(audit)
app.command()(operate.replay)
app.command()(look.task)


def main() -> None:
    """Run the command; an error that a person can mend is one sentence, not a traceback."""
    try:
        _read_arguments()
        app()
    except PandaError as error:
        sys.exit(_told(error))
    except BrokenPipeError:  # who read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read_arguments() -> None:
    """What is no text can be stored nowhere, and found nowhere. Raises SettingsError."""
    for typed in sys.argv[1:]:
        try:
            typed.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"what was typed is no UTF-8: {os.fsencode(typed)!r:.200}") from None


def _told(error: PandaError) -> int:
    """The exit code, once the sentence is written."""
    sentence = Text.assemble((type(error).__name__, "red"), ": ", literal(str(error)))
    Console(stderr=True).print(sentence, highlight=False, soft_wrap=True)
    return 2


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="gateway, relay, daemon, or a queue: setupper, watcher, ddm...")] = "",
    everything: Annotated[bool, typer.Option("--all", help="all of them, each a process, on this machine")] = False,
) -> None:
    """Run one service, or all of them, until SIGTERM (the batch in hand is finished and acknowledged)."""
    # Imported here, so that --help does not wait for database and broker libraries.
    from command.compose import NAMES
    from command.serve import leave
    from command.serve import serve as run
    from command.supervise import Supervisor

    config = settings()
    if not everything and name not in NAMES:
        raise typer.BadParameter(f"{name!r} is none of: {', '.join(NAMES)}, --all")
    log.configure(name or "supervisor", config.log_level, config.log_json)
    if everything:
        Supervisor(NAMES).run()
        return
    try:
        code = run(name, config)
    except PandaError as error:
        code = _told(error)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    leave(code)


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this version."""
    from sql.migrate import latest
    from sql.migrate import migrate as run

    log.configure("migrate", "warning")
    applied = run(settings().database_url, settings().further())
    typer.echo(f"database is at {latest()}" + (f", applied {', '.join(applied)}" if applied else ""))


@app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="fail when a generated page is stale, write nothing")] = False,
    directory: Annotated[Path, typer.Option(help="where the pages are")] = Path("docs"),
) -> None:
    """Write the generated pages: docs/lifecycle.md, docs/settings.md, docs/asyncapi.yaml, docs/schemas."""
    from command.pages import SCHEMAS, pages

    made = pages()
    stale = {name: text for name, text in made.items() if _differs(directory / name, text)}
    gone = [path for path in sorted((directory / SCHEMAS).glob("*")) if f"{SCHEMAS}/{path.name}" not in made]
    if check and (stale or gone):
        typer.echo(f"stale: {', '.join([*stale, *map(str, gone)])}; run `make docs`", err=True)
        raise typer.Exit(1)
    for name, text in stale.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        typer.echo(f"wrote {directory / name}")
    for path in gone:
        path.unlink()
        typer.echo(f"removed {path}")


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text() != text
