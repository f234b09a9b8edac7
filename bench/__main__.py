"""`python -m bench`: starts a private system, measures it, says what it found, and stops everything."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from bench import report
from bench.plant import BenchError, Plant
from bench.run import MEASURES, Run
from lab.daemon import DaemonError
from lab.debian import MissingPackagesError
from panda_fsm import log as logs

_RESULTS = Path(__file__).parent / "results.json"
_CONSOLE = Console(stderr=True)


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="a tenth of the jobs: for a first look")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", help=f"one of: {', '.join(MEASURES)}; repeatable")] = None,
    json: Annotated[Path, typer.Option("--json", help="where the results are written")] = _RESULTS,
) -> None:
    """Measure throughput and latency of panda-fsm on private, real services; in full it takes some minutes."""
    unknown = sorted(set(only or ()) - set(MEASURES))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is none of: {', '.join(MEASURES)}", param_hint="--only")
    logs.configure("bench", "warning", as_json=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with Plant() as plant:
            run = Run(plant, quick)
            run.take(only or list(MEASURES), _say)
    except (BenchError, DaemonError, MissingPackagesError) as error:
        _CONSOLE.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
        raise typer.Exit(1) from None
    report.show(run.results)
    report.write(run.results, json)
    _say(f"wrote {json}")


def _say(line: str) -> None:
    _CONSOLE.print(f"[dim]{line}[/dim]", highlight=False)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Leave as after Ctrl-C: by way of the context managers that stop what was started."""
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(bench)
