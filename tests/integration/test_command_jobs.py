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


def test_jobs_are_listed_as_the_page_has_them(run: Run, serve: Serve, database: Database) -> None:
    """By its filters, page by page; what users wrote is shown as it is, and makes no further lines."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n, task_id=7 if n < 4 else 8) for n in range(1, 6))))
    database.execute("UPDATE job SET name = E'[red]a\\x1b[2J\\nb', user_name = 'me' WHERE job_id = 3")
    first = run("jobs", "ls", "--task", "7", "--limit", "2")
    header, *rows = first.stdout.splitlines()
    assert header.split()[:4] == ["job", "state", "since", "queue"]
    assert [row.split()[0] for row in rows] == ["3", "2"]
    assert "[red]a\N{REPLACEMENT CHARACTER}[2J b" in rows[0]
    after = first.stderr.split()[-1]
    assert [row.split()[0] for row in run("jobs", "ls", "--task", "7", "--after", after).stdout.splitlines()[1:]] == [
        "1"
    ]
    mine = json.loads(run("jobs", "ls", "--user", "me", "--state", "defined", "--json").stdout)
    assert [row["job_id"] for row in mine["rows"]] == ["3"]
    assert run("jobs", "ls", "--state", "failed").stdout.split()[:2] == ["job", "state"]
    for wrong in (["--after", "x"], ["--code", "pilot:x"], ["--since", "never"], ["--state", "lost"], ["--limit", "0"]):
        done = run("jobs", "ls", *wrong)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False), wrong
