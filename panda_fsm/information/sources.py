"""Where information comes from, and what is remembered of a source between two times that it is asked."""

import re
from dataclasses import dataclass

from panda_fsm.information.models import Kind
from panda_fsm.information.reading import READING, Read, read_cric, read_file

FILE = "file"
CONFIGURATOR = "configurator"
"""Who changes what sources say."""
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


@dataclass(frozen=True, slots=True)
class Source:
    """A document somewhere. `kind`: what it is about, as CRIC has it; None: a sites file with everything."""

    name: str
    place: str
    kind: Kind | None = None

    @property
    def is_page(self) -> bool:
        """It is asked over HTTP; else its file is read."""
        return self.place.lower().startswith(("http://", "https://"))

    @property
    def shown_place(self) -> str:
        """Without what only those may know who ask there."""
        return _CREDENTIALS.sub("", self.place) if self.is_page else self.place

    def read(self, content: bytes) -> Read:
        """What it says. Raises UnreadableSourceError."""
        return read_file(content) if self.kind is None else read_cric(self.kind, content)


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a source marks what it said last, to be sent back to it."""

    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a source says."""

    content: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Remembered:
    """Of the last time. `is_clean`: all of it was taken; else it is read again though nothing is new."""

    place: str
    reading: int
    stamp: Stamp
    may_remove: bool = False
    is_clean: bool = True

    def stamp_for(self, source: Source) -> Stamp | None:
        """What is sent back; None: whatever it says is read anew."""
        is_the_same = self.place == source.shown_place and self.reading == READING
        return self.stamp if is_the_same and self.is_clean and not self.may_remove else None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of what a source said. `refused`: why nothing of it was done."""

    put: int
    gone: int
    rejected: int
    refused: str | None = None
