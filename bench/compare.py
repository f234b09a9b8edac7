"""Side by side: another checkout and this one measured in turn, so that both saw the same minutes of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.plant import BenchError
from bench.report import LINES, Line
from bench.run import USUAL

_HERE = Path(__file__).resolve().parent.parent
_SINCE = {
    "empty_claims", "http_few", "http_anew", "http_described", "http_burst", "steady", "history", "jedi_lifecycles",
    "jedi_submit",
}  # fmt: skip
"""Measures that another checkout may not have."""
QUIET_CORES = 0.15
"""What strangers may take before a run is not to be believed."""
_ALIKE = 0.95
_COSTS = (
    Line("server_side_us", "CPU time of a lifecycle, server side", "µs"),
    Line("http_lifecycles_us", "CPU time of a lifecycle over HTTP", "µs"),
    Line("acquire_us", "CPU time of an HTTP acquire", "µs"),
    Line("update_us", "CPU time of an HTTP update", "µs"),
)
"""Where strangers disturb the clock, these still say what became dearer."""
Runs = dict[str, list[dict[str, Any]]]


def compare(base: Path, only: Sequence[str], quick: bool, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Base, this, base, this...; the figures of each run, and the ratio of their medians (above 1: this is better)."""
    if unknown := sorted(_SINCE & set(only)):
        raise BenchError(f"{unknown[0]} cannot be compared: it may be new here")
    names = only or [name for name in USUAL if name not in _SINCE]
    runs: Runs = {"base": [], "this": []}
    for number in range(1, rounds + 1):
        for name, root in (("base", base.resolve()), ("this", _HERE)):
            started = time.monotonic()
            runs[name].append(_run(root, names, quick))
            taken = ", ".join(f"{found:.2f}" for found in _noise(runs[name][-1]))
            say(f"{name} {number} of {rounds}: {time.monotonic() - started:.0f} s; strangers took {taken} cores")
    return {"figures": dict(_figures(runs)), "runs": runs}


def show(found: dict[str, Any]) -> None:
    """Print the ratios, and which runs were disturbed."""
    console = Console(width=110)
    table = Table("measure", title="this checkout beside the other", box=SIMPLE)
    for column in ("other", "this", "", "ratio"):
        table.add_column(column, justify="left" if not column else "right")
    for figure in found["figures"].values():
        colour = "green" if figure["ratio"] >= 1 else "yellow" if figure["ratio"] >= _ALIKE else "red"
        values = [" ".join(f"{value:,.4g}" for value in figure[name]) for name in ("base", "this")]
        table.add_row(figure["what"], *values, figure["unit"], f"[{colour}]{figure['ratio']:.3f}[/{colour}]")
    console.print(table)
    for name, runs in found["runs"].items():
        for number, run in enumerate(runs, 1):
            if max(_noise(run), default=0.0) > QUIET_CORES:
                console.print(f"[yellow]run {number} of {name} was disturbed[/yellow]: its clock is not to be believed")


def _run(root: Path, names: Sequence[str], quick: bool) -> dict[str, Any]:
    python = Path(sys.executable) if root == _HERE else root / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results.json"
        wishes = [*(f"--only={name}" for name in names), *(["--quick"] if quick else [])]
        done = subprocess.run(
            [str(python), "-m", "bench", *wishes, "--json", str(results)],
            cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise BenchError(f"the benchmark of {root} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(results.read_text())
    return found | _costs(found["details"])


def _costs(details: dict[str, Any]) -> dict[str, float]:
    rates = details.get("http_rates", {}).get("1k", {})
    parts = {
        "server_side_us": details.get("server_side"), "http_lifecycles_us": details.get("http_lifecycles"),
        "acquire_us": rates.get("acquire"), "update_us": rates.get("update"),
    }  # fmt: skip
    return {key: part["cpu_us_per_job_total"] for key, part in parts.items() if part}


def _noise(run: dict[str, Any]) -> list[float]:
    """Cores that strangers took, measure by measure."""
    measures = (run["details"].get(name) for name in ("server_side", "http_lifecycles"))
    return [measure["cores_taken_by_strangers"] for measure in measures if measure]


def _figures(runs: Runs) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in (*LINES, *_COSTS):
        values = {name: [run[line.key] for run in found if line.key in run] for name, found in runs.items()}
        if all(values.values()):
            base, this = median(values["base"]), median(values["this"])
            ratio = base / this if line.is_cost else this / base
            yield line.key, {"what": line.name, "unit": line.unit, **values, "ratio": round(ratio, 3)}
