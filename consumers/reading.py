"""Reads a job's last words: which files they settle, and what is wrong with them (docs/semantics.md §3.6)."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from consumers.patterns import matching
from panda_fsm.codes import DdmCode
from panda_fsm.errors import ReportError
from panda_fsm.jobs.drafts import PATTERN
from panda_fsm.jobs.job import File, Job, NewFile, grown
from panda_fsm.jobs.metadata import NOTHING, written
from panda_fsm.jobs.names import NameCheck
from panda_fsm.jobs.report import OutputFile, parse_report, printable
from panda_fsm.jobs.states import USER_LABELS, FileStatus, FileType
from panda_fsm.outcomes import FileChange
from panda_fsm.plans import Go, Later, Plan

ALLOW_NO_OUTPUT = "an"
MOST_FILES = 2000
"""Files of a job, those that only its pilot knew of included."""
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\\\,.][^\x00-\x1f\x7f/\\\\,]{0,255}")
_NUMBER = re.compile(r"_[0-9]+\Z")
_LONGEST_NAME = 256
_NOT_ASKED = Later("the plugin was not asked")
TAKES_LONG = Later("the reports of others take long")
"""The plan of a job whose report is not read now."""


@dataclass(slots=True)
class Reading:
    """A job's report, read: the job with the files that there really are, what was stored, the files settled by that
    alone, and what is wrong, if anything.

    `unreadable`: nothing of it could be read, which is no news where the pilot said itself what went wrong. `code`: the
    DDM's error, where it is a certain one. `events`: how many are in an output, by its number. `plan` is the plugin's,
    which is asked where nothing is wrong and the pilot succeeded; `log_plan` is its answer about the log of a job that
    fails, if there is one to keep.
    """

    job: Job
    stored: dict[str, OutputFile] = field(default_factory=dict)
    new_files: tuple[NewFile, ...] = ()
    settled: list[FileChange] = field(default_factory=list)
    wrong: str | None = None
    unreadable: bool = False
    code: int = 0
    events: dict[str, int] = field(default_factory=dict)
    plan: Plan = _NOT_ASKED
    log_plan: Plan | None = None

    @property
    def is_good(self) -> bool:
        return self.wrong is None and self.job.report_state != "failed"

    @property
    def is_put_off(self) -> bool:
        """Whether nothing is known yet of what the report says."""
        return self.plan is TAKES_LONG and self.wrong is None

    @property
    def log(self) -> dict[str, OutputFile]:
        """The log, if the pilot stored it and said all that must be known of it."""
        logs = {file.lfn for file in self.job.outputs if file.type is FileType.LOG}
        return {lfn: self.stored[lfn] for lfn in logs & self.stored.keys() if self.stored[lfn].is_whole}


def read(job: Job, check: NameCheck) -> Reading:
    """Read the job's stored report; `check` knows which names can be registered."""
    reading = Reading(job)
    if job.report_state != "failed" and not job.outputs:
        return reading  # nothing was to be stored
    try:
        reading.stored = parse_report(job.report)
    except ReportError as error:
        reading.wrong, reading.unreadable = str(error), True
        return reading
    if job.report_state == "failed":
        return reading
    try:
        _take_names(reading, check)
    except ReportError as error:
        reading.wrong = str(error)
        return reading
    by_name = written(job.metadata)
    for file in reading.job.files:
        _settle(file, reading, by_name.get(file.lfn, NOTHING).guid)
    reading.events = {
        str(file.seq): one.events
        for file in reading.job.outputs
        if (one := by_name.get(file.lfn)) is not None and one.events is not None
    }
    return reading


def has_patterns(job: Job) -> bool:
    """Whether it may take seconds to read."""
    return any(map(_is_pattern, job.outputs))


def failed_files(reading: Reading) -> list[FileChange]:
    """Of a failed job only the log is kept, as its plugin registered it."""
    plan = reading.log_plan
    kept = {c.seq: c for c in plan.files if c.status is FileStatus.READY} if isinstance(plan, Go) else {}
    return [kept.get(file.seq, FileChange(file.seq, FileStatus.FAILED)) for file in reading.job.outputs]


def _take_names(reading: Reading, check: NameCheck) -> None:
    """Give the job the files that its pilot named: instead of, or beside, those that were declared.

    Raises ReportError for a name that belongs to none of them, or that can never be registered.
    """
    job, stored = reading.job, reading.stored
    declared = {file.lfn for file in job.files}
    if stored.keys() <= declared and not any(one.full_lfn for one in stored.values()):
        return  # as always, but for a few
    stored = reading.stored = _by_present_names(job, stored, declared)
    undeclared = stored.keys() - declared
    if len(undeclared) > MOST_FILES:
        raise _too_many(len(job.files) + len(undeclared))
    new = _new_files(job, stored, sorted(undeclared))
    files = grown(job.files, new.values())
    if len(files) > MOST_FILES:
        raise _too_many(len(files))
    full = {lfn: one.full_lfn for lfn, one in stored.items() if lfn != one.full_lfn and _NAME.fullmatch(one.full_lfn)}
    for file in files:
        if file.is_output and file.lfn in full:
            new[file.seq] = replace(new.get(file.seq, NewFile(file.seq, file.seq, "")), lfn=full[file.lfn])
    if new:
        files = grown(job.files, new.values())
        _refuse_names(job.vo, new.values(), files, check)
        reading.stored = {full.get(lfn, lfn): one for lfn, one in stored.items()}
        reading.job, reading.new_files = replace(job, files=files), tuple(new.values())


