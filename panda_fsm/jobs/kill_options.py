"""The options of a kill: two that mean something, and what else is said to people."""

from collections.abc import Iterable
from dataclasses import dataclass

from panda_fsm.messages.users import SUB_STATUS_CHARACTERS

_SUB_STATUS, _KEEP_UNMERGED = "jobSubStatus=", "keepUnmerged"


@dataclass(frozen=True, slots=True)
class KillOptions:
    """`sub_status`: the one that the jobs are to have, by the last option that says so. `keep_unmerged`: whether jobs
    whose outputs these were to merge shall wait for others. `remarks`: what the options say to people."""

    sub_status: str | None
    keep_unmerged: bool | None
    remarks: list[str]

    @classmethod
    def of(cls, options: Iterable[str | None]) -> "KillOptions":
        """What these options mean."""
        said = [option for option in options if option]
        wanted = [option[len(_SUB_STATUS) :] for option in said if option.startswith(_SUB_STATUS)]
        remarks = [option for option in said if option != _KEEP_UNMERGED and not option.startswith(_SUB_STATUS)]
        sub_status = (wanted[-1][:SUB_STATUS_CHARACTERS] or None) if wanted else None
        return cls(sub_status, _KEEP_UNMERGED in said or None, remarks)
