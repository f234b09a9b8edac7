"""What operators look up: a job, a task, the history of a job; live or archived, in a terminal or as JSON."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from command.operate import AsJson
from command.settings import settings
from command.terminal import literal

if TYPE_CHECKING:
    from panda_fsm.descriptions import JobDescription
    from sql.reads import ReadStore

Found = TypeVar("Found")
JobId = Annotated[int, typer.Argument(min=1, max=2**63 - 1, metavar="PANDAID", help="the job's PandaID")]
TaskId = Annotated[int, typer.Argument(min=0, max=2**63 - 1, metavar="TASKID", help="the task's jediTaskID")]

_OURS = ("version", "waits_for", "deadline_at", "verdict", "holder", "left_by")
"""What the server keeps for itself, and the field has no name for."""
_LONGEST = 300
_FILE_COLUMNS = ("type", "lfn", "status", "fsize", "dataset", "destinationDBlock", "destinationSE")
_NEWEST = 10
_CONSOLE = Console(highlight=False, emoji=False)


def describe(job_id: JobId, as_json: AsJson = False) -> None:
    """Show all that is known of a job: attributes, files, how its payload did, what its pilot showed last."""
    found = _read(lambda store: _described(store, job_id))
    if found is None:
        raise _unknown(f"job {job_id}")
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
        return
    parts = {name: found.pop(name) for name in ("Files", "samples", "stdout")}
    _show(("attribute", "value"), _attributes(found), f"job {job_id}")
    _show(_FILE_COLUMNS, ([file[name] for name in _FILE_COLUMNS] for file in parts["Files"]), "files")
    if parts["samples"]:
        _show(list(parts["samples"][0]), (one.values() for one in parts["samples"]), "how the payload did")
    if parts["stdout"]:
        _CONSOLE.rule(f"shown by the pilot at {_cell(parts['stdout']['at'])}", align="left")
        _CONSOLE.print(literal(parts["stdout"]["stdout"]))


def task(task_id: TaskId, as_json: AsJson = False) -> None:
    """Show how far a task is: its jobs by state, how long each hop took, and the newest jobs."""
    found = _read(lambda store: _progress(store, task_id))
    if not found["states"]:
        raise _unknown(f"a job of task {task_id}")
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
        return
    _show(("state", "jobs"), found["states"].items(), f"task {task_id}")
    _show(("hop", "jobs", "p50 ms", "p95 ms", "p99 ms"), (hop.values() for hop in found["hops"]), "hops")
    _show(list(found["newest"][0]), (job.values() for job in found["newest"]), "newest jobs")


def history(job_id: JobId, as_json: AsJson = False) -> None:
    """Show every step of a job: when, from where to where, by whom and why."""
    steps = _read(lambda store: _steps(store, job_id))
    if not steps:
        raise _unknown(f"the history of job {job_id}")
    if as_json:
        typer.echo(json.dumps(steps, default=_plain))
        return
    shown = [{name: value for name, value in step.items() if name not in ("version", "message_id")} for step in steps]
    _show(list(shown[0]), (step.values() for step in shown), f"history of job {job_id}")


async def _described(store: "ReadStore", job_id: int) -> dict[str, Any] | None:
    from gateway.wire.description import describe as as_clients_read_it

    job: JobDescription | None = (await store.describe([job_id])).get(job_id)
    if job is None:
        return None
    shown = await store.stdout(job_id)
    return (
        as_clients_read_it(job)
        | {name: job.columns.get(name) for name in _OURS}
        | {"samples": [asdict(one) for one in await store.samples(job_id)], "stdout": shown and asdict(shown)}
    )


async def _progress(store: "ReadStore", task_id: int) -> dict[str, Any]:
    from panda_fsm.descriptions import Wanted

    progress = await store.task_progress(task_id)
    newest = await store.list_jobs(Wanted(task_id=task_id, limit=_NEWEST))
    names = ("job_id", "state", "site", "user_name", "created_at", "ended_at")
    return {
        "states": progress.states,
        "hops": [asdict(hop) for hop in progress.hops],
        "newest": [{name: getattr(job, name) for name in names} for job in newest],
    }


async def _steps(store: "ReadStore", job_id: int) -> list[dict[str, Any]]:
    return [asdict(step) for step in await store.history(job_id)]


def _read(ask: "Callable[[ReadStore], Awaitable[Found]]") -> Found:
    """Ask the database, by a connection that ends with the answer."""
    from sql.pool import Pool
    from sql.reads import ReadStore

    config = settings()

    async def asked() -> Found:
        pool = Pool(config.database_url, "look", 1, config.statement_timeout_s, by_index=False)
        await pool.open()
        try:
            return await ask(ReadStore(pool))
        finally:
            await pool.close()

    return asyncio.run(asked())


def _attributes(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Those that have a value; the long ones cut."""
    return [(name, _cell(value)[:_LONGEST]) for name, value in found.items() if value not in (None, 0, [])]


def _show(columns: Iterable[str], rows: Iterable[Iterable[Any]], title: str) -> None:
    """A table. What is in it comes from users and pilots, so nothing in it is markup."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(literal(_cell(value)) for value in row))
    _CONSOLE.print(shown)


def _cell(value: Any) -> str:
    """A value for people: no null, times to the second and in UTC."""
    if isinstance(value, dict) and "__datetime__" in value:
        value = datetime.fromisoformat(value["__datetime__"]).replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def _plain(value: Any) -> str:
    """What JSON has no form for."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _unknown(what: str) -> typer.Exit:
    typer.echo(f"{what} is not known", err=True)
    return typer.Exit(1)
