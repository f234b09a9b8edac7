"""Run jobs wait for the build job of their submission that makes what they read."""

from collections.abc import Sequence

from gateway.http.refusal import RefusalError
from panda_fsm.jobs.drafts import MOST_UPSTREAM, JobDraft
from panda_fsm.jobs.states import BUILD


def link(drafts: Sequence[JobDraft]) -> None:
    """Note in each job which build jobs it waits for: by the name of a file, as the field does. Raises RefusalError."""
    made = {file.lfn: job.job_id for job in drafts if job.label == BUILD for file in job.files if file.type == "output"}
    if not made:
        return
    for index, job in enumerate(drafts):
        read = {made[file.lfn] for file in job.files if file.type == "input" and file.lfn in made}
        upstream = sorted(read - {job.job_id})
        if len(upstream) > MOST_UPSTREAM:
            raise RefusalError(f"job {index}: reads what {len(upstream)} build jobs make, more than {MOST_UPSTREAM}")
        if upstream:
            job.upstream = upstream
