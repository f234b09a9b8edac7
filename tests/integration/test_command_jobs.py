"""`panda-fsm jobs`: what is typed about jobs, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

from tests import factories
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.typed import Run


def test_the_logs_of_all_processes_tell_of_a_job(run: Run, serve: Serve, database: Database, tmp_path: Path) -> None:
    """By its number, or by a message of its history, in the order of time; other numbers are not its own."""
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    message = database.value("SELECT message_id FROM job_history WHERE job_id = 1")
    said: dict[str, list[dict[str, object]]] = {
        "late.log": [
            {"event": "second", "job_ids": [7, 1], "timestamp": "2026-11-26T12:00:02Z", "service": "\x1b[2Jadder"},
            {"event": "a count", "jobs": 1, "pid": 1, "timestamp": "2026-11-26T12:00:03Z"},
            {"event": "another's", "job_id": 11, "timestamp": "2026-11-26T12:00:03Z"},
        ],
        "early.log": [
            {"event": "first", "message_id": str(message), "timestamp": "2026-11-26T12:00:01Z", "service": "setupper"},
        ],
    }
    for name, lines in said.items():
        (tmp_path / name).write_text("\n".join(["no JSON: 1", *(json.dumps(line) for line in lines)]))
    arguments = "jobs", "show", "1", "--logs"
    found = run(*arguments, "--json", PANDA_FSM_LOG_FILES=f"{tmp_path}/*.log:nowhere/*")
    assert [line["event"] for line in json.loads(found.stdout)["logs"]] == ["first", "second"]
    shown = run(*arguments, PANDA_FSM_LOG_FILES=f"{tmp_path}/*.log").stdout
    assert "\N{REPLACEMENT CHARACTER}[2Jadder" in shown
    assert "no line is about it in nowhere" in run(*arguments, PANDA_FSM_LOG_FILES="nowhere").stdout
