"""`panda-fsm status | doctor | tail | audit`: what is typed to look around, and what comes back in a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.services import Services
from tests import factories
from tests.driver import Database
from tests.faults import memory_alarm
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.polling import wait_until
from tests.processes import PROGRAM, Processes
from tests.typed import Run

HOSTILE = "[red]x[/red] \x1b[2J"
SHOWN = "[red]x[/red] \N{REPLACEMENT CHARACTER}[2J"


def doctor(run: Run, **environment: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit code, and of each thing verdicts and sentences."""
    done = run("doctor", "--json", **environment)
    found: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(done.stdout):
        found.setdefault(one["what"], []).append((one["verdict"], one["said"]))
    return done.returncode, found


def test_status_is_one_look_with_an_exit_code(run: Run, serve: Serve) -> None:
    serve(Creator()).handle(factories.submit(factories.draft(1), factories.draft(2)))
    done = run("status")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["state", "jobs"], ["defined", "2"]]
    assert any(line.startswith("trouble: nobody serves activator") for line in lines)
    assert json.loads(run("status", "--json").stdout)["states"] == {"defined": 2}
    away = run("status", PANDA_FSM_DATABASE_URL="postgresql://panda:x@127.0.0.1:1/panda")
    assert (away.returncode, "database" in away.stderr) == (2, True)


def test_the_doctor_finds_nothing_where_all_is_well(run: Run, processes: Processes, services: Services) -> None:
    processes.start_each()
    processes.wait_until_ready(60)
    known = {name: value for name, value in processes.environment.items() if name.startswith("PANDA_FSM_")}
    wait_until(lambda: doctor(run, **known)[0] == 0, "all is well")
    shown = run("doctor", **known).stdout.splitlines()
    assert shown[0].split() == ["what", "how", "it", "is"]
    assert all(line.startswith("ok ") for line in shown[1:])
    with memory_alarm(services.rabbitmq):
        code, found = doctor(run, **known)
    assert code == 1
    assert [verdict for verdict, _ in found["broker"]] == ["wrong"]
    assert "the broker takes no messages (low on memory)" in found["broker"][0][1]


def test_the_doctor_says_what_is_wrong_and_what_it_cannot_see(run: Run, database: Database, tmp_path: Path) -> None:
    sites = tmp_path / "sites.json"
    sites.write_text(json.dumps({
        "queues": {"Q": {"site": "S", "storage": "GONE"}}, "storages": {"D": {"site": "S", "path": "/not/there"}},
    }))  # fmt: skip
    database.rows("INSERT INTO job_spec_archive VALUES (7, '{}', '2020-01-01') RETURNING 1")
    database.execute(
        "DROP TABLE job_history_" + database.value("SELECT to_char(now() + interval '1 month', 'YYYY_MM')")
    )
    code, found = doctor(run, PANDA_FSM_SITES_FILE=str(sites), PANDA_FSM_CACHE_DIR="/dev/full/cache")
    said = {what: " ".join(sentence for _, sentence in all_of_it) for what, all_of_it in found.items()}
    assert code == 1
    assert "queue Q: its storage 'GONE' is not known" in said["sites file"]
    assert "/not/there is no directory here" in said["sites file"]
    assert "/dev/full is no directory" in said["cache directory"]
    assert "nobody serves" in said["services"]
    assert "job_spec_archive has rows in its default partition" in said["partitions"]
    assert "job_history has no partition of" in said["partitions"]
    assert "queue watcher is missing" in said["topology"]
    assert [verdict for verdict, _ in found["database"] + found["clock"]] == ["ok", "ok"]
    for cric_url, verdict in ((None, "wrong"), ("http://127.0.0.1:1/all.json", "ok")):
        of_cric = {} if cric_url is None else {"PANDA_FSM_CRIC_QUEUES_URL": cric_url}
        assert [how for how, _ in doctor(run, **of_cric)[1]["sites file"]] == [verdict]
    _, away = doctor(run, PANDA_FSM_DATABASE_URL="postgresql://panda:x@127.0.0.1:1/panda")
    assert {away[what][0][0] for what in ("database", "clock", "partitions", "services")} == {"unknown"}
    code, unset = doctor(run, PANDA_FSM_BATCH_SIZE="many")
    assert (code, list(unset)) == (1, ["settings"])


@pytest.fixture
def following(database_url: str, broker_url: str) -> Iterator[subprocess.Popen[str]]:
    """`panda-fsm tail --state activated`, on its way."""
    known = {**os.environ, "PANDA_FSM_DATABASE_URL": database_url, "PANDA_FSM_BROKER_URL": broker_url}
    arguments = [str(PROGRAM), "tail", "--site", "LAB_B", "--state", "defined"]
    # Where a shell runs the tests in the background, they ignore Ctrl-C, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(arguments, env=known, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_tail_follows_steps_as_they_are_written(
    following: subprocess.Popen[str], serve: Serve, database: Database
) -> None:
    """Of those that are asked for; Ctrl-C is its ordinary end."""
    looks = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'look' AND query LIKE '%%job_history%%'"
    wait_until(lambda: database.value(looks) > 0, "it looks")
    serve(Creator()).handle(factories.submit(factories.draft(8, site="LAB_A"), factories.draft(9)))
    assert following.stdout is not None
    line = following.stdout.readline()
    assert line.split()[1:5] == ["9", "new", "→", "defined"]
    following.send_signal(signal.SIGINT)
    assert following.wait(20) == 0
    assert following.stdout.read() == ""


def test_the_audit_is_read_page_by_page_as_it_is_written(run: Run, database: Database) -> None:
    for number in range(3):
        database.execute(
            "INSERT INTO audit (actor, action, object, detail) VALUES ('a|b', 'kill_requested', %s, %s)",
            (f"job {number}", json.dumps({"name": HOSTILE, "reason": "too\nslow"})),
        )
    first = run("audit", "--actor", "a|b", "--limit", "2")
    columns = re.split(" {2,}", first.stdout.splitlines()[1])
    assert columns[1:] == [SHOWN, "asked to end jobs", "job 2", "too slow", "-"]
    after = first.stderr.split()[-1]
    rest = json.loads(run("audit", "--after", after, "--json").stdout)
    assert [(row["object"], type(row["audit_id"])) for row in rest["rows"]] == [("job 0", str)]
    wrong = run("audit", "--since", "never")
    assert (wrong.returncode, "since: must be a time" in wrong.stderr) == (2, True)
