"""What a pilot is told with the answer to its report: one text, a comma behind `debug` (docs/semantics.md §3.4)."""

import re
import shlex

from panda_fsm.jobs.kills import TO_BE_KILLED

DEBUG = "debug"
"""Stays, and is said with every answer: a job that went to another pilot is in debug mode there too."""
SOFT_KILL = "softkill"
"""Stays until somebody takes it back: to hear it twice is to hear it once. It stands alone: a pilot that hears `debug`
with it sees only the one, and one that hears `debug` later forgets the other."""
FREE = ("tail", "ls", "ps", "du", "gdb")
"""Are run by the pilot with what stands behind them, for each report from then on until it hears something else; so
they are said with two answers, for the first may be lost, and `debug` with the next one takes their place."""
LONGEST = 250
_ARGUMENTS_ARE = "arguments are letters, digits, blanks and any of _ . / % : = + @ * ' \" -"
_ARGUMENTS = re.compile(r"[\w ./%:=+@*'\"-]+", re.ASCII)
"""Pilots hand some of them to a shell, and with their own rights: nothing in them may mean anything to it. The comma is
ours: at the end it says that a pilot was told once."""
_SAID = ","
_ELSEWHERE = re.compile(r"""['"]*/|.*\.\.|(.*/)?['"]*\.[^/]*\*|-.*/""")
"""Leads out of the directory of the job, where the pilot has its credentials: `.*` finds `..` too."""
_NEVER = {
    "tail": (re.compile(r"-[^-]*[fF]|--[fr]|-$"), "tail would not end"),
    "du": (re.compile(r"--f"), "du reads no names from files"),
    "ps": (re.compile(r"(?!-).*e|.*environ"), "ps shows no environments: what has no dash is taken for options"),
}
_PROCESS = re.compile(r"(-p|--pid) [0-9]+|--pid %")
_GDB_BATCH = frozenset(("-batch", "--batch"))
_GDB_QUIET = _GDB_BATCH | {"-nx", "--nx", "-q"}
_GDB_RUNS = frozenset(
    (
        *("generate-core-file", "gcore", "info threads", "info registers", "info sharedlibrary", "where"),
        *(f"{of}{trace}{full}" for of in ("", "thread apply all ") for trace in ("bt", "backtrace")
          for full in ("", " full")),
    )
)  # fmt: skip
_GDB_TAKES = "gdb takes -batch, --pid % or -p NUMBER, and -ex with bt, generate-core-file and their like"


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
    return _wrong_arguments(first, rest) if _ARGUMENTS.fullmatch(rest) else _ARGUMENTS_ARE


def _wrong_arguments(first: str, rest: str) -> str | None:
    """What speaks against them, as a shell and as a pilot takes them apart: it splits at blanks, whatever is quoted."""
    try:
        words = shlex.split(rest)
    except ValueError:
        return "a quote is not closed"
    if first == "gdb":
        return None if _is_harmless_gdb(words) else _GDB_TAKES
    never, why_not = _NEVER.get(first, (None, None))
    for word in (*words, *rest.split(" ")):
        if _ELSEWHERE.match(word):
            return "paths begin in the directory of the job, and do not lead out of it"
        if never is not None and never.match(word):
            return why_not
    return None


def _is_harmless_gdb(words: list[str]) -> bool:
    """Whether it looks at one process and ends by itself: gdb can run any program."""
    processes, rest = 0, iter(words)
    for word in rest:
        if word in ("-p", "--pid"):
            processes += 1
            if not _PROCESS.fullmatch(f"{word} {next(rest, '')}"):
                return False
        elif word in ("-ex", "--ex"):
            if next(rest, "") not in _GDB_RUNS:
                return False
        elif word not in _GDB_QUIET:
            return False
    return processes == 1 and not _GDB_BATCH.isdisjoint(words)


def is_debugged(told: str | None) -> bool:
    """Whether this puts a pilot into debug mode."""
    return told is not None and told.partition(",")[0] == DEBUG


def besides_debug(told: str | None) -> str | None:
    """The command in it, None if there is none."""
    if told is None:
        return None
    return _kept(told).removesuffix(_SAID) or None


def spoken(told: str) -> str:
    """What goes out: how often it was said is nothing for pilots."""
    return told.removesuffix(_SAID)


def said_twice(told: str | None) -> str | None:
    """The command in it that is not to be said again and again, and whether it was said before."""
    if told is None or " " not in told:  # nearly always
        return None
    return _kept(told)


def _kept(told: str) -> str:
    return told.partition(",")[2] if is_debugged(told) else told


def changed(told: str | None, command: str | None = None, debug: bool | None = None) -> str:
    """What is told from now on, "" for nothing; of both None: as it was. "" takes a command back."""
    kept = besides_debug(told) if command is None else command or None
    if kept == SOFT_KILL:
        return kept
    is_on = is_debugged(told) if debug is None else debug
    return ",".join(filter(None, (DEBUG if is_on else None, kept)))


def without(told: str | None, said: str | None) -> str | None:
    """What is told once the pilot was told `said`: the same once more, then no more of it.

    None: nothing changes, for it is not that any more, or a message came again.
    """
    if told is None or said is None or said_twice(told) != said:
        return None
    return changed(told, "") if said.endswith(_SAID) else told + _SAID


def for_last_words(told: str | None) -> str | None:
    """What is told a pilot whose job is over: to stop, if it must; nothing else makes sense any more."""
    return told if told == TO_BE_KILLED else None
