"""`release_jobs`: pending jobs of JEDI's may go; the Setupper lets them."""

from jedi.ports import RequestStore
from jedi.replies import ReleasedJob, ReleaseJobsReply, ReleaseResult, Reply
from jedi.requests import ReleaseJobs
from panda_fsm import messages
from panda_fsm.answers import NO_DEED, Deed, KnownJob
from panda_fsm.auditing import about_jobs
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State


def answer(store: RequestStore, actor: str, request: ReleaseJobs) -> tuple[Reply, Deed]:
    """What becomes of each job, as it is now."""
    found = store.jobs(sorted(set(request.jobids)))
    results = {job_id: _result(found.get(job_id)) for job_id in request.jobids}
    reply = ReleaseJobsReply(results=[ReleasedJob(jobid=job_id, result=results[job_id]) for job_id in request.jobids])
    pending = sorted(job_id for job_id, result in results.items() if result == "released")
    if not pending:
        return reply, NO_DEED
    row = about_jobs(actor, "", "jobs_released", pending, {"msg_id": request.msg_id})
    return reply, Deed(requests=(messages.ReleaseJobs(jobs=pending, actor=actor),), audit=(row,))


def _result(job: KnownJob | None) -> ReleaseResult:
    if job is None:
        return "not_found"
    if not job.is_jedis:
        return "forbidden"
    if job.state in FINAL:
        return "already_final"
    return "released" if job.state is State.PENDING else "already_released"
