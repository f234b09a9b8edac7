"""`kill_jobs`: jobs of JEDI's are to end. Who decides is the kill matrix; the Watcher does it."""

from jedi.ports import RequestStore
from jedi.replies import KilledJob, KillJobsReply, KillResult, Reply
from jedi.requests import KillJobs
from jedi.submitting import OWNER
from panda_fsm.answers import NO_DEED, Deed, KnownJob
from panda_fsm.auditing import about_jobs
from panda_fsm.jobs import kills
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.kill_options import KillOptions
from panda_fsm.jobs.kills import Kill, Killer
from panda_fsm.messages import KillJob
from panda_fsm.specs.values import one_line

_MAX_REASON = 500


def answer(store: RequestStore, actor: str, request: KillJobs) -> tuple[Reply, Deed]:
    """What becomes of each job, as it is now. What was asked of one twice is done once."""
    found = store.jobs(sorted(set(request.jobids)))
    wishes = KillOptions.of(request.kill_options or ())
    reason = one_line(", ".join([*filter(None, (request.comment,)), *wishes.remarks]), _MAX_REASON)
    results: dict[int, KillResult] = {}
    asked: list[KillJob] = []
    for job_id in dict.fromkeys(request.jobids):
        results[job_id], forced = _result(actor, found.get(job_id), request.code)
        if forced is not None:
            asked.append(
                KillJob(
                    job_id=job_id, code=request.code, actor=actor, actor_key=f"{OWNER}{actor}", reason=reason,
                    forced=forced, sub_status=wishes.sub_status, keep_unmerged=wishes.keep_unmerged,
                )
            )  # fmt: skip
    reply = KillJobsReply(results=[KilledJob(jobid=job_id, result=results[job_id]) for job_id in request.jobids])
    if not asked:
        return reply, NO_DEED
    detail: dict[str, object] = {
        "code": request.code, "reason": reason, "forced": sum(one.forced for one in asked), "msg_id": request.msg_id,
    }  # fmt: skip
    row = about_jobs(actor, "", "kill_requested", [one.job_id for one in asked], detail)
    return reply, Deed(requests=tuple(asked), audit=(row,))


def _result(actor: str, job: KnownJob | None, code: int) -> tuple[KillResult, bool | None]:
    """What becomes of the job; if the Watcher is to be asked, whether its pilot is not."""
    if job is None:
        return "not_found", None
    killer = Killer(is_owner=job.owner == f"{OWNER}{actor}", is_production=True)
    if not job.is_jedis or not kills.may_kill(killer, job.label, code):
        return "forbidden", None
    if job.state in FINAL:
        return "already_final", None
    forced = kills.is_forced(killer, job.label, code)
    match kills.effect(job.state, job.command, code, forced):
        case Kill.END:
            return "killed", forced
        case Kill.ASK_PILOT:
            return "kill_requested", forced
    return "kill_requested", None
