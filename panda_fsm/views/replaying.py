"""The dry run: what would become of dead letters that were replayed now, told by their jobs' states and the tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from panda_fsm.bindings import FOREIGN, bindings
from panda_fsm.blocks.table import CLOSED_AFTER
from panda_fsm.errors import NewerSchemaError, UnreadableError
from panda_fsm.jobs.commands import COMMANDS, Answer
from panda_fsm.jobs.facts import FACTS, FINAL
from panda_fsm.jobs.states import Phase, State
from panda_fsm.jobs.table import ILLEGAL, TABLE
from panda_fsm.messages import (
    AnyMessage,
    BlockClosed,
    CheckBlock,
    DeadlinePassed,
    FilesArrived,
    FilesFailed,
    JobEvent,
    OutputsAdded,
    PilotReport,
    SettleBlock,
    SubmitJobs,
    TransferRequested,
    decode,
)
from panda_fsm.status_queues import STATUS
from panda_fsm.views.words import counted

MOST_JUDGED = 1000
"""Letters of a group that a dry run looks at: then it is "at least"."""
MOST_JOBS = 100
"""Jobs of one letter that it asks about."""
_OF_THE_ENDED = frozenset(CLOSED_AFTER.split())
"""What is said of jobs that have ended, or will have: the Closer looks at their blocks."""
_ABOUT_BLOCKS = (FilesArrived, FilesFailed, TransferRequested, CheckBlock, SettleBlock, BlockClosed)


class Prospect(Enum):
    """What a replay of a letter would do; the value tells one of them, and many."""

    APPLIES = ("would apply", "would apply")
    ASKED = ("goes back to who reads it as it came", "go back to who reads them as they came")
    FINAL = ("job is final already", "jobs are final already")
    LATE = ("comes too late to change anything", "come too late to change anything")
    UNKNOWN = ("is about what nobody knows", "are about what nobody knows")
    REFUSED = ("would be refused again", "would be refused again")
    NEWER = ("is for a newer program: it stays", "are for a newer program: they stay")
    UNREADABLE = ("cannot be read: it stays", "cannot be read: they stay")

    @property
    def is_sent(self) -> bool:
        """Whether a replay sends it at all."""
        return self not in (Prospect.NEWER, Prospect.UNREADABLE)

    def told(self, count: int) -> str:
        """So many of them, in words."""
        return counted(count, *self.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands; `state` is None once it is archived."""

    state: State | None
    version: int = 0
    attempt_nr: int = 0
    has_report: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be expected of one letter, and why."""

    letter_id: int
    prospect: Prospect
    why: str


@dataclass(slots=True)
class DryRun:
    """What would become of the letters that are meant; `is_whole` is False where there are more than were looked at."""

    judged: list[Judgement] = field(default_factory=list)
    is_whole: bool = True

    @property
    def counts(self) -> Mapping[Prospect, int]:
        """How many of each, in the order of the table."""
        found = Counter(one.prospect for one in self.judged)
        return {prospect: found[prospect] for prospect in Prospect if found[prospect]}

    @property
    def eligible(self) -> int:
        """How many a replay would send."""
        return sum(one.prospect.is_sent for one in self.judged)

    @property
    def exceptions(self) -> Sequence[Judgement]:
        """Those that would not just apply."""
        return [one for one in self.judged if one.prospect not in (Prospect.APPLIES, Prospect.ASKED)]

    @property
    def sentence(self) -> str:
        """All of it in words."""
        told = ", ".join(prospect.told(count) for prospect, count in self.counts.items())
        if not self.is_whole:
            return f"of the first {len(self.judged):,}: {told}"
        return told or "no letter is open that is meant"


@dataclass(slots=True)
class Read:
    """A letter's body, read: the message, or what was judged because there is none."""

    letter_id: int
    queue: str
    message: AnyMessage | None
    judged: Judgement | None = None

    @property
    def job_ids(self) -> Sequence[int]:
        """The jobs that it is about, or would create; the first of very many."""
        if isinstance(self.message, SubmitJobs):
            return [job.job_id for job in self.message.jobs[:MOST_JOBS]]
        return self.message.job_ids[:MOST_JOBS] if self.message is not None else ()

    @property
    def block(self) -> str:
        """The block that it is about; "" for none."""
        return self.message.block if isinstance(self.message, _ABOUT_BLOCKS) else ""


