"""What a pilot is told with the answer to its report: one text, a comma behind `debug` (docs/semantics.md §3.4)."""

import re

from panda_fsm.jobs.kills import TO_BE_KILLED

DEBUG = "debug"
"""Stays, and is said with every answer: a job that went to another pilot is in debug mode there too."""
SOFT_KILL = "softkill"
"""Stays until somebody takes it back: to hear it twice is to hear it once."""
FREE = ("tail", "ls", "ps", "du", "gdb")
"""Are run by the pilot with what stands behind them, for each report from then on until it hears something else; so
they are said once, and `debug` with the next answer takes their place."""
LONGEST = 250
_ARGUMENTS_ARE = "arguments are letters, digits, blanks and any of _ . / % : = + @ * ~ ' \" -"
_ARGUMENTS = re.compile(r"[\w ./%:=+@*~'\"-]+", re.ASCII)
"""Pilots hand some of them to a shell, and with their own rights: nothing in them may mean anything to it. The comma is
ours."""


def refusal(command: str) -> str | None:
    """Why this is no command for a pilot, None if it is one."""
    first, _, rest = command.partition(" ")
    if command == SOFT_KILL:
        return None
    if first not in FREE:
        return f"must be {SOFT_KILL}, or begin with one of {', '.join(FREE)}"
    if len(command) > LONGEST:
        return f"longer than {LONGEST} characters"
    if not rest.strip():
        return f"{first} needs an argument"
    if TO_BE_KILLED in command:
        return f"{TO_BE_KILLED} would end the job wherever it stands"
    return None if _ARGUMENTS.fullmatch(rest) else _ARGUMENTS_ARE


def is_debugged(told: str | None) -> bool:
    """Whether this puts a pilot into debug mode."""
    return told is not None and told.partition(",")[0] == DEBUG


def besides_debug(told: str | None) -> str | None:
    """The command in it, None if there is none."""
    if told is None or not is_debugged(told):
        return told
    return told.partition(",")[2] or None


def said_once(told: str | None) -> str | None:
    """The command in it that is not to be said again."""
    if told is None or " " not in told:  # nearly always
        return None
    return besides_debug(told)


def changed(told: str | None, command: str | None = None, debug: bool | None = None) -> str:
    """What is told from now on, "" for nothing; of both None: as it was. "" takes a command back."""
    kept = besides_debug(told) if command is None else command or None
    is_on = is_debugged(told) if debug is None else debug
    return ",".join(filter(None, (DEBUG if is_on else None, kept)))


def without(told: str | None, said: str | None) -> str | None:
    """What is told once the pilot was told `said`; None: nothing changes, for it is not that any more."""
    if said is None or said_once(told) != said:
        return None
    return changed(told, "")


def for_last_words(told: str | None) -> str | None:
    """What is told a pilot whose job is over: to stop, if it must; nothing else makes sense any more."""
    return told if told == TO_BE_KILLED else None
