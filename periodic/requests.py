"""Accepted requests that nobody ever handled: they go out again and again (the relay), and in the end are given up."""

from typing import Protocol

import structlog

from periodic.schedule import Duty

log = structlog.get_logger()

_PERIOD_S = 600.0
_SLICE = 500
_DAYS = 5
"""Fewer than the inbox remembers what was handled: nothing may be done twice."""


class KeptRequests(Protocol):
    """The database side."""

    def expire(self, days: int, limit: int) -> int:
        """Give up requests older than `days`; each leaves an audit row. Returns how many."""

    def close(self) -> None: ...


def duty(requests: KeptRequests) -> Duty:
    """Every ten minutes."""

    def run() -> bool:
        expired = requests.expire(_DAYS, _SLICE)
        if expired:
            log.error("requests_expired", requests=expired, days=_DAYS)
        return expired >= _SLICE

    what = "Gives up accepted requests that nobody handled for days."
    return Duty("requests", _PERIOD_S, what, run, alone=True, rest=requests.close)
