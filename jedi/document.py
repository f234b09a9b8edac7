"""What of JEDI's door is documented: each request with its reply, and what is told unasked."""

from typing import get_args

from pydantic import BaseModel

from jedi.bodies import DatasetClosed, FinalJobStatus, JobStatus, SiteActivity
from jedi.described import States, Submission
from jedi.replies import ReplayReply, Reply, TasksReply
from jedi.requests import AnyRequest, HoldTask, Request, ResumeTask, SetPriority, SetShare, SubmitJobs

TOLD: tuple[type[BaseModel], ...] = (JobStatus, FinalJobStatus, DatasetClosed, SiteActivity)

_WHOLE: dict[type[BaseModel], type[BaseModel]] = {SubmitJobs: Submission, ReplayReply: States}
_OF_TASKS = (SetPriority, SetShare, HoldTask, ResumeTask)


def conversations() -> dict[type[Request], type[Reply]]:
    """Each request, and what answers it."""
    replies = {said(reply): reply for reply in Reply.__subclasses__()}
    requests: tuple[type[Request], ...] = get_args(get_args(AnyRequest)[0])
    return {request: TasksReply if request in _OF_TASKS else replies[f"{said(request)}_reply"] for request in requests}


def described(model: type[BaseModel]) -> type[BaseModel]:
    """The model with all that is inside."""
    return _WHOLE.get(model, model)


def said(model: type[BaseModel]) -> str:
    """The `msg_type` of a message, "" of a model that stands for several."""
    name = model.model_fields["msg_type"].default
    return name if isinstance(name, str) else ""
