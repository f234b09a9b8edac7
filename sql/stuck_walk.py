"""The walk over all live jobs, a portion at a time: what is found stuck is written down for people (ADR 0046)."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

import orjson
import psycopg

from panda_fsm.jobs.states import State
from panda_fsm.views.flow import percentile
from panda_fsm.views.stuck import NEARLY_ALL, Candidate, Found, Thresholds, judged
from sql.duty import DutySession, WorkerSession
from sql.queries import load
from sql.rows import as_json

_Q = load("stuck_walk")
_KEPT = 1000
"""Jobs of a rule that are kept by name; of the others it is known how many they are, and where."""
_PAUSE_S = 15.0
_USUAL_FOR_S = 600.0
"""How long transfers take at a site changes slowly."""


class StuckWalk:
    """How far it is stands in the database: any daemon goes on where another one stopped. Raises TransientError."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "stuck")
        self._usual: Mapping[str, float] = {}
        self._usual_at = -inf

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def step(self, limit: int, thresholds: Thresholds) -> bool:
        """Look at the next `limit` jobs; True when there may be more of this walk."""
        with self._session.slice() as connection:
            walk, after_id, now, is_due = connection.execute(_Q["where"], {"pause_s": _PAUSE_S}).fetchone() or ()
            if not is_due:
                return False
            thresholds = thresholds.knowing(self._known_usual(connection))
            least = {state.value: seconds for state, seconds in thresholds.least_s().items()}
            parameters = {"after_id": after_id, "limit": limit, "least": orjson.dumps(least).decode()}
            rows = connection.execute(_Q["step"], parameters).fetchall()
            found = judged((_candidate(row) for row in rows if row[2] is not None), now, thresholds)
            _write(connection, walk, found)
            seen, last_id = rows[0][:2]
            if seen < limit:
                self._end(connection, walk)
                return False
            connection.execute(_Q["go_on"], {"after_id": last_id})
            return True

    def _known_usual(self, connection: psycopg.Connection) -> Mapping[str, float]:
        """Of each site the time that nearly all transfers of outputs took lately."""
        if time.monotonic() - self._usual_at > _USUAL_FOR_S:
            counts: dict[str, dict[int, int]] = {}
            for site, bucket, jobs in connection.execute(_Q["transfers"]):
                counts.setdefault(site, {})[bucket] = jobs
            found = {site: percentile(buckets, NEARLY_ALL) for site, buckets in counts.items()}
            self._usual = {site: seconds for site, seconds in found.items() if seconds is not None}
            self._usual_at = time.monotonic()
        return self._usual

    @staticmethod
    def _end(connection: psycopg.Connection, walk: int) -> None:
        """It is shown from now on, and the one before forgotten."""
        connection.execute(_Q["end"])
        connection.execute(_Q["forget_sites"], {"walk": walk})
        connection.execute(_Q["forget_jobs"], {"walk": walk})


def _candidate(row: Sequence[Any]) -> Candidate:
    job_id, state, site, entered_at, heard_at, waits = row[2:]
    return Candidate(job_id, State(state), site, entered_at, heard_at, waits)


def _write(connection: psycopg.Connection, walk: int, found: Sequence[Found]) -> None:
    if not found:
        return
    places: dict[tuple[str, str], list[datetime]] = {}
    for one in found:
        places.setdefault((one.rule, one.site), []).append(one.since)
    sites = [
        {"rule": rule, "site": site, "jobs": len(since), "oldest_at": min(since).isoformat()}
        for (rule, site), since in places.items()
    ]
    connection.execute(_Q["note_sites"], {"rows": as_json(sites), "walk": walk})
    jobs = [
        {"rule": one.rule, "job_id": one.job_id, "state": one.state.value, "site": one.site,
         "since": one.since.isoformat()}
        for one in found
    ]  # fmt: skip
    connection.execute(_Q["note_jobs"], {"rows": as_json(jobs), "walk": walk, "most": _KEPT})
