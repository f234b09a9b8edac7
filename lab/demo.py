"""The demo: real jobs from the real client to the real pilots and home again, watched and then verified."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from lab.chain import JOBS as CHAINED
from lab.chain import PARTS, Chain
from lab.pilots import PilotPool
from lab.progress import Progress, Snapshot, fetch_snapshot, hop_table
from lab.site import QUEUE_STORAGE, SOURCE_STORAGE, LabFiles
from lab.verify import Verdict, peak_of, verify
from lab.workload import Client, ClientError, Source, prepare_inputs
from panda_fsm.jobs.states import State

TICK_S = 1.0
# The real pilot reports a failed payload two minutes after it ended, and nothing else changes meanwhile.
STALL_S = 300.0


class RunningSystem(Protocol):
    """What the demo needs of a system."""

    @property
    def url(self) -> str:
        """Address of the gateway."""

    @property
    def lab(self) -> LabFiles:
        """Storages, tokens, environment of clients and pilots."""

    @property
    def run_dir(self) -> Path:
        """Where logs and throw-away folders go."""


class StalledError(RuntimeError):
    """No job has changed its state for too long."""


@dataclass(frozen=True)
class Outcome:
    """How the demo went. `again`: jobs that failed and were done again. `chain`: of those that wait for each other."""

    task_id: int
    source: str
    again: int
    wall_s: float
    snapshot: Snapshot
    verdict: Verdict
    chain: Verdict | None

    @property
    def problems(self) -> list[str]:
        """What is not as planned."""
        return [*self.verdict.problems, *(self.chain.problems if self.chain else ())]


def run_demo(
    system: RunningSystem,
    jobs: int,
    pilots: int,
    keep_serving: bool,
    json: bool,
    failing: int = 0,
    chain: bool = True,
    jedi_url: str | None = None,
) -> int:
    """Sends `jobs` jobs through, the last `failing` of which fail as planned; 0 if all ended as expected.

    With `chain` also some that wait for each other, at the same time. With `jedi_url`, the broker for JEDI's user, JEDI
    hands them over instead of panda-client, and does again what failed.

    With `keep_serving` the pilots stay at work for whatever is submitted, until KeyboardInterrupt.
    """
    # Standard output is the result's alone when a program reads it.
    console = Console(file=sys.stderr if json else sys.stdout)
    with PilotPool(system.lab, system.url, system.run_dir, pilots) as pool:
        console.print(pool.remark)
        try:
            with _source(system, jedi_url) as source:
                outcome = _send_through(system, source, pool, console, jobs, failing, chain)
        except ClientError as error:
            console.print(f"[red]{error}[/red]", soft_wrap=True)
            return 1
        _print_summary(console, outcome)
        if json:
            print(dumps(_as_json(outcome, pool)), flush=True)
        if keep_serving:
            _serve(system, pool, console)
    return 1 if outcome.problems else 0


def _send_through(
    system: RunningSystem, source: Source, pool: PilotPool, console: Console, jobs: int, failing: int, chained: bool
) -> Outcome:
    """Prepares, submits, watches until all jobs are final or nothing moves any more, verifies."""
    task_id = int(time.time())
    plans = prepare_inputs(system.lab.source_storage, task_id, jobs, failing)
    console.print(f"{jobs} files of particle events lie in {system.lab.source_storage}")
    began = time.monotonic()
    chain = _begin_chain(system, source, console, task_id + 1) if chained else None
    panda_ids = source.submit(plans)
    console.print(f"{source.name} submitted task {task_id}: PandaIDs {panda_ids[0]} to {panda_ids[-1]}")
    console.print(f"the same jobs move at {system.url}/ui/", highlight=False)
    try:
        snapshot = _watch(system.url, task_id, pool, console, jobs + source.again(plans), chain)
    except StalledError as error:
        console.print(f"[red]{error}[/red]")
        snapshot = fetch_snapshot(system.url, task_id)
    wall_s = time.monotonic() - began
    storages = {SOURCE_STORAGE: system.lab.source_storage, QUEUE_STORAGE: system.lab.queue_storage}
    described = source.describe(panda_ids)
    verdict = verify(source.ends(plans), described, storages)
    verdict.problems += source.problems(described)
    return Outcome(
        task_id, source.name, source.again(plans), wall_s, snapshot, verdict, chain.verify(storages) if chain else None
    )


@contextmanager
def _source(system: RunningSystem, jedi_url: str | None) -> Iterator[Source]:
    client = Client(system.lab.env)
    if jedi_url is None:
        yield client
        return
    # Not needed, and perhaps not installed, where users submit.
    from lab.jedi import JediSource

    with JediSource(jedi_url, client) as jedi:
        yield jedi


def _begin_chain(system: RunningSystem, source: Source, console: Console, task_id: int) -> Chain:
    chain = Chain(source, system.lab.source_storage, task_id)
    chain.submit()
    console.print(
        f"and task {task_id}: a build job, {PARTS} jobs that read what it makes (one will fail, one was killed),"
        " then one that merges",
        soft_wrap=True,
    )
    return chain


def _watch(url: str, task_id: int, pool: PilotPool, console: Console, jobs: int, chain: Chain | None) -> Snapshot:
    """Shows progress and keeps pilots at work until every job is final."""
    snapshot = last = Snapshot()
    of_chain = Snapshot()
    expected = jobs + (CHAINED if chain else 0)
    changed = time.monotonic()
    with Progress(console, f"task {task_id}" + (f" and {chain.task_id}" if chain else ""), expected) as progress:
        while True:
            # A gateway that restarts is no reason to give up: without news the stall limit decides.
            with suppress(OSError):
                snapshot = fetch_snapshot(url, task_id)
                if chain:
                    of_chain = fetch_snapshot(url, chain.task_id)
                    chain.tend(of_chain)
            both = snapshot.with_states_of(of_chain)
            if both.states != last.states:
                last, changed = both, time.monotonic()
            progress.show(both, pool.running)
            if both.final == expected:
                return snapshot
            if time.monotonic() - changed > STALL_S:
                raise StalledError(f"no job changed its state for {STALL_S:.0f} s")
            pool.tend(both.count(State.ACTIVATED))
            time.sleep(TICK_S)


def _serve(system: RunningSystem, pool: PilotPool, console: Console) -> None:
    """Pilots run what users submit, until somebody presses Ctrl-C."""
    console.print(f"dashboards   {system.url}/ui/", highlight=False)
    console.print(f"API          {system.url}/docs", highlight=False)
    console.print(f"environment  source {system.run_dir / 'env'}", highlight=False, soft_wrap=True)
    console.print("serving, with pilots at work for what is submitted, until Ctrl-C")
    while True:
        try:
            pool.tend(fetch_snapshot(system.url).count(State.ACTIVATED))
        except OSError as error:
            console.print(f"[yellow]the gateway does not answer: {error}[/yellow]")
        time.sleep(5 * TICK_S)


def _print_summary(console: Console, outcome: Outcome) -> None:
    verdict = outcome.verdict
    table = Table(title=f"task {outcome.task_id}", title_justify="left", show_header=False, box=None)
    for state, count in sorted(Counter(verdict.states).items()):
        table.add_row(state, str(count))
    table.add_row("files in place at storage A, checksum as in the catalogue", str(verdict.files_in_place))
    if outcome.chain:
        ends = ", ".join(f"{count} {state}" for state, count in sorted(Counter(outcome.chain.states).items()))
        table.add_row("jobs that waited for each other", ends)
    if outcome.again:
        table.add_row(f"failed, and done again by {outcome.source}", str(outcome.again))
    table.add_row("wall time", f"{outcome.wall_s:.1f} s")
    if verdict.spectrum:
        table.add_row("Z peak over all outputs", peak_of(verdict.spectrum))
    console.print()
    console.print(table)
    console.print()
    console.print(hop_table(outcome.snapshot.hops))
    for problem in outcome.problems:
        console.print(f"[red]wrong:[/red] {problem}", soft_wrap=True)
    console.print("[red]not as expected[/red]" if outcome.problems else "[green]all as expected[/green]")


def _as_json(outcome: Outcome, pool: PilotPool) -> dict[str, object]:
    states = Counter(outcome.verdict.states)
    return {
        "ok": not outcome.problems,
        "task_id": outcome.task_id,
        "source": outcome.source,
        "again": outcome.again,
        "jobs": len(outcome.verdict.states),
        "finished": states[State.FINISHED],
        "failed": states[State.FAILED],
        "files_in_place": outcome.verdict.files_in_place,
        "wall_s": round(outcome.wall_s, 3),
        "hops": {name: asdict(hop) for name, hop in outcome.snapshot.hops.items()},
        "pilots": pool.size,
        "pilot_kind": pool.kind,
        "problems": outcome.problems,
        "chain": outcome.chain.states if outcome.chain else [],
    }
