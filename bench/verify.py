"""Checks afterwards that speed was not bought with mistakes: states, files, blocks, history, dead letters."""

import time
from collections.abc import Sequence
from typing import Any

from bench.figures import spread
from bench.plant import BenchError, Plant

_SETTLE_S = 10.0


def check_jobs(plant: Plant, job_ids: Sequence[int], count: int | None = None) -> int:
    """Raises BenchError unless all these jobs (`count` of them) went the whole way; returns the number of steps."""
    ids = list(job_ids)
    _expect("jobs", len(ids), count or len(ids))
    states = dict(plant.rows("SELECT state, count(*) FROM job WHERE job_id = ANY(%(ids)s) GROUP BY 1", ids=ids))
    _expect("job states", states, {"finished": len(ids)})
    files = plant.rows("SELECT status, count(*) FROM job_file WHERE job_id = ANY(%(ids)s) GROUP BY 1", ids=ids)
    _expect("file states", dict(files), {"ready": 3 * len(ids)})
    _await_nothing(plant, "open sub blocks", "SELECT count(*) FROM data_block WHERE kind = 'sub' AND closed_at IS NULL")
    _await_nothing(plant, "messages left in the outbox", "SELECT count(*) FROM outbox")
    _await_nothing(plant, "open dead letters", "SELECT count(*) FROM dead_letter WHERE status = 'open'")
    illegal = plant.value(
        """
        SELECT count(*) FROM (
            SELECT h.version, row_number() OVER w AS number, t.source, lag(t.destination) OVER w AS before
            FROM job_history h JOIN job_transition t USING (transition_id)
            WHERE h.job_id = ANY(%(ids)s) WINDOW w AS (PARTITION BY h.job_id ORDER BY h.version)
        ) AS step WHERE version <> number OR source IS DISTINCT FROM before
        """,
        ids=ids,
    )
    _expect("illegal steps in the history", illegal, 0)
    return int(plant.value("SELECT count(*) FROM job_history WHERE job_id = ANY(%(ids)s)", ids=ids))


def hops(plant: Plant, task_id: int) -> dict[str, dict[str, float]]:
    """How long the jobs of a task took from each state to the next, in ms."""
    found = plant.rows(
        """
        SELECT t.source || ' to ' || t.destination AS hop, array_agg(took)
        FROM (
            SELECT h.transition_id, extract(epoch FROM h.at - lag(h.at) OVER w)::float8 * 1000 AS took
            FROM job JOIN job_history h USING (job_id)
            WHERE job.task_id = %(task_id)s WINDOW w AS (PARTITION BY h.job_id ORDER BY h.version)
        ) AS step JOIN job_transition t USING (transition_id)
        WHERE took IS NOT NULL GROUP BY t.source, t.destination ORDER BY min(t.transition_id)
        """,
        task_id=task_id,
    )
    return {hop: spread(took) for hop, took in found}


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise BenchError(f"{what}: {found} instead of {wanted}")


def _await_nothing(plant: Plant, what: str, query: Any) -> None:
    """The last block is closed and the last outbox row deleted a moment after the last job has finished."""
    deadline = time.monotonic() + _SETTLE_S
    while (count := plant.value(query)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _expect(what, count, 0)