def read(letter_id: int, queue: str, body: bytes) -> Read:
    """What is in a letter that lay in this queue."""
    if queue in FOREIGN:
        why = f"{queue} reads it in its own way, and answers who sent it"
        return Read(letter_id, queue, None, Judgement(letter_id, Prospect.ASKED, why))
    try:
        return Read(letter_id, queue, decode(body))
    except NewerSchemaError as error:
        prospect, why = Prospect.NEWER, str(error)
    except UnreadableError as error:
        prospect, why = Prospect.UNREADABLE, str(error)
    if queue.startswith(f"{STATUS}."):
        why = "it was to tell JEDI of a job: JEDI asks for that by its own message `replay`"
    return Read(letter_id, queue, None, Judgement(letter_id, prospect, why))


def judge(letter: Read, jobs: Mapping[int, Standing], blocks: Mapping[str, Sequence[int]]) -> Judgement:
    """What a replay of it would do now; of what it is about, the jobs that exist, and the blocks with their jobs."""
    message = letter.message
    if letter.judged is not None or message is None:
        return letter.judged or Judgement(letter.letter_id, Prospect.UNREADABLE, "")
    return Judgement(letter.letter_id, *_expected(letter, message, jobs, blocks))


def _expected(
    letter: Read, message: AnyMessage, jobs: Mapping[int, Standing], blocks: Mapping[str, Sequence[int]]
) -> tuple[Prospect, str]:
    keys, key, queue = bindings(), message.routing_key, letter.queue
    if queue in keys and key not in keys[queue]:
        return Prospect.REFUSED, f"{queue} takes no {key}"
    if not any(key in each for each in keys.values()):
        return Prospect.LATE, f"no service waits for {key}"
    if isinstance(message, SubmitJobs):
        new = [job_id for job_id in letter.job_ids if job_id not in jobs]
        return (Prospect.APPLIES, f"job {new[0]} is new") if new else (Prospect.LATE, "its jobs are there already")
    if letter.block and letter.block not in blocks:
        return Prospect.UNKNOWN, f"no block {letter.block}"
    if letter.block:
        what = Prospect.APPLIES, f"block {letter.block} is there"
        if not isinstance(message, FilesArrived | FilesFailed):
            return what
        found = [_of_job(message, job_id, jobs.get(job_id)) for job_id in blocks[letter.block]]
        return _first(found) if found else (Prospect.LATE, f"no live job has files in {letter.block}")
    return _first(_of_job(message, job_id, jobs.get(job_id)) for job_id in letter.job_ids)


_BY_WEIGHT = (Prospect.APPLIES, Prospect.REFUSED, Prospect.UNKNOWN, Prospect.LATE, Prospect.FINAL)


def _first(found: Iterable[tuple[Prospect, str]]) -> tuple[Prospect, str]:
    """Of several jobs: that it would apply to one counts, then what would make it a dead letter again."""
    return min(found, key=lambda one: _BY_WEIGHT.index(one[0]))


def _of_job(message: AnyMessage, job_id: int, job: Standing | None) -> tuple[Prospect, str]:
    if job is None:
        return Prospect.UNKNOWN, f"no job {job_id}"
    state, key = job.state, message.routing_key
    told = Prospect.APPLIES, f"job {job_id} is {state or 'in the archive'}"
    if key in _OF_THE_ENDED:
        return told
    if state is None or state in FINAL:
        return Prospect.FINAL, told[1]
    if _is_past(message, job):
        return Prospect.LATE, f"job {job_id} went on to {state}"
    for command in COMMANDS:
        if key in command.on:
            return told if command.answer(FACTS[state].phase) is Answer.ACT else (Prospect.LATE, told[1])
    rows = [one for one in TABLE if key in one.on]
    if any(state in one.sources for one in rows):
        return told
    impossible = [one.trigger for one in rows if state in ILLEGAL[one.trigger]]
    if impossible and len(impossible) == len(rows):
        return Prospect.REFUSED, f"{impossible[0]} is not possible in state {state}"
    return Prospect.LATE, told[1]


def _is_past(message: AnyMessage, job: Standing) -> bool:
    """Whether it speaks of the job as it is no more."""
    match message:
        case JobEvent() | DeadlinePassed():
            return (message.state, message.version) != (job.state, job.version)
        case OutputsAdded():
            return message.version != job.version
        case PilotReport():
            is_done = job.has_report and job.state is not None and FACTS[job.state].phase is Phase.POST_PROCESSING
            return is_done or message.attempt_nr not in (None, job.attempt_nr)
    return False
