"""The API document against a running gateway: schemathesis makes requests of it, and finds no 5xx and no violation."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.services import Services
from tests.api_hooks import JOBS
from tests.driver import Database
from tests.isolation import Databases, VirtualHosts
from tests.processes import PROGRAM, ROOT, Processes
from tests.waiting_jobs import add_jobs

_CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method", "allow_header_conformance", "missing_required_header",
    "refused_in_its_convention", "accepted_but_for_a_rule",
)  # fmt: skip
_SECONDS = {"coverage,fuzzing": 45, "stateful": 180}
"""Phases, and for how long; API_TEST_SECONDS is for each of them."""
_LONGER = os.environ.get("API_TEST_SECONDS")
_SEED = os.environ.get("API_TEST_SEED", "20")
_AROUND_S = 60


@pytest.fixture(scope="module")
def running(
    session_dir: Path, private_services: Services, databases: Databases, virtual_hosts: VirtualHosts
) -> Iterator[Processes]:
    """A gateway with jobs that wait for pilots."""
    with databases.fresh() as database_url:
        processes = Processes(session_dir / "api-document", database_url, virtual_hosts.fresh())
        add_jobs(database_url, range(1, JOBS + 1))
        processes.start("gateway")
        try:
            processes.wait_until_ready()
            yield processes
        finally:
            print(processes.log_tails())
            processes.close()


@pytest.mark.parametrize("phases", _SECONDS)
@pytest.mark.timeout(int(_LONGER or max(_SECONDS.values())) + 3 * _AROUND_S)
def test_no_request_that_the_document_leads_to_breaks_it(running: Processes, phases: str) -> None:
    seconds = int(_LONGER or _SECONDS[phases])
    done = subprocess.run(
        [
            PROGRAM.parent / "schemathesis", "run", f"{running.gateway_url}/openapi.json",
            "--phases", phases, "--checks", ",".join(_CHECKS), "--seed", _SEED, "--generation-database", "none",
            "--max-time", str(seconds), "--request-timeout", "30", "--no-shrink", "--no-color",
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.api_hooks", "PYTHONPATH": str(ROOT)},
        cwd=running.directory, capture_output=True, text=True, check=False, timeout=seconds + _AROUND_S,
    )  # fmt: skip
    shown = "\n".join(line[:400] for line in (done.stdout + done.stderr).splitlines())
    assert done.returncode == 0, shown
    log = running.log("gateway")
    assert "Traceback" not in log
    assert "request_failed" not in log


def test_what_was_asked_for_was_done(running: Processes) -> None:
    """Otherwise the requests before found little to break."""
    database = Database(running.environment["PANDA_FSM_DATABASE_URL"])
    with_pilots = database.rows("SELECT count(*) FROM job WHERE state = 'sent'")[0][0]
    submitted = database.rows("SELECT count(*) FROM audit WHERE action = 'jobs_submitted'")[0][0]
    database.close()
    assert with_pilots > 0
    assert submitted > 0
