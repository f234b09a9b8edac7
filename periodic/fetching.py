"""Asks a source over HTTP, or looks at its file: what it says now, or that it says what it said before.

Every request has an end: in seconds as a whole, however slowly it drips, and in bytes, however well they are packed.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from panda_fsm.errors import PandaError
from panda_fsm.information.sources import Said, Source, Stamp
from panda_fsm.messages import cut

_MOST_REDIRECTS = 5
_LONGEST_MARK = 1000


class SourceError(PandaError):
    """A source cannot be asked, or does not answer with a document; the message says why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take as a whole, how long nothing may come of it, and how much there may be of it."""

    limit_s: float = 60.0
    silence_s: float = 15.0
    most_bytes: int = 100_000_000


def fetch(source: Source, stamp: Stamp | None, patience: Patience) -> Said | None:
    """What it says; None: what it said when it gave the stamp. Raises SourceError."""
    try:
        if source.is_page:
            return _asked(source.place, stamp, patience)
        return _looked_at(Path(source.place), stamp, patience)
    except httpx.TimeoutException:
        raise SourceError(f"no answer within {patience.silence_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise SourceError(cut(f"it cannot be asked: {str(error) or type(error).__name__}", 500)) from None


def _looked_at(path: Path, stamp: Stamp | None, patience: Patience) -> Said | None:
    with path.open("rb") as file:
        content = file.read(patience.most_bytes + 1)
    if len(content) > patience.most_bytes:
        raise _too_large(patience)
    now = Stamp(etag=hashlib.sha256(content).hexdigest())
    return None if now == stamp else Said(content, now)


def _asked(url: str, stamp: Stamp | None, patience: Patience) -> Said | None:
    until = time.monotonic() + patience.limit_s
    headers = {"Accept": "application/json", "User-Agent": "panda-fsm"}
    if stamp is not None:
        known = {"If-None-Match": stamp.etag, "If-Modified-Since": stamp.modified}
        headers |= {name: value for name, value in known.items() if value}
    # Only http and https: this library follows a redirect to nothing else.
    client = httpx.Client(timeout=patience.silence_s, follow_redirects=True, max_redirects=_MOST_REDIRECTS)
    with client, client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.NOT_MODIFIED and stamp is not None:
            return None
        if answer.status_code != httpx.codes.OK:
            raise SourceError(f"it answers {answer.status_code} {answer.reason_phrase}".strip())
        if "," in answer.headers.get("content-encoding", ""):
            raise SourceError("it is packed more than once: what a piece becomes has no bounds")
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > patience.most_bytes:
                raise _too_large(patience)
            if time.monotonic() > until:
                raise SourceError(f"its answer takes longer than {patience.limit_s:g} s")
        return Said(bytes(content), Stamp(_mark(answer, "etag"), _mark(answer, "last-modified")))


def _mark(answer: httpx.Response, header: str) -> str | None:
    """What can be sent back as it came."""
    found = answer.headers.get(header)
    return found if found is not None and found.isascii() and len(found) <= _LONGEST_MARK else None


def _too_large(patience: Patience) -> SourceError:
    return SourceError(f"it has more than {patience.most_bytes // 1_000_000} MB")
