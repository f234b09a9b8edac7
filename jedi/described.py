"""Messages that the models elsewhere leave open, described with all that is inside: jobs by JEDI's names, states."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jedi.bodies import FinalJobStatus, JobStatus
from jedi.replies import ReplayReply
from jedi.requests import MOST_JOBS, SubmitJobs
from jedi.specs import OF_A_FILE
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES

_OF_JOBS = {
    "PandaID": "of a block that was granted; a job without one gets one",
    "VO": "that of the request, if the job has none",
    "jediTaskID": "that of the request, if the job has none",
    "computingSite": "the queue, which must be known: the server chooses none",
    "jobName": "$ORIGINPANDAID becomes the PandaID of the first job of its line",
    "jobParameters": "$PANDAID, $JOBSETID and $JEDITASKID are filled in",
    "jobsetID": "a new one, if the job has none",
    "specialHandling": "words with commas between them; a word NULL says nothing",
    "jobStatus": "set by the server, as are its times and its hosts: what is sent says nothing",
}
_OF_FILES = {
    "lfn": "$PANDAID is filled in; $JOBSETID and $JEDITASKID too, but in jobs of the label managed",
    "type": "input, pseudo_input, output or log",
    "fileID": "told again with the job's final status, as are the other ids of JEDI's",
    "attemptNr": "of the file, told again as it was sent",
}


def _attributes(names: Sequence[str], meanings: Mapping[str, str]) -> Callable[[dict[str, Any]], None]:
    """Puts the attributes of these names before the fields of a model's schema: each is a text or a number, or null."""

    def add(schema: dict[str, Any]) -> None:
        any_of_them: dict[str, Any] = {"type": ["string", "number", "null"]}
        said = {name: any_of_them | ({"description": meanings[name]} if name in meanings else {}) for name in names}
        schema["properties"] = said | schema.get("properties", {})

    return add


class File(BaseModel):
    """A file by FileSpec's names."""

    model_config = ConfigDict(json_schema_extra=_attributes((*FILE_ATTRIBUTES, *OF_A_FILE), _OF_FILES))


class Job(BaseModel):
    """A job by JobSpec's names. What is null may be left out; names that are not here are ignored."""

    model_config = ConfigDict(json_schema_extra=_attributes(JOB_ATTRIBUTES, _OF_JOBS))
    Files: list[File] = Field(default_factory=list)
    oldpandaids: list[int | str] = Field(
        default_factory=list, description="the jobs that this one does again, or whose outputs it merges"
    )


class Submission(SubmitJobs):  # noqa: D101  # what SubmitJobs says
    __doc__ = SubmitJobs.__doc__
    jobs: list[Job] = Field(min_length=1, max_length=MOST_JOBS)


class States(ReplayReply):  # noqa: D101  # what ReplayReply says
    __doc__ = ReplayReply.__doc__
    results: list[JobStatus | FinalJobStatus]  # type: ignore[assignment]  # what it is answered with is made already
