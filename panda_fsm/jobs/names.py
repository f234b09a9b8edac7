"""Which names files may have: what an experiment's catalogue could never register is refused before it is made."""

import re
from collections.abc import Callable
from dataclasses import dataclass

NameCheck = Callable[[str, str], str | None]
"""Of a VO and an LFN, why its experiment's catalogue could never register a file of that name; None if it could."""


@dataclass(frozen=True, slots=True)
class NameRule:
    """An experiment's rule for LFNs: a pattern, the longest, and the pattern in words.

    One that cannot be used cannot be made: others than its experiment would meet it.
    """

    pattern: str
    longest: int
    meaning: str

    def __post_init__(self) -> None:
        if type(self.pattern) is not str or type(self.meaning) is not str:
            raise TypeError("pattern and meaning of a rule for names are texts")
        re.compile(self.pattern)
        if type(self.longest) is not int:
            raise TypeError(f"the longest name has {self.longest!r:.50} characters, which is no whole number")

    def refusal(self, lfn: str) -> str | None:
        """Why a name can never be registered; None if it can."""
        if len(lfn) > self.longest:
            return f"cannot be registered: it is longer than {self.longest} characters"
        if not re.fullmatch(self.pattern, lfn):
            return f"cannot be registered: it must be of {self.meaning}"
        return None


def any_name(_vo: str, _lfn: str) -> None:
    """Where there are no experiments to ask."""
