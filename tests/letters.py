"""Dead letters as tests need them: laid into the table, as a service would have buried them."""

from __future__ import annotations

import json
from typing import Any

from panda_fsm.trouble import fingerprint
from tests.driver import Database

_BURY = """INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, error, fingerprint, at)
    VALUES (%s, 'panda.requests', %s, %s, %s, %s, %s, %s, now() - make_interval(secs => %s))
    RETURNING dead_letter_id"""


def bury(
    database: Database,
    body: bytes,
    reason: str = "it cannot be",
    queue: str = "watcher",
    key: str = "kill",
    headers: dict[str, str] | None = None,
    error: str | None = None,
    age_s: float = 0,
) -> int:
    """A dead letter; returns its number."""
    values: Any = (queue, key, body, json.dumps(headers or {}), reason, error, fingerprint(queue, reason), age_s)
    return int(database.value(_BURY, values))
