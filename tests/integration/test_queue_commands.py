"""What operators type about queues: a look that scripts can read, and a pause that is kept with its audit row."""

from __future__ import annotations

import json

import pytest

from tests.broker_side import consumers, waiting
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes
from tests.typed import Run


def test_queues_and_workers_are_told_and_judged(
    run: Run, processes: Processes, database: Database, broker_url: str
) -> None:
    looked = run("queues", "--json")
    rows = {row["name"]: row for row in json.loads(looked.stdout)["rows"]}
    assert (looked.returncode, rows["adder"]["word"]) == (1, "nobody serves it")
    processes.start("relay")
    wait_until(lambda: waiting(broker_url, "adder") == 0, "the queues are declared")
    processes.start("daemon")
    wait_until(lambda: database.rows("SELECT 1 FROM queue_sample"), "the daemon asks the broker by itself")
    table = run("queues")
    assert table.returncode == 1
    assert table.stdout.splitlines()[0].startswith("queue")
    assert "No process of adder shows itself: start one." in table.stdout
    workers = run("workers")
    assert workers.returncode == 1
    assert "nobody serves activator, adder" in workers.stdout
    found = json.loads(run("workers", "--json").stdout)
    assert [(row["service"], row["standing"]) for row in found["rows"]] == [("daemon", "alive"), ("relay", "alive")]


def test_a_queue_is_paused_and_resumed_from_the_terminal(
    run: Run, processes: Processes, database: Database, broker_url: str
) -> None:
    for service in ("relay", "watcher.large", "closer"):
        processes.start(service)
    wait_until(lambda: consumers(broker_url, "closer") == 1, "it consumes")
    assert run("queues", "pause", "closer", "--reason", "the storage is down", "--actor", "ana").returncode == 0
    wait_until(lambda: consumers(broker_url, "closer") == 0, "it does not")
    assert "paused: Queue closer is paused by ana since" in run("health").stdout
    assert json.loads(run("health", "--json").stdout)["pauses"][0]["reason"] == "the storage is down"
    assert run("queues", "resume", "closer", "--actor", "bo").returncode == 0
    wait_until(lambda: consumers(broker_url, "closer") == 1, "it consumes again")
    deeds = "SELECT actor, action, object, detail ->> 'reason' FROM audit ORDER BY audit_id"
    assert database.rows(deeds) == [
        ("ana", "pause_requested", "queue closer", "the storage is down"),
        ("bo", "resume_requested", "queue closer", ""),
    ]
    wait_until(lambda: database.value("SELECT count(*) FROM request") == 0, "nothing is left to do")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "--reason", "x"), "there is no queue 'nowhere'"),
        (("watcher.large", "--reason", "x"), "it takes the requests to resume"),
        (("adder", "--reason", " "), "say why"),
        (("adder\x1b[2J", "--reason", "x"), "name"),
        (("adder",), "Missing option"),
    ],
)
def test_what_cannot_be_paused_is_refused_and_nothing_is_kept(
    run: Run, database: Database, arguments: tuple[str, ...], says: str
) -> None:
    done = run("queues", "pause", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "\x1b" not in done.stderr
    assert database.value("SELECT count(*) FROM request") + database.value("SELECT count(*) FROM audit") == 0
