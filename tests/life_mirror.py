"""Tells the model of lives what a service handled: the same message, as people would read it."""

from __future__ import annotations

from panda_fsm.messages import (
    AnyMessage,
    DeadlinePassed,
    FilesArrived,
    FilesFailed,
    JobEvent,
    KillJob,
    OutputsAdded,
    PilotReport,
    ReassignJob,
    ReleaseJobs,
    SubmitJobs,
    TellPilot,
    ThrottleJobs,
    TransferRequested,
)
from tests.life_model import Life
from tests.life_plans import heard


class Mirror:
    """All jobs of a task, as the model has them: `planned` until they are created."""

    def __init__(self) -> None:
        self.planned: dict[int, Life] = {}
        self.lives: dict[int, Life] = {}
        self.asked: list[TransferRequested] = []
        self.blocks: dict[int, set[str]] = {}
        self.merges: dict[int, list[Life]] = {}
        """Whose outputs a job merges."""
        self._newest: dict[tuple[int, str], str] = {}

    def handled(self, queue: str, message: AnyMessage) -> None:
        """The model makes the same of a message."""
        match message:
            case SubmitJobs(jobs=drafts):
                for draft in drafts:
                    self._created(draft.job_id)
            case ReleaseJobs(jobs=jobs):
                for job_id in jobs:
                    self.lives[job_id].released()
            case ThrottleJobs(jobs=jobs, throttle=throttle):
                for job_id in jobs:
                    if self._is_newest(job_id, "throttle", message):
                        self.lives[job_id].throttled(throttle)
            case FilesArrived() | FilesFailed():
                self._moved(message)
            case (
                JobEvent() | OutputsAdded() | PilotReport() | KillJob() | TellPilot() | ReassignJob() | DeadlinePassed()
            ):
                self._heard_of(self.lives[message.job_id], queue, message)

    def _created(self, job_id: int) -> None:
        if job_id not in self.lives:
            life = self.lives[job_id] = self.planned[job_id]
            for one in self.merges.get(job_id, []):
                if not one.is_final:
                    one.mergers.append(life)

    def _heard_of(self, life: Life, queue: str, message: AnyMessage) -> None:
        match message:
            case JobEvent(version=version) if queue == "setupper":
                life.set_up(version)
            case JobEvent(version=version) if queue == "adder":
                life.outputs_looked_at(version)
            case JobEvent(version=version) if queue == "finisher":
                life.mergers_looked_at(version)
            case OutputsAdded(version=version, verdict=verdict) if queue == "finisher":
                life.verdict_heard(version, verdict.value)
            case PilotReport():
                life.reported(heard(message))
            case KillJob(code=code, actor=actor, keep_unmerged=keep):
                life.killed(code, actor == "production", bool(keep))
            case TellPilot(command=command, debug=debug):
                if self._is_newest(life.job_id, "debug" if command is None else "command", message):
                    life.commanded(command, debug)
            case ReassignJob():
                if self._is_newest(life.job_id, f"reassign {message.message_id}", message):
                    life.reassigned()
            case DeadlinePassed(state=state, version=version, is_idle=is_idle, missing=missing):
                life.overdue(state.value, version, bool(is_idle), missing == "awaited")

    def _is_newest(self, job_id: int, what: str, message: AnyMessage) -> bool:
        """§1.2, §3.4: what people say of a job is done once, and the newest counts."""
        is_newest = message.message_id > self._newest.get((job_id, what), "")
        if is_newest:
            self._newest[job_id, what] = message.message_id
        return is_newest

    def _moved(self, message: FilesArrived | FilesFailed) -> None:
        """Names of files are unique in this world, so they tell the job."""
        arrived = isinstance(message, FilesArrived)
        lfns = {f.lfn for one in self.asked if one.block == message.block for f in one.files}
        lfns = lfns if message.lfns is None else lfns & set(message.lfns)
        for life in self.lives.values():
            if message.kind == "dispatch" and (of_life := lfns & life.away):
                if message.block in self.blocks[life.job_id]:
                    life.inputs(of_life, arrived)
            elif message.kind == "sub" and (of_life := lfns & life.files.keys()):
                life.outputs(of_life, arrived)
