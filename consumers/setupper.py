"""Setupper: creates jobs; defined → assigned or activated through the experiment's plugin."""

from collections import defaultdict
from collections.abc import Sequence

from panda_fsm.events import FileToMove, JobEvent, ReleaseJobs, SubmitJobs, TransferRequested
from panda_fsm.handler import Item, Service
from panda_fsm.job import Job
from panda_fsm.lifecycle import Trigger
from panda_fsm.outcomes import Advance, Changes, Create, Ignore, Outcome, Reject, Wait, fail
from panda_fsm.ports import PluginRegistry, SetupPlan

EC_SETUPPER = 100


class Setupper(Service):
    """Asks each experiment's plugin about its own new jobs, all of a batch at once."""

    name = "setupper"
    asks_outside = True
    needs_files = True

    def __init__(self, plugins: PluginRegistry) -> None:
        self._plugins = plugins

    def prepare(self, items: Sequence[Item]) -> None:
        by_vo: dict[str, dict[int, Job]] = defaultdict(dict)
        for item in items:
            # Only new jobs: a redelivered event must not bring a job that went on into a bunch with fresh ones.
            if item.job is not None and isinstance(item.message, JobEvent) and item.message.version == item.job.version:
                by_vo[item.job.vo][item.job.job_id] = item.job
        plans: dict[int, SetupPlan] = {}
        for vo, jobs in by_vo.items():
            plans |= self._plugins.for_vo(vo).setup(list(jobs.values()))
        for item in items:
            item.plan = plans.get(item.job.job_id) if item.job is not None else None

    def decide(self, item: Item) -> Outcome:
        match item.message, item.job:
            case SubmitJobs() as submit, _:
                trigger = Trigger.SUBMITTED_PENDING if submit.to_pending else Trigger.SUBMITTED
                return Create(trigger, submit.owner, submit.jobs)
            case ReleaseJobs(), Job():
                return Advance(Trigger.RELEASED)
            case JobEvent() as event, Job() as job:
                if event.version != job.version:
                    return Ignore(f"job is at version {job.version}, not {event.version}")
                return self._set_up(job, item.plan)
        return Reject(f"setupper does not handle {item.message.msg_type}")

    def _set_up(self, job: Job, plan: SetupPlan) -> Outcome:
        if plan.try_later:
            return Wait(plan.try_later)
        if plan.refusal:
            return fail(Trigger.SETUP_FAILED, "ddm", EC_SETUPPER, plan.refusal)
        files = {file.seq: file for file in job.files}
        requests = tuple(
            TransferRequested(
                block=t.block, kind="dispatch", source=t.source, destination=t.destination,
                files=[FileToMove.model_construct(lfn=files[s].lfn, scope=files[s].scope, size=files[s].size,
                                                  checksum=files[s].checksum) for s in t.seqs],
            )
            for t in plan.transfers
        )  # fmt: skip
        changes = Changes(files=tuple(plan.files), blocks=tuple(plan.blocks), messages=requests)
        return Advance(Trigger.INPUTS_REQUESTED if plan.transfers else Trigger.INPUTS_AT_SITE, changes)
