"""From the deadline to the end of a job, with the real clock, relay and Watcher: nothing waits for a cycle."""

from __future__ import annotations

import pytest

from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

pytestmark = pytest.mark.e2e

JOBS = 20
WITHIN_S = 2.0
"""What is promised (docs/semantics.md §4.2), so here a time is what is tested."""


def test_overdue_jobs_end_within_two_seconds(processes: Processes, database: Database, database_url: str) -> None:
    for service in ("watcher", "relay", "daemon"):
        processes.start(service)
    wait_until(lambda: database.value("SELECT count(*) FROM pulse WHERE name = 'clock'"), "the daemon")
    wait_until(lambda: database.value("SELECT count(DISTINCT service) FROM process") == 3, "all three")
    add_jobs(database_url, range(1, JOBS + 1), state="running", label="user")
    add_jobs(database_url, range(JOBS + 1, 2 * JOBS + 1), state="activated", label="managed")
    # Not in step with whatever anybody does once or twice a second.
    spread = "UPDATE job SET deadline_at = now() + make_interval(secs => 2 + 0.13 * (job_id %% %s))"
    due = dict(database.rows(spread + " RETURNING job_id, deadline_at", (JOBS,)))
    database.execute("UPDATE job_deadline d SET deadline_at = j.deadline_at FROM job j WHERE j.job_id = d.job_id")
    wait_until(lambda: database.states() == {"failed": JOBS, "closed": JOBS}, "their ends")
    ended = dict(database.rows("SELECT job_id, max(at) FROM job_history GROUP BY job_id"))
    late = {job_id: (ended[job_id] - due[job_id]).total_seconds() for job_id in due}
    assert min(late.values()) >= 0, "nobody ends too soon"
    assert max(late.values()) < WITHIN_S
