"""Job and File: the view of database rows that decisions read, moved in memory before it is written."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from panda_fsm.codes import Verdict
from panda_fsm.jobs.deadlines import Kind
from panda_fsm.jobs.facts import FACTS, HANDED_OUT_AGAIN, OnReport
from panda_fsm.jobs.states import TO_SET_UP, USABLE_INPUT, USER_LABELS, FileStatus, FileType, State

LIBRARY = ".lib.tgz"
"""How the name of what a build job makes ends."""
LOCAL = "local"
"""The destination of what stays where it is made, and the plugin of the jobs that name it."""
TO_MERGE = "TOMERGE"
"""The token of outputs that are to be merged, and of the inputs of the job that does it."""


@dataclass(slots=True)
class File:
    """One file of a job. `block_id` is its dispatch block (input) or sub-destination block (output, log)."""

    job_id: int
    seq: int
    type: FileType
    lfn: str
    scope: str
    dataset: str
    status: FileStatus
    destination_block: str = ""
    destination: str = ""
    block_id: int | None = None
    block: str | None = None
    guid: str = ""
    size: int = 0
    checksum: str = ""
    token: str = ""
    place_token: str = ""
    in_new_block: bool = False
    """Whether no output was added to its block yet."""

    @property
    def is_output(self) -> bool:
        return self.type is FileType.OUTPUT or self.type is FileType.LOG

    @property
    def is_library(self) -> bool:
        return self.lfn.endswith(LIBRARY)

    @property
    def is_unmerged(self) -> bool:
        """Whether it is an output that another job shall merge with others."""
        return self.is_output and self.place_token == TO_MERGE


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that only its pilot knew of: like file `like` of the job in all but its name; file `like` itself takes the
    name where `seq` is its number."""

    seq: int
    like: int
    lfn: str


def grown(files: Iterable[File], new: Iterable[NewFile]) -> list[File]:
    """The files of a job with its new ones."""
    by_seq = {file.seq: file for file in files}
    for one in new:
        by_seq[one.seq] = replace(by_seq[one.like], seq=one.seq, lfn=one.lfn)
    return list(by_seq.values())


@dataclass(frozen=True, slots=True)
class Upstream:
    """A job that another one waits for: it makes what that one reads, as a build job does, or merges what it made.

    Nothing is known of it while `state` is None. `is_last`: should it fail, nobody tries again. `seqs` are the outputs
    that it merges; None: all, as programs before had it.
    """

    job_id: int
    state: State | None
    is_last: bool = False
    seqs: frozenset[int] | None = None

    def merges(self, file: File) -> bool:
        """Whether it is one that merges this output."""
        return self.seqs is None or file.seq in self.seqs


@dataclass(slots=True)
class Job:
    """One live job. `state` and `version` run ahead of the database while a batch is decided.

    `site` is a PanDA queue, as in the field's own tables. `report` and what belongs to it are loaded only for services
    that need them; so is `metadata`, the payload's own report of a production job. `report_waits`: it was not loaded,
    for there are many long ones. `returns` counts the pilots that were given the job and never spoke of it.
    `closed_blocks` names blocks that the plugin chose for its files and that take none of them, `foreign_blocks` those
    of them that are another experiment's or of another kind. `upstream` is loaded for jobs that wait for others.
    `has_erred`: its pilot reported an error, of its own or of the payload. `no_reassign`: it is not to be submitted
    anew elsewhere because nobody takes it.
    """

    job_id: int
    state: State
    version: int
    attempt_nr: int
    vo: str
    site: str
    label: str
    priority: int
    task_id: int
    destination: str
    command: str | None
    verdict: Verdict | None
    has_report: bool
    deadline_at: datetime
    entered_at: datetime
    created_at: datetime
    heard_at: datetime | None = None
    waits_for: str | None = None
    returns: int = 0
    has_upstream: bool = False
    has_erred: bool = False
    processing_type: str = ""
    special_handling: str = ""
    transfer_type: str = ""
    is_jedis: bool = False
    no_reassign: bool = False
    report: str | None = None
    report_state: str | None = None
    pilot_erred: bool = False
    metadata: str | None = None
    report_waits: bool = False
    files: list[File] = field(default_factory=list)
    upstream: tuple[Upstream, ...] = ()
    closed_blocks: frozenset[str] = frozenset()
    foreign_blocks: frozenset[str] = frozenset()
    forced_kill: bool = False
    stored_version: int = 0

    def __post_init__(self) -> None:
        self.stored_version = self.version

    def awaits_report(self) -> bool:
        """Guard: the pilot declared the state itself and its final report has not come yet."""
        return not self.has_report

    def may_be_handed_out_again(self) -> bool:
        """Guard: its pilot never spoke of it, and it has not come back from too many."""
        was_heard = self.heard_at is not None and self.heard_at > self.entered_at
        return self.returns < HANDED_OUT_AGAIN and not was_heard

    def kill_is_forced(self) -> bool:
        """Guard: the kill does not ask the pilot."""
        return self.forced_kill

    @property
    def kind(self) -> Kind:
        """What its deadlines depend on."""
        return Kind.of(self.label, self.priority, self.task_id, self.processing_type, self.has_report, self.no_reassign)

    @property
    def awaits_last_words(self) -> bool:
        """Whether a pilot has it and owes its last words, so that being heard of counts."""
        on_report = FACTS[self.state].on_report
        return on_report is OnReport.NEWS or (on_report is OnReport.LAST_WORDS and not self.has_report)

    @property
    def libraries(self) -> list[File]:
        """What it reads of build jobs and what must be there before it can be set up."""
        if self.state not in TO_SET_UP:
            return []
        return [f for f in self.files if f.type is FileType.INPUT and f.is_library and f.status not in USABLE_INPUT]

    @property
    def closes_its_blocks(self) -> bool:
        """Whether its destination blocks close once nothing of them is to come: those of JEDI's, and of users
        at home."""
        return self.is_jedis or (self.destination == LOCAL and self.label in USER_LABELS)

    @property
    def outputs(self) -> list[File]:
        return [f for f in self.files if f.is_output]
