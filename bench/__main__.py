"""`python -m bench`: starts a private system, measures it, says what it found, and stops everything."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from bench import compare as comparison
from bench import page, report
from bench.plant import BenchError, Plant
from bench.run import MEASURES, STEADY_SHARE, USUAL, Run
from bench.wishes import Wishes
from command import log as logs
from lab.daemon import DaemonError
from lab.debian import MissingPackagesError

_RESULTS = Path(__file__).parent / "results.json"
_COMPARED = Path(__file__).parent / "compared.json"
_CONSOLE = Console(stderr=True)

app = typer.Typer(add_completion=False)
Quick = Annotated[bool, typer.Option("--quick", help="a tenth of the jobs: for a first look")]
Only = Annotated[list[str] | None, typer.Option("--only", help=f"one of: {', '.join(MEASURES)}; repeatable")]


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    quick: Quick = False,
    only: Only = None,
    json: Annotated[Path, typer.Option("--json", help="where the results are written")] = _RESULTS,
    minutes: Annotated[float | None, typer.Option(min=0.2, help="of steady load; 10, or 1 with --quick")] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help=f"jobs/s of steady load; else {STEADY_SHARE:.0%} of what this run reached before"),
    ] = None,
    archived: Annotated[
        int | None, typer.Option(min=10_000, max=50_000_000, help="archived jobs of --only dashboard; else 5 million")
    ] = None,
    viewers: Annotated[int, typer.Option(min=1, max=500, help="people who look with --only dashboard")] = 10,
) -> None:
    """Measure throughput and latency of panda-fsm on private, real services; in full it takes some minutes.

    Steady load takes ten minutes more and is measured only when it is named: --only steady. Archiving runs meanwhile
    (30 s after the end of a job), and probes show how late deadlines are acted on. So it is with --only history, which
    fills the archive with 5 million jobs first, some 20 GB, and with --only dashboard, beside a million live ones.
    """
    if context.invoked_subcommand is not None:
        return
    names = _known(only) or USUAL
    logs.configure("bench", "warning", as_json=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with Plant() as plant:
            run = Run(plant, Wishes(quick, minutes, rate, archived, viewers))
            run.take(names, _say)
    except (BenchError, DaemonError, MissingPackagesError) as error:
        raise _failed(error) from None
    report.show(run.results)
    report.write(run.results, json)
    _say(f"wrote {json}")


@app.command()
def compare(
    base: Annotated[Path, typer.Option(help="another checkout of this repository, with its .venv", exists=True)],
    only: Only = None,
    quick: Quick = False,
    rounds: Annotated[int, typer.Option(min=1, help="runs of each")] = 2,
    json: Annotated[Path, typer.Option("--json", help="where figures and ratios are written")] = _COMPARED,
) -> None:
    """Measure another checkout and this one in turn, and say for each figure how this one stands to the other."""
    try:
        found = comparison.compare(base, _known(only), quick, rounds, _say)
    except BenchError as error:
        raise _failed(error) from None
    comparison.show(found)
    report.write(found, json)
    _say(f"wrote {json}")


@app.command()
def docs(
    json: Annotated[list[Path] | None, typer.Option("--json", help="results to tell of; repeatable")] = None,
    target: Annotated[Path, typer.Option(help="the page to write")] = page.PAGE,
) -> None:
    """Write docs/figures.md from the results of runs."""
    target.write_text(page.page([report.read(one) for one in json or [_RESULTS]]))
    _say(f"wrote {target}")


def _known(only: list[str] | None) -> list[str]:
    unknown = sorted(set(only or ()) - set(MEASURES))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is none of: {', '.join(MEASURES)}", param_hint="--only")
    return only or []


def _failed(error: Exception) -> typer.Exit:
    _CONSOLE.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
    return typer.Exit(1)


def _say(line: str) -> None:
    _CONSOLE.print(f"[dim]{line}[/dim]", highlight=False)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Leave as after Ctrl-C: by way of the context managers that stop what was started."""
    sys.exit(128 + number)


if __name__ == "__main__":
    app()
