"""Tasks, for people: lists by index, one with its states, hops, jobs, and what JEDI asked and was told."""

from dataclasses import replace
from typing import Any, LiteralString

from panda_fsm.views.audit import AuditEntry
from panda_fsm.views.cursors import Part
from panda_fsm.views.redaction import shown
from panda_fsm.views.tasks import COUNTED, CURSORS, LISTED, TaskJob, TaskLife, TaskRow, TasksWanted
from sql.pool import Pool
from sql.queries import load
from sql.reads import ReadStore

_Q = load("views_tasks")
_ARCHIVED = 50_000
"""Of an archived job a row of an index says its state: more are counted in the same time."""
_LAST = 2**63 - 1
_SOME = 20
_PART: LiteralString = "/* jobs */"


class TaskViews:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reads = ReadStore(pool)

    async def listed(self, wanted: TasksWanted) -> Part[TaskRow]:
        """Tasks with live jobs, the newest first; or those that are held, with and without."""
        if wanted.task_id is not None:
            rows = await self._rows("one", task_id=wanted.task_id)
        else:
            after = _LAST if wanted.after is None else wanted.after[0]
            rows = await self._rows("held" if wanted.is_held else "listed", after=after, limit=wanted.limit + 1)
        return CURSORS.part([TaskRow(*row) for row in rows], wanted.limit, lambda task: (task.task_id,))

    async def one(self, task_id: int) -> TaskLife | None:
        """All there is to see of a task; None: nobody knows it."""
        parameters = {"task_id": task_id, "counted": COUNTED, "archived": _ARCHIVED, "limit": _SOME}
        live, gone, vo, *who, is_least, held_by, held_at, to_tell = await self._pool.row(_Q["life"], **parameters)
        deeds = [
            AuditEntry(number, at, actor, str((detail or {}).get("name") or ""), action, what, detail or {})
            for number, at, actor, action, what, detail in await self._pool.rows(_Q["deeds"], object=f"task {task_id}")
        ]
        if vo is None and held_by is None and not deeds:
            return None
        states = dict(live or {})
        for state, jobs in (gone or {}).items():
            states[state] = states.get(state, 0) + jobs
        files: dict[str, dict[str, int]] = {}
        files_of = 0
        for kind, status, count, jobs in await self._pool.rows(_Q["files"], task_id=task_id):
            files.setdefault(kind, {})[status] = count
            files_of = max(files_of, jobs)
        found: dict[str, list[TaskJob]] = {"newest": [], "failing": []}
        for kind, *row in await self._pool.rows(_Q["some_jobs"], **parameters):
            job = TaskJob(*row)
            found[kind].append(replace(job, errors=shown(job.errors)))
        newest = sorted(found["newest"], key=lambda job: -job.job_id)[:_SOME]
        failing = sorted(found["failing"], key=lambda job: job.changed_at, reverse=True)[:_SOME]
        label, user_name, is_jedis = who
        return TaskLife(
            task_id, vo or "", label or "", user_name or "", bool(is_jedis), states, bool(is_least), held_by, held_at,
            to_tell, tuple(await self._reads.hops(task_id)), tuple(newest), tuple(failing), files, files_of,
            tuple(deeds),
        )  # fmt: skip

    async def _rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._pool.rows(_Q[query].replace(_PART, _Q["jobs"]), counted=LISTED, **parameters)
