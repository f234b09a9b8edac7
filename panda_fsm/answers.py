"""What is done for a request from outside that is answered by message: all of it in the transaction of the answer."""

from dataclasses import dataclass
from typing import NamedTuple

from panda_fsm.descriptions import AuditRow
from panda_fsm.held_tasks import TaskHold
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages.envelope import Message

REPLY_QUEUES = ("jedi.replies", "amq.gen-", "amq.rabbitmq.reply-to")
"""How the names begin of queues that whoever asks may have the answer in; all others are ours, or somebody else's."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that exists, live or archived, as far as a request about it needs to know."""

    job_id: int
    state: State
    task_id: int
    job_definition_id: int
    jobset_id: int
    name: str
    owner: str
    label: str
    command: str | None
    is_jedis: bool


class RequestKey(NamedTuple):
    """Who asked, and what they call the request."""

    actor: str
    msg_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What whoever asked is told, and in which queue; where that has gone nobody is told."""

    queue: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Noted:
    """A request by its content, and what it was answered."""

    request_hash: str
    answer: str


class NewJobs(NamedTuple):
    """Jobs to create if they do not exist yet, and how they begin."""

    trigger: Trigger
    owner: str
    drafts: list[JobDraft]


@dataclass(frozen=True, slots=True)
class Grant:
    """PandaIDs that are the actor's from now on."""

    first: int
    last: int
    actor: str


@dataclass(frozen=True, slots=True)
class Descent:
    """A job that does again what another one did, or merges what it made; `origin_job_id`: the first of the line."""

    old_job_id: int
    new_job_id: int
    origin_job_id: int
    relation: str


@dataclass(frozen=True, slots=True)
class Deed:
    """What a request does: jobs are created, other services asked (and that is kept until they have done it)."""

    jobs: NewJobs | None = None
    requests: tuple[Message, ...] = ()
    grant: Grant | None = None
    descents: tuple[Descent, ...] = ()
    hold: TaskHold | None = None
    audit: tuple[AuditRow, ...] = ()


NO_DEED = Deed()


@dataclass(frozen=True, slots=True)
class Answer:
    """A request is answered. `noted`: it is new, and what it is answered when it comes again. `refusal`: nothing is
    done for it, and it goes to the dead letters with this reason."""

    key: RequestKey
    reply: Reply | None
    deed: Deed = NO_DEED
    noted: Noted | None = None
    refusal: str | None = None
