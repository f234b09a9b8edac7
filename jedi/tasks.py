"""`set_priority`, `set_share`, `hold_task`, `resume_task`: what is wanted of all live jobs of a task.

A task that nobody knows has none: it is no error, for its jobs may have ended, or be still to come.
"""

from collections.abc import Mapping

from jedi.ports import RequestStore
from jedi.replies import JobsOfTask, Reply, TasksReply
from jedi.requests import HoldTask, Request, ResumeTask, SetPriority, SetShare
from panda_fsm import messages
from panda_fsm.answers import Deed
from panda_fsm.descriptions import AuditRow
from panda_fsm.held_tasks import TaskHold, portions


def set_priority(store: RequestStore, actor: str, request: SetPriority) -> tuple[Reply, Deed]:
    """The jobs are asked in portions; those that wait for a pilot change places with it."""
    found = store.live_jobs([request.taskid])
    asked = portions(messages.SetPriority, _all(found), actor, priority=request.priority)
    audit = _audit(actor, "priority_set", request, request.taskid, found, priority=request.priority)
    return _reply(request, [request.taskid], found), Deed(requests=tuple(asked), audit=(audit,))


def set_share(store: RequestStore, actor: str, request: SetShare) -> tuple[Reply, Deed]:
    """The same, with the share of one task or of several."""
    tasks = [request.taskid] if request.taskid is not None else sorted(set(request.taskids or ()))
    found = store.live_jobs(tasks)
    asked = portions(messages.SetShare, _all(found), actor, gshare=request.gshare)
    audit = (_audit(actor, "share_set", request, task_id, found, gshare=request.gshare) for task_id in tasks)
    return _reply(request, tasks, found), Deed(requests=tuple(asked), audit=tuple(audit))


def hold(store: RequestStore, actor: str, request: HoldTask) -> tuple[Reply, Deed]:
    """Which jobs wait for pilots is looked up with the answer, under the task's lock."""
    return _hold(store, actor, request, request.taskid, "task_held", is_held=True)


def resume(store: RequestStore, actor: str, request: ResumeTask) -> tuple[Reply, Deed]:
    """So are those that are held back."""
    return _hold(store, actor, request, request.taskid, "task_resumed", is_held=False)


def _hold(
    store: RequestStore, actor: str, request: Request, task_id: int, deed: str, *, is_held: bool
) -> tuple[Reply, Deed]:
    found = store.live_jobs([task_id])
    audit = _audit(actor, deed, request, task_id, found)
    return _reply(request, [task_id], found), Deed(hold=TaskHold(task_id, is_held, actor), audit=(audit,))


def _all(found: Mapping[int, list[int]]) -> list[int]:
    return [job_id for job_ids in found.values() for job_id in job_ids]


def _reply(request: Request, tasks: list[int], found: Mapping[int, list[int]]) -> TasksReply:
    results = [JobsOfTask(taskid=task_id, jobs=len(found.get(task_id, ()))) for task_id in tasks]
    return TasksReply(
        msg_type=f"{request.msg_type}_reply", taskid=tasks[0] if len(tasks) == 1 else None, results=results
    )


def _audit(
    actor: str, deed: str, request: Request, task_id: int, found: Mapping[int, list[int]], **wanted: object
) -> AuditRow:
    detail = {"msg_id": request.msg_id, "jobs": len(found.get(task_id, ()))} | wanted
    return AuditRow(actor, deed, f"task {task_id}", detail)
