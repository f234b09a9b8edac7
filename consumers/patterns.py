"""Matches names against users' regular expressions: in a process apart, for such an expression may run for ever."""

import json
import subprocess
import sys
from collections.abc import Sequence

from panda_fsm.errors import ReportError

LIMIT_S = 5.0
_PROGRAM = """
import json, re, sys
pattern, names = json.load(sys.stdin)
json.dump([name for name in names if re.search(pattern, name)], sys.stdout)
"""


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Those of the names in which the pattern is found. Raises ReportError where it cannot be told in time."""
    question = json.dumps([pattern, list(names)])
    try:
        answer = subprocess.run(  # our own program; the pattern is data to it
            [sys.executable, "-I", "-S", "-c", _PROGRAM], input=question, capture_output=True, text=True,
            timeout=LIMIT_S, check=True,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise ReportError(f"the pattern {pattern:.100} cannot be compared with the names in the report") from None
    found: list[str] = json.loads(answer.stdout)
    return found
