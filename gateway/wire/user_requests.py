"""What users, tools and JEDI ask."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from gateway.wire.fields import JobIds, NonNegative, Text, as_list
from gateway.wire.pilot_requests import Ask

MAX_DESCRIBED = 5500


class SubmitRequest(Ask):
    """Jobs as panda-client sends them: the JSON text of a list of positional arrays; a real list is taken too."""

    jobs: str | list[Any]


class DescribeRequest(Ask):
    """Which jobs to describe, in which order."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_DESCRIBED)]


class KillRequest(Ask):
    """Which jobs to end. Codes: 2 expire, 3 aborted, 9 force, 50-52 JEDI, 91 and 99 by a production manager..."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_DESCRIBED)]
    code: Annotated[NonNegative, Field(le=999)] = None
    use_email_as_id: Any = None
    kill_options: Annotated[list[Text], Field(max_length=20), BeforeValidator(as_list)] = Field(
        default_factory=list, validation_alias=AliasChoices("kill_options", "killOpts")
    )


class TaskRequest(Ask):
    """Which task; none for all jobs."""

    task_id: Annotated[NonNegative, Field(le=2**62)] = None


class CacheContent(Ask):
    """A sandbox file's size and checksum, to find out whether it is here already."""

    file_size: Annotated[int, Field(ge=0, le=2**62)]
    checksum: Annotated[int, Field(ge=0, le=2**62)]
