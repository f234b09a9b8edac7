"""THE table of what operators do from the pages: who may, what the form asks, and what is made of it (ADR 0047).

Pages name an action, the macro of `acts.html` makes its form. It needs no script: done, it leads back to the page.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from gateway.access import policy
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.dashboard.letters import replay_edited, settle_group, settle_one
from gateway.dashboard.statuses import lift_status, set_status
from gateway.dashboard.visitor import DONE
from gateway.http.refusal import ForbiddenError, NotFoundError, RefusalError
from gateway.http.route import Call
from gateway.wire.forms import (
    ActForm,
    DebugForm,
    EditForm,
    GroupForm,
    JobForm,
    KillForm,
    LetterForm,
    LiftForm,
    OperationForm,
    PauseForm,
    PriorityForm,
    StatusForm,
    TaskForm,
)
from gateway.work.idempotency import Made
from panda_fsm.auditing import about_jobs
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.acts import ACTS, CANCEL, CANCEL_NOW, GIVE_BACK, Order
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State
from panda_fsm.messages import HoldTask, SetPause
from panda_fsm.pausing import audited, refusal
from panda_fsm.views.queues import watched


class TooLateError(RefusalError):
    """It is too late for that, or for nothing."""

    status = 409


@dataclass(frozen=True, slots=True)
class Field:
    """What the form asks beside the reason. `choices`: pairs of what is sent and what is read; none: a number."""

    name: str
    label: str
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorsAction:
    """One row. `of`: the field that says with what it is done. `says`: what will happen, in a sentence."""

    name: str
    title: str
    of: str
    access: Action
    says: str
    model: type[ActForm]
    make: Callable[["OperatorsAction", Gateway, Call, Any], Awaitable[Made]]
    fields: tuple[Field, ...] = ()
    is_grave: bool = False
    kind: str = "job"
    """Of what it is: a page offers those of its kind."""

    @property
    def path(self) -> str:
        """Where its form goes."""
        return f"/ui/act/{self.name}"


async def act(action: OperatorsAction, gateway: Gateway, call: Call, ask: ActForm) -> Response:
    """Keep what is asked, once however often it is sent, with who asked and why; then back to the page."""
    make = partial(action.make, action, gateway, call, ask)
    await gateway.idempotency.answer(call.request, call.identity.key, ask.bare, make, ask.key)
    return back(ask)


def back(ask: ActForm) -> Response:
    """To the page of the form, which says what was done."""
    page, _, query = ask.back.partition("?")
    kept = "&".join(part for part in query.split("&") if part and not part.startswith(f"{DONE}="))
    return RedirectResponse(f"{page}?{kept}{'&' if kept else ''}{urlencode({DONE: ask.key})}", 303)


async def _on_job(action: OperatorsAction, gateway: Gateway, call: Call, ask: JobForm) -> Made:
    row, who = ACTS[action.name], call.identity
    job = (await gateway.store.requests.jobs([ask.job_id])).get(ask.job_id)
    if job is None:
        raise NotFoundError(f"job {ask.job_id} is not known")
    if not policy.operates(who, action.access, job.vo):
        raise ForbiddenError(f"only for {action.access.who}")
    job.task_is_held = bool(await gateway.store.operators.held_back([ask.job_id]))
    wishes = {name: getattr(ask, name) for name in row.wishes}
    order = Order(row.name, who.name, who.key, ask.reason, **wishes)
    why_not = row.why_not(job, order)
    if why_not:
        raise TooLateError(f"{action.title}: job {ask.job_id} {why_not}")
    messages = [Outgoing.of(message) for message in row.messages([job], order)]
    audit = about_jobs(who.key, who.name, row.audited_as, [ask.job_id], row.detail(order))
    return Made(messages, audit, {"said": _accepted(action, job)})


def _accepted(action: OperatorsAction, job: JobRow) -> str:
    return f"{action.title}: asked for job {job.job_id}, which is {job.state}. The history shows what comes of it."


async def _on_task(action: OperatorsAction, gateway: Gateway, call: Call, ask: TaskForm) -> Made:
    who, is_held = call.identity, action.name == "hold_task"
    vos = await gateway.store.operators.vos_of_task(ask.task_id)
    if not all(policy.operates(who, action.access, vo) for vo in vos or [""]):
        raise ForbiddenError(f"only for {action.access.who}")
    message = HoldTask(task_id=ask.task_id, is_held=is_held, actor=who.name, actor_key=who.key, reason=ask.reason)
    detail = {"name": who.name, "reason": ask.reason}
    audit = AuditRow(who.key, "task_held" if is_held else "task_resumed", f"task {ask.task_id}", detail)
    said = f"{action.title}: asked for task {ask.task_id}. Its jobs follow within seconds."
    return Made([Outgoing.of(message)], audit, {"said": said})


async def _on_place(action: OperatorsAction, gateway: Gateway, call: Call, ask: PauseForm) -> Made:
    """A queue of a service, or a site."""
    who, kind, is_paused = call.identity, action.kind, action.name.startswith("pause")
    until = datetime.now(UTC) + timedelta(hours=ask.hours) if is_paused and ask.hours else None
    request = SetPause(
        kind="queue" if kind == "queue" else "site", name=ask.name, is_paused=is_paused, actor=who.name,
        actor_key=who.key, reason=ask.reason, until=until,
    )  # fmt: skip
    queues = [queue.name for queue in watched() if queue.reader == "service"]
    why_not = refusal(request, queues, gateway.sites.queues)
    if why_not:
        raise RefusalError(f"{action.title}: {why_not}")
    said = f"{action.title}: asked for {kind} {ask.name}. It follows within seconds."
    return Made([Outgoing.of(request)], audited(request, who.name), {"said": said})


async def _on_operation(action: OperatorsAction, gateway: Gateway, call: Call, ask: OperationForm) -> Made:
    """No more jobs are asked for; what is asked goes on."""
    who, operation_id = call.identity, str(ask.operation_id)
    operation = await gateway.board.store.operations.one(operation_id)
    if operation is None:
        raise NotFoundError(f"there is no operation {operation_id}")
    if operation.actor != who.key and not all(policy.operates(who, action.access, vo) for vo in operation.vos):
        raise ForbiddenError(f"only for {action.access.who}, and for who began it")
    is_done = await gateway.store.operators.cancel(operation_id, who.key, who.name, ask.reason)
    return Made((), None, {"said": "It asks for no more jobs." if is_done else "It was over already."})


_FOR = (("0", "until it is resumed"), ("1", "1 hour"), ("4", "4 hours"), ("24", "a day"))
_SET_FOR = (("0", "until it is lifted"), *_FOR[1:])
_STATUSES = (
    ("online", "online: pilots get jobs"),
    ("brokeroff", "brokeroff: what is there runs, and no more should be sent"),
    ("test", "test: pilots get tests only"),
    ("offline", "offline: pilots get no jobs"),
)
_HOW = (
    (str(CANCEL), "cancel it; if it runs, its pilot is asked to stop"),
    (str(CANCEL_NOW), "cancel it at once, without asking its pilot"),
    (str(GIVE_BACK), "close it, so that its submitter makes another one"),
)
_ON_OFF = (("true", "on"), ("false", "off"))
_ROWS = (
    OperatorsAction("kill", "Kill", "job_id", Action.KILL, "The job ends and does not come back.", KillForm, _on_job,
                    (Field("code", "How", _HOW),), is_grave=True),
    OperatorsAction("reassign", "Reassign", "job_id", Action.REASSIGN,
                    "A job that no pilot has had yet is set up anew; a pending one is let go.", JobForm, _on_job),
    OperatorsAction("priority", "Priority", "job_id", Action.PRIORITY, "The highest of a queue goes to a pilot first.",
                    PriorityForm, _on_job, (Field("priority", "New priority"),)),
    OperatorsAction("release", "Release", "job_id", Action.RELEASE, "A job that is held back goes on.",
                    JobForm, _on_job),
    OperatorsAction("debug", "Debug mode", "job_id", Action.DEBUG, "Its pilot shows the end of its output.",
                    DebugForm, _on_job, (Field("debug", "Debug mode", _ON_OFF),)),
    OperatorsAction("hold_task", "Hold", "task_id", Action.HOLD_TASK,
                    "No pilot gets a job of this task until it is resumed; what runs goes on.", TaskForm, _on_task,
                    kind="task"),
    OperatorsAction("resume_task", "Resume", "task_id", Action.HOLD_TASK,
                    "Jobs of this task go to pilots again.", TaskForm, _on_task, kind="task"),
    OperatorsAction("pause_queue", "Pause", "name", Action.PAUSE,
                    "Its service takes no more messages; they wait in the queue.", PauseForm, _on_place,
                    (Field("hours", "For", _FOR),), kind="queue"),
    OperatorsAction("resume_queue", "Resume", "name", Action.PAUSE, "Its service takes messages again.",
                    PauseForm, _on_place, kind="queue"),
    OperatorsAction("pause_site", "Pause", "name", Action.PAUSE,
                    "Its pilots get no more jobs; what runs goes on.", PauseForm, _on_place,
                    (Field("hours", "For", _FOR),), kind="site"),
    OperatorsAction("cancel_operation", "Cancel", "operation_id", Action.BULK,
                    "No more jobs are asked for; what was asked goes on.", OperationForm, _on_operation,
                    is_grave=True, kind="operation"),
    OperatorsAction("resume_site", "Resume", "name", Action.PAUSE, "Its pilots get jobs again.",
                    PauseForm, _on_place, kind="site"),
    OperatorsAction("set_status", "Set status", "name", Action.SET_STATUS,
                    "It counts above what the queue's source says; jobs that run go on.", StatusForm, set_status,
                    (Field("status", "Status", _STATUSES), Field("hours", "For", _SET_FOR)), kind="site"),
    OperatorsAction("lift_status", "Lift status", "name", Action.SET_STATUS,
                    "What the queue's source says counts again.", LiftForm, lift_status, kind="site"),
    OperatorsAction("replay_dead", "Replay", "letter_id", Action.REPLAY_DEAD,
                    "It goes to its queue again, as it came.", LetterForm, settle_one, kind="letter"),
    OperatorsAction("discard_dead", "Discard", "letter_id", Action.DISCARD_DEAD,
                    "It is marked as not worth a replay, and forgotten after a while.", LetterForm, settle_one,
                    is_grave=True, kind="letter"),
    OperatorsAction("replay_group", "Replay all", "fingerprint", Action.REPLAY_ALL_DEAD,
                    "They go to their queue again, as they came; what nobody can read stays.", GroupForm, settle_group,
                    kind="letters"),
    OperatorsAction("discard_group", "Discard all", "fingerprint", Action.DISCARD_DEAD,
                    "They are marked as not worth a replay, and forgotten after a while.", GroupForm, settle_group,
                    is_grave=True, kind="letters"),
)  # fmt: skip
EDIT = OperatorsAction(
    "edit_dead", "Send the copy", "letter_id", Action.EDIT_DEAD,
    "The copy goes to the letter's queue; the letter keeps its body.", EditForm, replay_edited,
    kind="copy",
)  # fmt: skip
"""Its form is shown with the difference that it makes."""
ACTIONS: Mapping[str, OperatorsAction] = {row.name: row for row in _ROWS}


def offered(state: str) -> tuple[str, ...]:
    """The actions that a job in this state has any use for."""
    job = JobRow(0, State(state), 0, "", None, "", None, None, False)
    return tuple(name for name, row in ACTS.items() if row.why_not(job, Order(name, "", "", "")) is None)
