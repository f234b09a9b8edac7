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
if "API_TEST_SECONDS" in os.environ:
    _SECONDS = dict.fromkeys(_SECONDS, int(os.environ["API_TEST_SECONDS"]))
_SEED = os.environ.get("API_TEST_SEED", "20")
_AROUND_S = 60


@pytest.fixture
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


@pytest.mark.timeout(sum(_SECONDS.values()) + 3 * _AROUND_S)
def test_no_request_that_the_document_leads_to_breaks_it(running: Processes) -> None:
    for phases, seconds in _SECONDS.items():
        done = subprocess.run(
            [
                PROGRAM.parent / "schemathesis", "run", f"{running.gateway_url}/openapi.json",
                "--exclude-path", "/ui/events",  # a stream has no end
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
    database = Database(running.environment["PANDA_FSM_DATABASE_URL"])
    with_pilots = database.value("SELECT count(*) FROM job WHERE state = 'sent'")
    submitted = database.value("SELECT count(*) FROM audit WHERE action = 'jobs_submitted'")
    database.close()
    assert with_pilots > 0, "otherwise the requests found little to break"
    assert submitted > 0
