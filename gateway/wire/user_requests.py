"""What users, tools and JEDI ask."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from gateway.wire import sent
from gateway.wire.fields import (
    Anything,
    JobId,
    JobIds,
    NonNegative,
    Remark,
    Text,
    as_list,
)
from gateway.wire.pilot_requests import Ask
from panda_fsm.jobs.kill_options import KillOptions
from panda_fsm.jobs.states import State
from panda_fsm.specs.values import MAX_BIGINT, absent_to_none, whole

MAX_JOBS = 10_000
MAX_DESCRIBED = 5500
MAX_IN_URL = 2000
"""Ids of any length fit into the longest URL that is taken."""
MAX_KILLED = 10_000
MAX_OPTIONS = 20
MAX_REASSIGNED = 50_000
"""JEDI sends those of a whole cycle at once; ids of any length fit into the largest body."""
MAX_LISTED = 1000
MAX_MOMENT = 10**10


_Count = Annotated[
    int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(whole), sent.number(0, MAX_BIGINT, is_optional=False)
]


_Moment = Annotated[
    Annotated[int, Field(ge=0, le=MAX_MOMENT)] | None, BeforeValidator(whole), sent.number(0, MAX_MOMENT)
]
_Limit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_LISTED)] | None, BeforeValidator(whole), sent.number(1, MAX_LISTED)
]


def _options(value: Any) -> Any:
    """A list, whatever stands for none or for one. Raises ValueError."""
    if value is not None and not isinstance(value, str | list):
        raise ValueError("must be a list of texts")
    return as_list(value) or []


class SubmitRequest(Ask):
    """Jobs as panda-client sends them: the JSON text of a list of positional arrays; a real list is taken too."""

    jobs: Annotated[str | list[Any], sent.jobs(MAX_JOBS)]


class DescribeRequest(Ask):
    """Which jobs to describe, in which order."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_DESCRIBED), sent.ids(MAX_DESCRIBED)]


class DescribeQuery(DescribeRequest):
    """The same in a URL, which does not hold as many."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_IN_URL), sent.ids(MAX_IN_URL)]


class KillRequest(Ask):
    """Which jobs to end. Codes: 2 expire, 3 aborted, 9 force, 50-52 JEDI, 91 and 99 by a production manager..."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_KILLED), sent.ids(MAX_KILLED)]
    code: Annotated[Annotated[int, Field(ge=0, le=999)] | None, BeforeValidator(whole), sent.number(0, 999)] = None
    use_email_as_id: Anything = None
    kill_options: Annotated[
        list[Remark], Field(max_length=MAX_OPTIONS), BeforeValidator(_options), sent.options(MAX_OPTIONS)
    ] = Field(default_factory=list, validation_alias=AliasChoices("kill_options", "killOpts"))

    @property
    def wishes(self) -> KillOptions:
        """What the options mean."""
        return KillOptions.of(self.kill_options)


class CommandRequest(Ask):
    """What a job's pilot shall be told with its next report: `softkill`, or `ls`, `tail`, `ps`, `du` and `gdb` with
    their arguments. Without one, what was not told yet is taken back."""

    job_id: JobId
    command: Text = None


class JobRequest(Ask):
    """Which job."""

    job_id: JobId


class ListRequest(Ask):
    """Which jobs to list: of a task, of a user, in a state, that changed (live ones) or ended (archived ones) from
    `since` on and before `until`, in seconds since 1970. `after`: what the answer before called `next`.
    Without `since`, anybody's jobs in a final state are those of the day before `until`, or before now."""

    task_id: NonNegative = None
    user_name: Text = None
    state: Annotated[State | None, BeforeValidator(absent_to_none), sent.one_of(State)] = None
    since: _Moment = None
    until: _Moment = None
    limit: _Limit = None
    after: Annotated[
        Annotated[str, Field(pattern=sent.PAGE)] | None, BeforeValidator(absent_to_none), sent.text_like(sent.PAGE)
    ] = None


class ReassignRequest(Ask):
    """Which jobs to let go, or to set up anew. JEDI's are only let go; unknown ones are no error."""

    job_ids: Annotated[
        list[JobId], Field(max_length=MAX_REASSIGNED, fail_fast=True), BeforeValidator(as_list),
        sent.ids(MAX_REASSIGNED),
    ]  # fmt: skip


class TaskRequest(Ask):
    """Which task; none for all jobs. It can be left out, not left empty: that would be all jobs for one's own."""

    task_id: Annotated[NonNegative, sent.number(0, MAX_BIGINT, is_optional=False)] = None


class CacheContent(Ask):
    """A sandbox file's size and checksum, to find out whether it is here already."""

    file_size: _Count
    checksum: _Count
