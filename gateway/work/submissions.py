"""Makes messages of a submission: few enough jobs and bytes in each that services can hold many of them."""

from collections.abc import Iterator, Sequence

from panda_fsm.effects import Outgoing
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import SubmitJobs

JOBS_PER_MESSAGE = 100
BYTES_PER_MESSAGE = 1024 * 1024


def messages(owner: str, drafts: Sequence[JobDraft]) -> Iterator[Outgoing]:
    """The jobs in order. A message is larger than a megabyte only where a single job is."""
    for start in range(0, len(drafts), JOBS_PER_MESSAGE):
        yield from _portions(owner, drafts[start : start + JOBS_PER_MESSAGE])


def _portions(owner: str, drafts: Sequence[JobDraft]) -> Iterator[Outgoing]:
    message = Outgoing.of(SubmitJobs.model_construct(owner=owner, jobs=list(drafts)))
    size = len(message.body)
    if size <= BYTES_PER_MESSAGE or len(drafts) == 1:
        yield message
        return
    step = max(1, len(drafts) * BYTES_PER_MESSAGE // size)
    for start in range(0, len(drafts), step):
        yield from _portions(owner, drafts[start : start + step])
