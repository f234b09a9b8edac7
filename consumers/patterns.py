"""Matches names against users' regular expressions: in a process apart, for such an expression may run for ever."""

import json
import subprocess
import sys
from collections.abc import Sequence

from panda_fsm.errors import ReportError

LIMIT_S = 5.0
"""For all patterns of a job."""
_PROGRAM = """
import json, re, sys
patterns, names = json.load(sys.stdin)
json.dump([[name for name in names if re.search(pattern, name)] for pattern in patterns], sys.stdout)
"""


def matching(patterns: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """For each pattern those of the names in which it is found. Raises ReportError where it cannot be told in time."""
    if not patterns:
        return []
    question = json.dumps([list(patterns), list(names)])
    try:
        answer = subprocess.run(  # our own program; the pattern is data to it
            [sys.executable, "-I", "-S", "-c", _PROGRAM], input=question, capture_output=True, text=True,
            timeout=LIMIT_S, check=True,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        told = f"{patterns[0]:.100}{' and others' if len(patterns) > 1 else ''}"
        raise ReportError(f"the pattern {told} cannot be compared with the names in the report") from None
    found: list[list[str]] = json.loads(answer.stdout)
    return found
