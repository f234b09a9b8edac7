"""A row of the audit, written in the transaction of what it is about."""

from dataclasses import asdict
from typing import Any

from panda_fsm.descriptions import AuditRow
from sql.queries import load
from sql.rows import as_json

WRITE_DOWN = load("audit_rows")["write_down"]


def columns(audit: AuditRow) -> dict[str, Any]:
    """Of WRITE_DOWN."""
    return {**asdict(audit), "detail": as_json(audit.detail)}
