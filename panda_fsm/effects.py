"""What a batch will write: outcomes folded in memory, job by job, before one transaction writes them all."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from panda_fsm.answers import Answer
from panda_fsm.blocks.states import BlockKind
from panda_fsm.blocks.table import BlockTrigger
from panda_fsm.errors import IllegalTransitionError
from panda_fsm.handler import DeadLetter
from panda_fsm.held_tasks import TaskHold
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.facts import FINAL, in_phases
from panda_fsm.jobs.job import Job, NewFile, grown
from panda_fsm.jobs.states import TO_SET_UP, FileStatus, Phase, State
from panda_fsm.jobs.table import JOB, Trigger
from panda_fsm.machine import Ignored
from panda_fsm.messages.ddm import TransferRequested
from panda_fsm.messages.envelope import Message, cut
from panda_fsm.messages.facts import CheckBlock
from panda_fsm.messages.operators import SetPause
from panda_fsm.outcomes import Changes, FileChange, NewBlock
from panda_fsm.steps import HistoryRow, JediMessage, JobStep, step_event
from panda_fsm.tracing import TRACING
from panda_fsm.transfers import merged

_ADDED = (FileStatus.READY, FileStatus.TRANSFERRING, FileStatus.MERGING)
_UNSETTLED = (FileStatus.UNKNOWN, FileStatus.TRANSFERRING, FileStatus.MERGING, FileStatus.PENDING)
_NOT_SET_UP = TO_SET_UP | {State.PENDING}
_NOT_STARTED = frozenset({State.SENT, State.STARTING})
_STARTED = in_phases(Phase.POST_PROCESSING) | {State.RUNNING}
"""That its pilot is done says that a job ran, where the report that it runs was lost or overtaken."""


@dataclass(slots=True)
class Outgoing:
    """A message for the outbox and then the broker; `headers` where it goes to a delay queue, again, or is traced."""

    message_id: str
    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any] | None = None

    @classmethod
    def of(cls, message: Message) -> "Outgoing":
        headers = None if TRACING.tracer is None else TRACING.headers(message)
        return cls(message.message_id, message.exchange, message.routing_key, message.encode(), headers)


@dataclass(slots=True)
class Effects:
    """Everything one batch writes.

    `subjects` are the jobs of the rows in `jobs`, as they are at the end of the batch.
    `handled` names accepted requests that need not be kept any longer, `waiting` messages that come back by themselves,
    and after how many seconds,
    `blocks` are the first of each name, `brought` says which jobs have them in their plans: by name, kind, experiment,
    for these may differ. Files join those `joined`: they must take files when the batch is written. Those `filled` get
    their first outputs, and of those `settled` (each with one of its jobs) an output is not to come any more. `vacated`
    names jobs that their pilots lost, and whether for their silence, `started_at` queues at which jobs started to run.
    `never_set_up` are ended jobs whose destination blocks may not be there yet. `jedi` is what JEDI is to be told, in
    order, by job and version. `answers` are those to its requests, `kept` what is asked of other services for them.
    Those `let_go` wait for a pilot if they are activated. `ignored` counts what came late or again, `repeated` what of
    it is about a job, by job and key. `holds` are tasks to be held or not any more, each with the message that asks for
    it, if it is one of ours.
    """

    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[int, Job] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    jedi: dict[tuple[int, int], JediMessage] = field(default_factory=dict)
    new_files: dict[tuple[int, int], NewFile] = field(default_factory=dict)
    files: dict[tuple[int, int], FileChange] = field(default_factory=dict)
    blocks: dict[str, NewBlock] = field(default_factory=dict)
    brought: dict[tuple[str, BlockKind, str], set[int]] = field(default_factory=dict)
    joined: dict[str, set[int]] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)
    settled: dict[str, int] = field(default_factory=dict)
    transfers: list[TransferRequested] = field(default_factory=list)
    arrived_blocks: set[str] = field(default_factory=set)
    reports: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[int, dict[str, int]] = field(default_factory=dict)
    stdout: dict[int, str] = field(default_factory=dict)
    metadata: dict[int, str] = field(default_factory=dict)
    created: list[tuple[str, Trigger, JobDraft, str]] = field(default_factory=list)
    close_blocks_of: set[int] = field(default_factory=set)
    close_blocks: set[str] = field(default_factory=set)
    moved_blocks: dict[BlockTrigger, set[str]] = field(default_factory=lambda: defaultdict(set))
    inbox: set[str] = field(default_factory=set)
    handled: set[str] = field(default_factory=set)
    waiting: dict[str, float] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    kept: list[Outgoing] = field(default_factory=list)
    holds: list[tuple[str | None, TaskHold]] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    activated: set[int] = field(default_factory=set)
    deactivated: set[int] = field(default_factory=set)
    never_set_up: set[int] = field(default_factory=set)
    let_go: set[int] = field(default_factory=set)
    pauses: list[SetPause] = field(default_factory=list)
    priorities: dict[int, int] = field(default_factory=dict)
    shares: dict[int, str] = field(default_factory=dict)
    vacated: dict[int, bool] = field(default_factory=dict)
    started_at: set[str] = field(default_factory=set)
    ignored: int = 0
    repeated: Counter[tuple[int, str]] = field(default_factory=Counter)

    def step(self, job: Job, trigger: Trigger, cause: str, detail: str | None) -> JobStep | Ignored[Trigger, State]:
        """Move `job` in memory and note history, event, counts. Raises IllegalTransitionError."""
        step = JOB.advance(job, trigger)
        if step is None:
            raise IllegalTransitionError(f"{trigger} of job {job.job_id} is not possible in state {job.state}")
        if isinstance(step, Ignored):
            return step
        job.version += 1
        self.history.append(HistoryRow(job.job_id, job.version, step, cause, detail and cut(detail)))
        if job.is_jedis:
            self._tell_jedi(job, job.version, step.source, step.destination)
        self._note_places(job, step)
        self._row(job).update(state=step.destination.value, version=job.version)
        if step.destination in FINAL:
            self._settle_outputs(job)
        self.send(step_event(job.job_id, job.version, step, cause, site=job.site, vo=job.vo, task_id=job.task_id))
        return step

    def changed(self, job: Job, gshare: str | None = None) -> None:
        """Site, priority or share of a job is another now: JEDI is told of its own, with the step where there is one.

        `gshare` is the new share, where it is that which changed.
        """
        if job.is_jedis:
            known = self.jedi.get((job.job_id, job.version)) or self._tell_jedi(job, job.version, job.state, job.state)
            known.gshare = gshare or known.gshare

    def _tell_jedi(self, job: Job | JobDraft, version: int, before: State | None, state: State) -> JediMessage:
        message = JediMessage(job.job_id, version, job.vo, job.task_id, before, state)
        self.jedi[job.job_id, version] = message
        return message

    def _note_places(self, job: Job, step: JobStep) -> None:
        self.counts[(step.destination, job.site, job.vo)] += 1
        if step.source is not None:
            self.counts[(step.source, job.site, job.vo)] -= 1
        if step.source in _NOT_STARTED and step.destination in _STARTED:
            self.started_at.add(job.site)
        elif step.destination is State.ACTIVATED:
            _toggle(job.job_id, self.activated, self.deactivated)
            if step.source is State.SENT:
                self._vacate(job, was_silent=step.trigger is Trigger.UNCLAIMED)
        elif step.source is State.ACTIVATED:
            _toggle(job.job_id, self.deactivated, self.activated)
        elif step.source in _NOT_SET_UP and step.destination in FINAL and job.closes_its_blocks:
            self.never_set_up.add(job.job_id)

    def _vacate(self, job: Job, was_silent: bool) -> None:
        """The job is nobody's any more; who never spoke of it is remembered."""
        job.returns += was_silent
        self.vacated[job.job_id] = was_silent

    def _settle_outputs(self, job: Job) -> None:
        """Every final step moves output and log files off `unknown`, or their block never closes."""
        open_files = [f for f in job.files if f.is_output and f.status in _UNSETTLED]
        self.change_files(job, [FileChange(f.seq, FileStatus.FAILED) for f in open_files])
        if not job.files or job.state is not State.FINISHED:  # not loaded here, or inputs under way that nobody awaits
            self._row(job)["fail_files"] = True

    def record(self, job: Job, changes: Changes, renews: bool = False) -> None:
        """Note `changes` of `job`, in memory too, so that the next message of the batch sees them."""
        row = self._row(job)
        if renews:
            row["renewed"], job.heard_at = True, datetime.now(UTC)
        if changes.command is not None:
            row["command"] = changes.command
            job.command = changes.command or None
        self._place(job, changes)
        if changes.verdict is not None:
            row["verdict"] = job.verdict = changes.verdict
        if changes.pilot:
            row["pilot"] = {**row.get("pilot", {}), **changes.pilot}
        if changes.report is not None:
            self.reports.append(changes.report)
            row["has_report"] = job.has_report = True
        if changes.sample is not None:
            self.samples[job.job_id] = changes.sample
        if changes.stdout is not None:
            self.stdout[job.job_id] = changes.stdout
        if changes.metadata is not None:
            self.metadata[job.job_id] = changes.metadata
        if changes.errors:
            row["errors"] = row.get("errors", {}) | {
                e.component.value: {"code": e.code, "diag": cut(e.diagnostic)} for e in changes.errors
            }
        for block in changes.blocks:
            self.blocks.setdefault(block.name, block)
            self.brought.setdefault((block.name, block.kind, block.vo), set()).add(job.job_id)
        self.arrived_blocks.update(changes.arrived_blocks)
        if changes.new_files:
            self.new_files.update({(job.job_id, new.seq): new for new in changes.new_files})
            job.files = grown(job.files, changes.new_files)
        self.change_files(job, changes.files)
        for message in changes.messages:
            self.send(message)

    def _place(self, job: Job, changes: Changes) -> None:
        """Note when it is its turn."""
        if changes.priority is not None:
            is_other = changes.priority != job.priority
            self.priorities[job.job_id] = job.priority = changes.priority
            if is_other:
                self.changed(job)
        if changes.gshare is not None:
            self.shares[job.job_id] = changes.gshare
            self.changed(job, changes.gshare)
        if changes.let_go:
            self.let_go.add(job.job_id)

    def defer(self, job: Job, reason: str, after_s: float) -> None:
        """Make an appointment: the daemon says the job's message again, and until then the job shows the reason."""
        row = self._row(job)
        row["look_s"], row["waits_for"] = after_s, cut(reason)

    def change_files(self, job: Job, changes: Iterable[FileChange]) -> None:
        """Note new values of a job's files."""
        by_seq = {file.seq: file for file in job.files}
        for change in changes:
            before, file = self.files.get((job.job_id, change.seq)), by_seq[change.seq]
            self.files[(job.job_id, change.seq)] = change if before is None else _merge(before, change)
            was_to_come = file.is_output and file.status is FileStatus.UNKNOWN
            file.status = change.status
            if change.block and change.block != file.block:
                self.joined.setdefault(change.block, set()).add(job.job_id)
            elif file.in_new_block and file.is_output and change.status in _ADDED:
                self.filled |= {str(file.block), file.destination_block}
            if change.block is not None:
                file.block = change.block or None
            if was_to_come and change.status is not FileStatus.UNKNOWN:
                self.settled.setdefault(file.block or file.destination_block, job.job_id)

    def announce_created(self, job_ids: set[int]) -> None:
        """Called by the store with the ids that were new: their history and events, once if they came twice."""
        left = set(job_ids)
        for _owner, trigger, draft, cause in self.created:
            if draft.job_id in left:
                left.remove(draft.job_id)
                step = JOB.birth(trigger)
                self.history.append(HistoryRow(draft.job_id, 1, step, cause, None))
                if draft.is_jedis:
                    self._tell_jedi(draft, 1, step.source, step.destination)
                self.counts[(step.destination, draft.site, draft.vo)] += 1
                self.send(step_event(draft.job_id, 1, step, cause, site=draft.site, vo=draft.vo, task_id=draft.task_id))

    def send(self, message: Message) -> None:
        """Note a message for the outbox; requests to move files of one block leave together."""
        if isinstance(message, TransferRequested):
            self.transfers.append(message)
        else:
            self.outgoing.append(Outgoing.of(message))

    def gather(self) -> None:
        """Called once all is decided: what is asked of each block, and that it may be complete, becomes one message."""
        checks = [CheckBlock(block=name, job_id=job_id) for name, job_id in self.settled.items() if name]
        self.outgoing += map(Outgoing.of, [*merged(self.transfers), *checks])
        self.transfers, self.settled = [], {}

    def _row(self, job: Job) -> dict[str, Any]:
        """The job's row to write; made by the first change, completed by the later ones."""
        row = self.jobs.get(job.job_id)
        if row is None:
            self.subjects[job.job_id] = job
            row = self.jobs[job.job_id] = {
                "job_id": job.job_id, "expected": job.stored_version, "version": job.version, "state": job.state.value
            }  # fmt: skip
        return row


def _toggle(job_id: int, to: set[int], other: set[int]) -> None:
    """A job that comes and goes within a batch leaves the rows of waiting jobs as they were."""
    if job_id in other:
        other.remove(job_id)
    else:
        to.add(job_id)


def _merge(before: FileChange, after: FileChange) -> FileChange:
    return FileChange(
        after.seq,
        after.status,
        after.block if after.block is not None else before.block,
        after.guid if after.guid is not None else before.guid,
        after.size if after.size is not None else before.size,
        after.checksum if after.checksum is not None else before.checksum,
        after.destination if after.destination is not None else before.destination,
    )
