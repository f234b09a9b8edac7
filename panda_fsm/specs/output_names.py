"""Names of outputs: what the experiment's catalogue could never register is refused with the job."""

from collections.abc import Callable

from panda_fsm.jobs.drafts import PATTERN, FileDraft, JobDraft
from panda_fsm.jobs.names import NameCheck

_ROOM = len("._1999")
"""A payload that writes an output in parts makes files of it that are called <lfn>._1 and so on."""


def refuse_names(job: JobDraft, check: NameCheck, called: Callable[[str], str] = str) -> None:
    """Raises ValueError naming the first output that its experiment's catalogue could never register.

    `called`: what an LFN will be called there.
    """
    for position, file in enumerate(job.files):
        is_to_come = file.type in ("output", "log") and not file.lfn.startswith(PATTERN)
        refusal = _refusal(job.vo, file, called(file.lfn), check) if is_to_come else None
        if refusal is not None:
            raise ValueError(f"file {position}: lfn: {file.lfn!r:.80} {refusal}")


def _refusal(vo: str, file: FileDraft, lfn: str, check: NameCheck) -> str | None:
    """The experiment's own, of the name or of the longest that a pilot makes of an output's."""
    refusal = check(vo, lfn)
    if refusal is not None or file.type != "output":
        return refusal
    refusal = check(vo, lfn + _ROOM * lfn[-1])
    return refusal and f"{refusal}, with {_ROOM} more for the ._<number> that a pilot may add"
