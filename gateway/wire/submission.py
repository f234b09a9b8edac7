"""Makes job drafts of what panda-client submits: positional arrays, placeholders, "NULL" for nothing."""

from typing import Any

from pydantic import ValidationError

from gateway.http.decode import decode_json
from gateway.http.refusal import RefusalError, TooManyError, UndecodableError
from gateway.wire.user_requests import MAX_JOBS
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.names import NameCheck
from panda_fsm.specs import output_names
from panda_fsm.specs.complaints import OF_JOBS, by_sent_names
from panda_fsm.specs.jobs import Given, attributes, job_draft
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES
from panda_fsm.specs.values import absent_to_none


def read_jobs(sent: Any) -> list[Any]:
    """The jobs of a submission, each still as it was sent. Raises RefusalError."""
    jobs = decode_json(sent) if isinstance(sent, str) else sent
    if not isinstance(jobs, list):
        raise RefusalError("jobs: must be a list of jobs, or its JSON text")
    if not jobs:
        raise RefusalError("jobs: is empty")
    if len(jobs) > MAX_JOBS:
        raise TooManyError(f"jobs: {len(jobs)} jobs, more than {MAX_JOBS} in one request")
    return jobs


def draft(sent: Any, index: int, job_id: int, jobset_id: int, user: str, queues: Any) -> JobDraft:
    """Job `index` of a submission. Raises RefusalError naming the job and its field."""
    try:
        spec, files = _split(sent)
        job = job_draft(spec, files, Given(job_id, jobset_id, user))
    except ValidationError as error:
        raise RefusalError(f"job {index}: {by_sent_names(error, OF_JOBS)}") from None
    except (UndecodableError, ValueError) as error:
        raise RefusalError(f"job {index}: {error}") from None
    if job.site not in queues:
        raise RefusalError(f"job {index}: computingSite: unknown queue {job.site!r:.80}")
    return job


def refuse_names(index: int, job: JobDraft, check: NameCheck) -> None:
    """Raises RefusalError naming the first output that its experiment's catalogue could never register."""
    try:
        output_names.refuse_names(job, check)
    except ValueError as error:
        raise RefusalError(f"job {index}: {error}") from None


def _split(sent: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Attributes by snake_case name, and the files. Shorter arrays come from older clients."""
    if not isinstance(sent, list) or not sent or not isinstance(sent[-1], list):
        raise ValueError("must be an array of attributes that ends with the array of its files")
    spec = attributes(zip(SNAKE_JOB_ATTRIBUTES, JOB_ATTRIBUTES, sent[:-1], strict=False))
    files = []
    for position, file in enumerate(sent[-1]):
        if not isinstance(file, list):
            raise ValueError(f"file {position}: must be an array of attributes")
        named = zip(FILE_ATTRIBUTES, file, strict=False)
        files.append({name: absent_to_none(value) for name, value in named})
    return spec, files
