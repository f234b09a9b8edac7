"""Measure 13: millions of archived jobs and many that wait: is it as fast as with none, and is looking back quick?"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench import server_side, waiting
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import BenchError, Plant
from bench.planted import FIRST_ID, FIRST_TASK, OF_A_TASK, USERS, plant_archive
from lab.site import QUEUE, unsigned_token

SETTINGS = {"PANDA_FSM_ARCHIVE_AFTER_S": "86400"}
"""With these the processes run: what ended in the first part does not go to the archive in the second."""
_ASKED = 200
_TASKS = ((20, 21), (22, 23, 24), (25, 26))
"""Of the rounds with none, with all, and with none again: the machine gets faster and slower meanwhile."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many jobs are archived, wait, and go through each time."""

    archived: int
    waiting: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Jobs a second with none and with all of them, and latencies of looking back in ms by what was asked."""

    size: Size
    with_none: list[server_side.Outcome]
    with_all: list[server_side.Outcome]
    planting_s: float
    database_gb: float
    latencies_ms: dict[str, list[float]]

    @property
    def all_to_none(self) -> float:
        """The usual rate with all of them to the usual one with none, before and after: no machine is ours alone."""
        return _usual(self.with_all) / _usual(self.with_none)

    def p95_ms(self, kind: str) -> float:
        """Of one kind of question."""
        return spread(self.latencies_ms[kind])["p95_ms"]

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "archived": self.size.archived,
            "waiting": self.size.waiting,
            "jobs": self.size.jobs,
            "none_per_s": [round(one.lifecycles_per_s, 1) for one in self.with_none],
            "all_per_s": [round(one.lifecycles_per_s, 1) for one in self.with_all],
            "with_none": self.with_none[-1].as_json(),
            "with_all": self.with_all[-1].as_json(),
            "planting_s": round(self.planting_s, 1),
            "database_gb": round(self.database_gb, 1),
            "latencies": {kind: spread(ms) for kind, ms in self.latencies_ms.items()},
        }


def measure(plant: Plant, size: Size, say: Callable[[str], None]) -> Outcome:
    """Throughput with none of them, with all, and with none again; questions, one after another, about the archived."""
    before, between, after = _TASKS
    with_none = [_through(plant, size.jobs, task_id) for task_id in before]
    say(f"with nothing archived: {_usual(with_none):.0f} jobs/s")
    started = time.monotonic()
    like = plant.value("SELECT job_id FROM job WHERE task_id = %(task)s ORDER BY 1 LIMIT 1", task=before[0])
    plant_archive(plant, like, size.archived)
    planting_s = time.monotonic() - started
    say(f"planted {size.archived:,} archived jobs in {planting_s:.0f} s")
    with PilotProcess(plant.port) as pilots:
        waiting.plant_template(plant, pilots, task_id=5)
    waiting.fill(plant, size.waiting)
    _for_others(plant)
    try:
        with_all = [_through(plant, size.jobs, task_id) for task_id in between]
        say(f"with all of them: {_usual(with_all):.0f} jobs/s")
        latencies_ms = _look_back(plant, size.archived)
        database_gb = plant.value("SELECT pg_database_size(current_database())") / 1e9
    finally:
        waiting.leave(plant, 0)
    _forget(plant)
    with_none += [_through(plant, size.jobs, task_id) for task_id in after]
    return Outcome(size, with_none, with_all, planting_s, database_gb, latencies_ms)


def _through(plant: Plant, jobs: int, task_id: int) -> server_side.Outcome:
    return server_side.measure(plant, server_side.prepare(plant, jobs, task_id))


def _usual(outcomes: Sequence[server_side.Outcome]) -> float:
    """The median of their rates, in jobs a second."""
    return statistics.median(outcome.lifecycles_per_s for outcome in outcomes)


def _forget(plant: Plant) -> None:
    """What was archived and what waits is gone, and with it all history."""
    plant.database.execute("DELETE FROM job WHERE state = 'activated'")
    plant.database.execute("TRUNCATE job_archive, job_ended, job_spec_archive, job_file_archive, job_history")
    plant.database.execute("VACUUM (ANALYZE) job, job_file, job_spec")


def _for_others(plant: Plant) -> None:
    """What waits is of the queue but not for our pilots, and comes behind what is: every claim meets it.

    It never runs, so its blocks would stay open, and that would be taken for a mistake.
    """
    plant.database.execute("UPDATE job_waiting SET label = 'managed', priority = 10 WHERE site = %s", (QUEUE,))
    plant.database.execute(
        "UPDATE data_block SET status = 'closed', closed_at = now() WHERE kind = 'sub' AND closed_at IS NULL"
    )
    plant.database.execute("VACUUM (ANALYZE) job_waiting")


def _look_back(plant: Plant, archived: int) -> dict[str, list[float]]:
    """Ask for jobs, tasks and users from all over the archive."""
    chosen = random.Random(7)
    numbers = [chosen.randrange(archived) for _ in range(_ASKED)]
    asked = {
        "describe": [f"job/get_description?job_ids={FIRST_ID + n}" for n in numbers],
        "history": [f"job/get_history?job_id={FIRST_ID + n}" for n in numbers],
        "task": [f"statistics/job_states?task_id={FIRST_TASK + n // OF_A_TASK}" for n in numbers],
        "list of a task": [f"job/list?task_id={FIRST_TASK + n // OF_A_TASK}" for n in numbers],
        "list of a user": [f"job/list?user_name=user{n % USERS}" for n in numbers],
    }
    connection = http.client.HTTPConnection("127.0.0.1", plant.port, timeout=60)
    try:
        return {kind: [_asked_ms(connection, path) for path in paths] for kind, paths in asked.items()}
    finally:
        connection.close()


def _asked_ms(connection: http.client.HTTPConnection, path: str) -> float:
    started = time.perf_counter()
    connection.request("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {_TOKEN}"})
    answer = connection.getresponse()
    body = answer.read()
    took_ms = (time.perf_counter() - started) * 1000
    if answer.status != 200 or not _says_something(json.loads(body)["data"]):
        raise BenchError(f"{path} was answered {answer.status} {body[:200]!r}")
    return took_ms


def _says_something(data: Any) -> bool:
    """Whether there is anything in it."""
    if isinstance(data, dict):
        return all(data[name] for name in ("states", "jobs", "steps") if name in data)
    return bool(data and data[0])


_TOKEN = unsigned_token("bench-looker", "bench")
