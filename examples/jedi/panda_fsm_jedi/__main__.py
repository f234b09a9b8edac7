"""Plays JEDI for one task from its first job to its last: panda-fsm-jedi --help."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from panda_fsm_jedi.errors import JediError
from panda_fsm_jedi.messages import complaints
from panda_fsm_jedi.player import Player
from panda_fsm_jedi.queues import SHARDS
from panda_fsm_jedi.task import Task
from panda_fsm_jedi.templates import TaskSpec

URL = "PANDA_FSM_JEDI_URL"
_EXAMPLE = """
The program hands over the jobs of a task, tries again what failed (a new PandaID, a higher attempt), and ends when all
work is done; its exit code says whether all of it was. Ctrl-C kills the task and waits for its jobs' last words, a
second one ends at once. Example:

  panda-fsm-jedi --vo lab --site LAB_B --jobs 300 --transformation https://here/run --parameters "-o {output}"
"""


class Display:
    """Tells on standard error how far the task is, when that has changed."""

    def __init__(self) -> None:
        self._began, self._said = time.monotonic(), ""

    def __call__(self, player: Player) -> None:
        states = player.picture.states()
        task = next(iter(player.tasks.values()))
        line = ", ".join(f"{state} {count}" for state, count in sorted(states.items())) or "nothing heard yet"
        line += f"; {len(task.tries)} jobs, {len(task.retries)} of them again"
        line += f"; no connection: {player.trouble}" if player.trouble else ""
        if line != self._said:
            self._said = line
            print(f"{time.monotonic() - self._began:5.0f} s  {line}", file=sys.stderr, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="panda-fsm-jedi", description="Play JEDI for one task of a panda-fsm server.", epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--url", default=os.environ.get(URL), help=f"the broker, as JEDI's user (default: ${URL})")
    parser.add_argument("--vo", required=True)
    parser.add_argument("--task", type=Path, help="a JSON file with more of the task: the fields of TaskSpec")
    parser.add_argument("--taskid", type=int, help="jediTaskID (default: the time)")
    parser.add_argument("--jobs", type=int, help="pieces of work without an input")
    parser.add_argument("--site", help="the queue that runs the jobs")
    parser.add_argument("--transformation", help="what a job runs")
    parser.add_argument("--parameters", help="of each job, with {number}, {output}, {serial}, {attempt}, {input}")
    parser.add_argument("--label", help="prodSourceLabel (default: managed)")
    parser.add_argument("--user", default="JEDI", help="whose task it is")
    parser.add_argument("--name", help="how names of jobs and files begin (default: the VO and jedi)")
    parser.add_argument("--scope", help="of its files")
    parser.add_argument("--maxattempt", type=int, help="attempts at a piece of work (default: 3)")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill so many jobs once they are handed over")
    parser.add_argument("--shards", type=int, default=SHARDS, help="status queues of the VO")
    parser.add_argument("--replies", help="the queue of answers; amq.rabbitmq.reply-to beside another program")
    parser.add_argument("--picture", type=Path, help="where to keep what is known of the jobs in the end, as JSON")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output in the end")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error(f"--url or ${URL} must name the broker")
    return options


def spec_of(options: argparse.Namespace) -> TaskSpec:
    """The task as described by a file and by options, which come first. Raises ValueError with what is wrong."""
    fields: dict[str, Any] = {"taskid": int(time.time()), "name": f"{options.vo}.jedi"}
    if options.task:
        fields |= json.loads(options.task.read_text())
    given = {name: getattr(options, name, None) for name in TaskSpec.model_fields}
    try:
        return TaskSpec.model_validate(fields | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ValueError(complaints(error)) from None


def play(options: argparse.Namespace, spec: TaskSpec) -> dict[str, Any]:
    """Play the task to its end; how it went."""
    began, task, display = time.monotonic(), Task.of(spec), Display()
    with Player(options.url, spec.vo, shards=options.shards, replies=options.replies) as player:
        player.add(task)
        _abort_on_interrupt(player)

        def show(player: Player) -> None:
            if options.kill and task.tries:
                player.kill(sorted(task.tries)[: options.kill])
                options.kill = 0
            display(player)

        player.play(show)
        if options.picture:
            player.picture.save(options.picture)
        return result(player, task, time.monotonic() - began)


def result(player: Player, task: Task, wall_s: float) -> dict[str, Any]:
    """What became of a task, as JSON."""
    work = Counter(one.status for one in task.work.values())
    return {
        "ok": not player.problems and not work["failed"],
        "taskid": task.taskid,
        "work": dict(work),
        "jobs": len(task.tries),
        "retries": len(task.retries),
        "states": dict(player.picture.states()),
        "statuses": {
            "taken": player.follower.taken, "dropped": player.follower.dropped, "replayed": player.replayed
        },
        "wall_s": round(wall_s, 3),
        "problems": player.problems,
    }  # fmt: skip


def _abort_on_interrupt(player: Player) -> None:
    def abort(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("killing the task; once more to end at once", file=sys.stderr, flush=True)
        player.abort()

    signal.signal(signal.SIGINT, abort)


def main(arguments: list[str] | None = None) -> int:
    """Run as the command line says."""
    options = parse(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # pika tells each loss of a connection eight times over; ours is said once, with the reason.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        told = play(options, spec_of(options))
    except KeyboardInterrupt:
        return 130
    except (JediError, OSError, ValueError) as error:
        print(f"panda-fsm-jedi: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(told), flush=True)
    for problem in told["problems"]:
        print(f"wrong: {problem}", file=sys.stderr)
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
