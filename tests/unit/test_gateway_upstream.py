"""Which jobs of a submission wait for which build job."""

import pytest

from gateway.http.refusal import RefusalError
from gateway.work.upstream import link
from panda_fsm.jobs.drafts import FileDraft, JobDraft
from tests import factories


def build(job_id: int, *lfns: str) -> JobDraft:
    """A build job that makes these."""
    files = [FileDraft(type="output", lfn=lfn, scope=factories.SCOPE) for lfn in lfns]
    return JobDraft(job_id=job_id, site=factories.QUEUE, label="panda", files=files)


def test_run_jobs_wait_for_the_build_job_that_makes_what_they_read() -> None:
    drafts = [
        build(1, "lib.tgz"), build(2, "other.tgz"), factories.draft(3, inputs=("lib.tgz", "data")),
        factories.draft(4, inputs=("lib.tgz", "other.tgz")), factories.draft(5, inputs=("data",)),
    ]  # fmt: skip
    link(drafts)
    assert [job.upstream for job in drafts] == [None, None, [1], [1, 2], None]
    assert "upstream" not in drafts[4].model_dump(exclude_none=True)


def test_only_build_jobs_are_waited_for() -> None:
    drafts = [factories.draft(1), factories.draft(2, inputs=(factories.output_lfns(1)[0],))]
    link(drafts)
    assert [job.upstream for job in drafts] == [None, None]


def test_nobody_waits_for_itself_or_for_too_many() -> None:
    alone = build(1, "lib.tgz")
    alone.files.append(FileDraft(type="input", lfn="lib.tgz", scope=factories.SCOPE))
    link([alone])
    assert alone.upstream is None
    many = [build(n, f"{n}.tgz") for n in range(1, 22)]
    with pytest.raises(RefusalError, match="job 21: reads what 21 build jobs make, more than 20"):
        link([*many, factories.draft(30, inputs=tuple(f"{n}.tgz" for n in range(1, 22)))])
