"""What users, tools and JEDI are answered."""

from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from gateway.wire.answers import Answer, Envelope, JobId, Scalar
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES


class JobSet(Answer):
    """The jobs that were submitted together."""

    jobsetID: int


class Submitted(Envelope):
    """The ids of each job, in the order sent: PandaID, jobDefinitionID, and the job set."""

    data: list[tuple[JobId, int, JobSet]]


class Moment(Answer):
    """A time: UTC in ISO form, without saying so."""

    moment: str = Field(alias="__datetime__")


Value = Scalar | Moment | None
_FILE_FIELDS: dict[str, Any] = {
    **dict.fromkeys(FILE_ATTRIBUTES, (str | None, ...)),
    **dict.fromkeys(("rowID", "PandaID", "fsize"), (int, ...)),
    "type": (FileType, ...),
    "status": (FileStatus, ...),
}
DescribedFile: type[BaseModel] = create_model(
    "DescribedFile",
    __base__=Answer,
    __doc__="A file of a job.",
    **_FILE_FIELDS,
)
_DESCRIBED: dict[str, Any] = {
    **dict.fromkeys(JOB_ATTRIBUTES, (Value, ...)),
    "PandaID": (JobId, ...),
    "jobStatus": (State, ...),
    "Files": (list[DescribedFile], ...),  # type: ignore[valid-type]  # made of a list of names
}
DescribedJob: type[BaseModel] = create_model(
    "DescribedJob",
    __base__=Answer,
    __doc__="A job with all attributes of the field's clients; null where there is no value.",
    **_DESCRIBED,
)


class Described(Envelope):
    """The jobs in the order asked; null for one that is unknown."""

    data: list[DescribedJob | None]  # type: ignore[valid-type]  # made of a list of names


class Killed(Envelope):
    """True for each job whose end is on its way; false for unknown ones, those of others, and those that ended."""

    data: list[bool]


class StateAndCommand(Answer):
    """Where a job is, and what its pilot will be told; to others than its owner and production managers no more than
    that it must stop."""

    status: State | Literal["unknown"]
    command: str


class States(Envelope):
    """State and command of each job, in the order asked."""

    data: list[StateAndCommand]


class Listed(Answer):
    """A job in a list, by the names of its description; times in UTC, ISO form."""

    PandaID: JobId
    jobStatus: State
    jediTaskID: int
    computingSite: str
    prodUserName: str
    prodSourceLabel: str
    currentPriority: int
    creationTime: str
    startTime: str | None
    endTime: str | None
    archived: bool


class Page(Answer):
    """Jobs, the newest first, live ones before those that are archived; `next` is where the list goes on. A job that
    was archived between two pages may be in both. `since`: from when on jobs were looked for, if not from ever."""

    jobs: list[Listed]
    next: str | None
    since: int | None


class JobList(Envelope):
    """A page of a list."""

    data: Page


class HistoryStep(Answer):
    """A step of a job: what happened, from where to where. By whom and why for those who may see all of the job."""

    version: int
    trigger: str
    source: str | None
    state: str
    at: str
    service: str | None
    host: str | None
    message_id: str | None
    detail: str | None


class JobSample(Answer):
    """How the payload did, once in ten minutes; null for what its pilot did not say."""

    at: str
    cpu_consumption_time: int | None
    max_rss: int | None
    max_pss: int | None
    n_events: int | None
    tot_rbytes: int | None
    tot_wbytes: int | None


class Past(Answer):
    """What a job went through."""

    steps: list[HistoryStep]
    samples: list[JobSample]


class History(Envelope):
    """What a job went through; null if there is no such job."""

    data: Past | None


class Output(Answer):
    """What its pilot showed last, and when."""

    at: str
    stdout: str


class Shown(Envelope):
    """What the pilot showed of a job, in debug mode or because it was told a command; null if nothing."""

    data: Output | None


class Found(Envelope):
    """The caller has uploaded this content lately. `message`: FOUND:<host>:<name>."""

    data: None


class JobsBySite(Envelope):
    """Live jobs as {queue: {state: jobs}}."""

    data: dict[str, dict[str, int]]


class Hop(Answer):
    """How long jobs took from one state to the next."""

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Progress(Answer):
    """Jobs per state, and the time of each hop."""

    states: dict[str, int]
    hops: dict[str, Hop]


class JobStates(Envelope):
    """How far a task is, or all jobs."""

    data: Progress


class Environment(Answer):
    """Who the server takes the caller for. `roles`: vo/role, with commas."""

    issuer: str
    subject: str
    name: str
    roles: str


class Attributes(Answer):
    """What the server knows of the request."""

    environment: Environment


class WhoAmI(Envelope):
    """Who the server takes the caller for; never the token."""

    data: Attributes
