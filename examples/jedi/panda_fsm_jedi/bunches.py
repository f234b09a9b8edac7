"""Bodies of messages: compact JSON without nulls, packed, and jobs in bunches that the server takes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_JOBS = 500
MOST_BYTES = 1024 * 1024
"""Limits of one submission, as JSON before it is packed."""
MOST_IDS = 1000
"""PandaIDs in a request that lists them."""
MOST_RESERVED = 5000
_WORTH_PACKING = 1024
_MAGIC = b"\x1f\x8b"


def encode(document: Mapping[str, Any]) -> bytes:
    """Compact JSON; None is left out of objects, whatever their depth."""
    return json.dumps(_without_nulls(document), separators=(",", ":")).encode()


def pack(body: bytes) -> tuple[bytes, str | None]:
    """The body as it is sent, and its content encoding: gzip, unless it is small."""
    if len(body) < _WORTH_PACKING:
        return body, None
    return gzip.compress(body, compresslevel=5), "gzip"


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object of a body, packed or not. Raises ValueError: there is none."""
    try:
        document = json.loads(gzip.decompress(body) if body.startswith(_MAGIC) else body)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"a body that cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"a body that is no JSON object: {str(document)[:80]}")
    return document


def bunches(jobs: Sequence[Mapping[str, Any]], beside: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The jobs in order, at most 500 at a time and as many as fit; `beside` is what the rest of the message takes.

    Raises ValueError for a job that fits into no message.
    """
    first, octets = 0, beside
    for place, job in enumerate(jobs):
        size = len(encode(job)) + 1
        if size + beside > MOST_BYTES:
            raise ValueError(
                f"job {job.get('PandaID') or job.get('jobName')} takes {size} bytes, too many for a message"
            )
        if place - first == MOST_JOBS or octets + size > MOST_BYTES:
            yield jobs[first:place]
            first, octets = place, beside
        octets += size
    if first < len(jobs):
        yield jobs[first:]


def _without_nulls(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _without_nulls(part) for name, part in value.items() if part is not None}
        case list() | tuple():
            return [_without_nulls(part) for part in value]
    return value
