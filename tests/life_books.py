"""What the database says of the jobs of a task, to lay beside the model; and its books, once all have ended."""

from __future__ import annotations

from tests.driver import Database
from tests.life_model import FINAL, Life

Seen = tuple[str, int, dict[str, int], str, str | None, dict[str, str] | None]
"""State, version, error codes, sub-status, what its pilot is told while it hears it, its outputs once it has ended."""
_SEEN = """
    SELECT j.job_id, j.state, j.version, coalesce(j.errors, '{}'), coalesce(j.pilot ->> 'job_sub_status', ''),
           CASE WHEN j.has_report AND j.command <> 'tobekilled' THEN '' ELSE coalesce(j.command, '') END, f.outputs
    FROM job j JOIN (
        SELECT job_id, jsonb_object_agg(lfn, status) FILTER (WHERE type IN ('output', 'log')) AS outputs
        FROM job_file JOIN job USING (job_id) WHERE task_id = %s GROUP BY job_id) AS f USING (job_id)
    WHERE j.task_id = %s"""


def seen(database: Database, task_id: int) -> dict[int, Seen]:
    """The jobs as the server has them."""
    found: dict[int, Seen] = {}
    for job_id, state, version, errors, sub_status, command, outputs in database.rows(_SEEN, (task_id, task_id)):
        codes = {component: error["code"] for component, error in errors.items()}
        told, files = (None, outputs) if state in FINAL else (command, None)
        found[job_id] = state, version, codes, sub_status, told, files
    return found


def expected(life: Life) -> Seen:
    """A job as the model has it."""
    heard = "" if life.words is not None and not life.is_killed else life.told
    told, files = (None, life.files) if life.is_final else (heard, None)
    return life.state, life.version, life.errors, life.sub_status, told, files


def check_books(database: Database, task_id: int) -> None:
    """History without gap, outputs that are settled, blocks that are closed, no message that nobody wanted."""
    of_task = (task_id,)
    gaps = database.value(
        "SELECT count(*) FROM (SELECT h.version - coalesce(lag(h.version) OVER (PARTITION BY h.job_id"
        " ORDER BY h.version), 0) AS grown FROM job_history h JOIN job USING (job_id) WHERE task_id = %s) AS steps"
        " WHERE grown <> 1",
        of_task,
    )
    assert gaps == 0, "steps are missing in the history"
    open_files = database.rows(
        "SELECT f.lfn, f.status FROM job_file f JOIN job USING (job_id) WHERE task_id = %s"
        " AND f.type IN ('output', 'log') AND f.status NOT IN ('ready', 'failed', 'nooutput')",
        of_task,
    )
    assert not open_files, open_files
    open_blocks = database.rows(
        "SELECT DISTINCT b.name FROM data_block b JOIN job_file f USING (block_id) JOIN job USING (job_id)"
        " WHERE job.task_id = %s AND b.kind IN ('sub', 'dispatch') AND b.status IN ('open', 'defined', 'running')",
        of_task,
    )
    assert not open_blocks, open_blocks
    untold = database.rows(
        "SELECT job_id, version FROM (SELECT h.job_id, h.version, t.source, t.destination, row_number()"
        " OVER (PARTITION BY h.job_id ORDER BY h.version) AS place FROM job_history h"
        " JOIN job USING (job_id) JOIN job_transition t USING (transition_id) WHERE task_id = %s AND is_jedis) AS h"
        " FULL JOIN (SELECT job_id, version, prev, state, row_number() OVER (PARTITION BY job_id ORDER BY seq) AS place"
        " FROM jedi_message WHERE task_id = %s AND kind = 'job_status') AS m USING (job_id, version)"
        " WHERE (h.source, h.destination, h.place) IS DISTINCT FROM (m.prev, m.state, m.place)",
        of_task * 2,
    )
    assert not untold, f"steps of jobs of JEDI that it is not told of in order, or others: {untold}"
    dead = database.rows("SELECT queue, reason FROM dead_letter")
    assert not dead, dead
