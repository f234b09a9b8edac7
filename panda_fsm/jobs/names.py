"""Which names files may have: what an experiment's catalogue could never register is refused before it is made."""

import string
from collections.abc import Callable
from dataclasses import dataclass

NameCheck = Callable[[str, str], str | None]
"""Of a VO and an LFN, why its experiment's catalogue could never register a file of that name; None if it could."""
LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_LONGEST_MEANING = 256


@dataclass(frozen=True, slots=True)
class NameRule:
    """An experiment's rule for LFNs: the characters that they may have, the longest, and the rule in words; with
    `begins`, those that the first may be.

    It is no pattern, for those that take for ever are easily written, and it is asked where others would wait. One that
    cannot be used cannot be made: others than its experiment would meet it.
    """

    characters: str
    longest: int
    meaning: str
    begins: str = ""

    def __post_init__(self) -> None:
        if any(type(text) is not str for text in (self.characters, self.meaning, self.begins)):
            raise TypeError("characters, beginnings and meaning of a rule for names are texts")
        if len(self.meaning) > _LONGEST_MEANING or not self.meaning.isprintable():
            raise ValueError("the meaning of a rule for names cannot be shown")
        if type(self.longest) is not int:
            raise TypeError(f"the longest name has {self.longest!r:.50} characters, which is no whole number")

    def refusal(self, lfn: str) -> str | None:
        """Why a name can never be registered; None if it can."""
        if len(lfn) > self.longest:
            return f"cannot be registered: it is longer than {self.longest} characters"
        if lfn.strip(self.characters) or not lfn or lfn[0] not in (self.begins or self.characters):
            return f"cannot be registered: it must be of {self.meaning}"
        return None


def any_name(_vo: str, _lfn: str) -> None:
    """Where there are no experiments to ask."""
