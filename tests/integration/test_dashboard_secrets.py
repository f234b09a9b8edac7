"""What payloads, pilots and errors said is shown without its secrets, on every page that has it and in its JSON."""

from __future__ import annotations

import json

import pytest

from tests.driver import Database
from tests.gateway_http import Caller
from tests.typed import Run
from tests.waiting_jobs import add_jobs

SECRET = "hunter2horse"
SAID = f"cannot read https://me:{SECRET}@host/x, password={SECRET}"
ERRORS = json.dumps({"pilot": {"code": 1151, "diag": SAID}})
PAGES = (
    "", "jobs", "jobs/1", "tasks/7", "queues/adder", "workers", "errors", "dead", "dead/1", "stuck?rule=sent_no_pilot",
    "system", "sites/LAB",
)  # fmt: skip

STATEMENTS: dict[str, tuple[str, ...]] = {
    "UPDATE job SET ended_at = now() WHERE job_id = 1": (),
    "INSERT INTO job_count (state, site, vo, jobs) SELECT state, site, vo, 1 FROM job": (),
    "INSERT INTO job_stdout (job_id, stdout) VALUES (1, %s)": (SAID,),
    "INSERT INTO job_history (job_id, version, transition_id, service, host, message_id, detail)"
    " SELECT 1, 3, min(transition_id), 'x', 'h', gen_random_uuid(), %s FROM job_transition": (SAID,),
    "INSERT INTO pilot_report (job_id, attempt_nr, state, attributes) VALUES (1, 1, 'failed', %s)": (
        json.dumps({"pilot_error_diag": SAID, "api_token": SECRET}),
    ),
    "INSERT INTO process (service, host, pid, started_at, seen_at, trouble, trouble_since, queue)"
    " VALUES ('adder', 'h', 1, now(), now(), %s, now(), 'adder')": (SAID,),
    "INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)"
    " VALUES ('adder', '', 'adder', '{}', %s, %s, 'f')": (json.dumps({"reason": SAID}), SAID),
    "INSERT INTO error_count (hour, vo, site, component, code, jobs, first_at, last_at, sample, sample_job)"
    " VALUES (date_trunc('hour', now(), 'UTC'), 'lab', 'LAB', 'pilot', 1151, 1, now(), now(), %s, 1)": (SAID,),
}


@pytest.fixture
def planted(database_url: str, database: Database) -> Database:
    """Wherever such a text can be."""
    add_jobs(database_url, range(1, 2), state="failed", waits_for=SAID, errors=ERRORS, site="LAB")
    add_jobs(database_url, range(2, 3), state="sent", waits_for=SAID, errors=ERRORS, site="LAB")
    for statement, told in STATEMENTS.items():
        database.execute(statement, told)
    return database


@pytest.mark.usefixtures("planted")
def test_no_page_and_no_command_shows_a_secret(user: Caller, run: Run) -> None:
    told = {}
    for page in PAGES:
        path, _, query = page.partition("?")
        told[page] = user.http.get(f"/ui/{page}").text
        told[f"{page}, JSON"] = user.http.get(f"/ui/{path or 'now'}.json?{query}").text
    for typed in (("jobs", "show", "1"), ("jobs", "ls"), ("jobs", "why", "2"), ("workers",), ("health",), ("errors",)):
        told[" ".join(typed)] = run(*typed).stdout
    assert [where for where, text in told.items() if SECRET in text] == []
    shown = [where for where, text in told.items() if "\N{MEDIUM SHADE}" in text or "\\u2592" in text]
    for where in ("jobs/1", "queues/adder", "workers", "tasks/7", "errors", "jobs", "jobs show 1"):
        assert where in shown, f"{where} shows it at all"
