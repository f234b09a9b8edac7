"""What operators look up: a job with its history, a task; live or archived, in a terminal or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command import asking, job_logs, lists, terminal
from command.settings import settings
from command.terminal import AsJson
from panda_fsm.views import words
from panda_fsm.views.redaction import shown

if TYPE_CHECKING:
    from panda_fsm.descriptions import JobDescription
    from panda_fsm.views.tasks import TaskJob
    from sql.reads import ReadStore

JobId = Annotated[int, typer.Argument(min=1, max=2**63 - 1, metavar="PANDAID", help="the job's PandaID")]
TaskId = Annotated[int, typer.Argument(min=0, max=2**63 - 1, metavar="TASKID", help="the task's jediTaskID")]

_OURS = ("version", "waits_for", "deadline_at", "verdict", "holder", "left_by")
"""What the server keeps for itself, and the field has no name for."""
_LONGEST = 300
_FILE_COLUMNS = ("type", "lfn", "status", "fsize", "dataset", "destinationDBlock", "destinationSE")
_STEP_COLUMNS = ("at", "source", "state", "trigger", "service", "host", "detail")
_TASK_COLUMNS: tuple[lists.Column["TaskJob"], ...] = (
    ("job", lambda job: job.job_id),
    ("state", lambda job: job.state),
    ("since", lambda job: words.moment(job.changed_at)),
    ("queue", lambda job: job.site),
    ("attempt", lambda job: job.attempt_nr),
    ("error", lambda job: "; ".join(f"{one.component} {one.code}: {one.text}" for one in job.all_errors)),
)


def show(
    job_id: JobId,
    logs: Annotated[bool, typer.Option("--logs", help="the lines of the logs that are about it, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a job: attributes, steps, files, how its payload did, what its pilot showed last."""
    found = asking.ask(lambda store: _described(store.reads, job_id))
    if found is None:
        raise terminal.unknown(f"job {job_id}")
    if logs:
        messages = {step["message_id"] for step in found["steps"]} - {None}
        found["logs"] = [line.said for line in job_logs.lines(settings().log_files, job_id, messages)]
    found = shown(found)
    if as_json:
        terminal.say_json(found)
        return
    parts = {name: found.pop(name, None) for name in ("Files", "samples", "stdout", "steps", "logs")}
    terminal.show(("attribute", "value"), _attributes(found), f"job {job_id}")
    terminal.show(_STEP_COLUMNS, ([step[name] for name in _STEP_COLUMNS] for step in parts["steps"]), "steps")
    terminal.show(_FILE_COLUMNS, ([file[name] for name in _FILE_COLUMNS] for file in parts["Files"]), "files")
    if parts["samples"]:
        terminal.show(list(parts["samples"][0]), (list(one.values()) for one in parts["samples"]), "the payload")
    if parts["stdout"]:
        terminal.say(f"# shown by the pilot at {terminal.cell(parts['stdout']['at'])}")
        terminal.say(parts["stdout"]["stdout"])
    if logs:
        _show_logs(parts["logs"])


def why(job_id: JobId, as_json: AsJson = False) -> None:
    """Say why a job is where it is, what comes by itself and what one could do."""
    from gateway.dashboard.job import PAGE

    found = lists.look(PAGE, {}, str(job_id))
    if as_json:
        lists.tell_json(found)
        return
    terminal.say(f"job {job_id} is {found.now.job.state} at {found.now.job.site}")
    if found.why is None:
        terminal.say("it has ended" if not found.errors else "it has ended, with errors")
    else:
        for sentence in (found.why.sentence, *found.why.more, *found.why.comes):
            terminal.say(sentence)
        for could in found.why.could:
            terminal.say(f"could: {could}")
    for error in found.errors:
        terminal.say(f"error {error.component}:{error.code} {error.text}", "red")


def _show_logs(lines: Sequence[Mapping[str, Any]]) -> None:
    terminal.say("# logs")
    for line in lines:
        terminal.say(job_logs.sentence(line))
    if not lines:
        terminal.say(f"no line is about it in {settings().log_files}")


def task(task_id: TaskId, as_json: AsJson = False) -> None:
    """Show how far a task is, as its page does: its jobs by state, how long each hop took, which failed, the newest."""
    from gateway.dashboard.tasks import ONE

    found = lists.look(ONE, {}, str(task_id))
    if as_json:
        lists.tell_json(found)
        return
    about = (
        ("VO", found.vo), ("label", found.label), ("user", found.user_name),
        ("of JEDI", "yes" if found.is_jedis else "no"), ("held by", found.held_by or ""),
        ("to be told to JEDI", found.to_tell),
    )  # fmt: skip
    terminal.show(("attribute", "value"), _attributes(dict(about)), f"task {task_id}")
    least = " (of more jobs than were counted)" if found.is_least else ""
    terminal.show(("state", "jobs"), sorted(found.states.items()), f"states{least}")
    hops = ((hop.name, hop.jobs, hop.p50_ms, hop.p95_ms, hop.p99_ms) for hop in found.hops)
    terminal.show(("hop", "jobs", "p50 ms", "p95 ms", "p99 ms"), hops, "hops")
    lists.show(found.failing, _TASK_COLUMNS, "failed last")
    lists.show(found.newest, _TASK_COLUMNS, "newest jobs")


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
        | {"steps": [asdict(step) for step in await store.history(job_id)]}
    )


def _attributes(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Those that have a value; the long ones cut."""
    return [(name, terminal.cell(value)[:_LONGEST]) for name, value in found.items() if value not in (None, 0, [])]