def _by_present_names(job: Job, stored: Mapping[str, OutputFile], declared: Set[str]) -> dict[str, OutputFile]:
    """What was stored, under full names where the job was looked at before and its outputs have them already.

    Raises ReportError for a full name that is another file's: who came to it first would depend on how often one looks.
    """
    outputs = {file.lfn for file in job.outputs}
    present: dict[str, OutputFile] = {}
    for lfn, one in stored.items():
        name, full = lfn, one.full_lfn
        if lfn in declared:
            is_taken = full != lfn and full in declared
        elif full in outputs:
            name, is_taken = full, full in stored or full in present
        else:
            is_taken = False
        if is_taken:
            raise ReportError(f"two files would be called {full}")
        present[name] = one
    return present


def _new_files(job: Job, stored: Mapping[str, OutputFile], undeclared: list[str]) -> dict[int, NewFile]:
    """By its number, each file that only the pilot knew of; the first of a family takes the declared one's place."""
    free = max(file.seq for file in job.files) + 1
    new: dict[int, NewFile] = {}
    for file, names in _families(job.outputs, undeclared):
        taken = file.lfn in stored
        for name in names:
            seq = free if taken else file.seq
            new[seq] = NewFile(seq, file.seq, name)
            free, taken = free + taken, True
    return new


def _refuse_names(vo: str, new: Collection[NewFile], files: Sequence[File], check: NameCheck) -> None:
    """Raises ReportError for new names that can never be registered, and for those that another file has."""
    for one in new:
        refusal = check(vo, one.lfn)
        if refusal is not None:
            raise ReportError(f"{printable(one.lfn)} {refusal}")
    times = Counter(file.lfn for file in files if file.is_output)
    inputs = {file.lfn for file in files if not file.is_output}
    for one in new:
        if times[one.lfn] > 1 or one.lfn in inputs:
            raise ReportError(f"two files would be called {one.lfn}")


def _too_many(files: int) -> ReportError:
    return ReportError(f"the report makes it {files} files, more than the {MOST_FILES} that a job may have")


def _families(outputs: Sequence[File], names: list[str]) -> list[tuple[File, list[str]]]:
    """For each declared output the names that were not: `<lfn>._1`, or what its pattern matches."""
    if not names:
        return []
    families: list[tuple[File, list[str]]] = []
    patterns = [file.lfn.removeprefix(PATTERN) for file in outputs if _is_pattern(file)]
    matches = iter(matching(patterns, names))
    numbered: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for base in _numbered(name):
            numbered[base].append(name)
    left = dict.fromkeys(names)
    for file in outputs:
        candidates = next(matches) if _is_pattern(file) else numbered.get(file.lfn, [])
        found = [name for name in candidates if name in left]
        if found:
            families.append((file, found))
            for name in found:
                del left[name]
    if left:
        raise ReportError(f"{printable(next(iter(left)))} is not an output of the job")
    unusable = [name for _, found in families for name in found if not _NAME.fullmatch(name)]
    if unusable:
        raise ReportError(f"{printable(unusable[0]):.100} cannot be the name of a file")
    return families


def _numbered(name: str) -> Iterator[str]:
    """The outputs that a file of this name may be one of: what is left of it without `._<number>`, of any dots."""
    number = _NUMBER.search(name) if len(name) <= _LONGEST_NAME else None
    if number is None:
        return
    end = number.start()
    yield name[:end]
    while name[:end].endswith("."):
        end -= 1
        yield name[:end]


def _is_pattern(file: File) -> bool:
    return file.lfn.startswith(PATTERN)


def _settle(file: File, reading: Reading, guid: str) -> None:
    """Files that the report settles by what it lists or leaves out. `guid`: what the payload wrote into the file."""
    stored = reading.stored.get(file.lfn)
    if not file.is_output:
        if stored is not None and file.type is FileType.INPUT:
            status = FileStatus.SKIPPED if reading.job.label in USER_LABELS else FileStatus.FAILED
            reading.settled.append(FileChange(file.seq, status))
    elif stored is None:
        if ALLOW_NO_OUTPUT in file.token.split(","):
            reading.settled.append(FileChange(file.seq, FileStatus.NO_OUTPUT))
        else:
            reading.wrong = f"{file.lfn} is missing in the pilot's report"
    elif stored.fault:
        reading.wrong = stored.fault
    elif stored.size is None:
        reading.wrong = f"{file.lfn} has no size in the pilot's report"
    elif not stored.checksum:
        reading.wrong = f"{file.lfn} has no checksum in the pilot's report"
    elif guid and stored.guid and guid.upper() != stored.guid.upper():
        reading.wrong, reading.code = f"{file.lfn} has another GUID in the job report than in the pilot's", DdmCode.GUID
