"""What operators type: health, dead letters, partitions, as one sees and scripts it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from panda_fsm.jobs.states import State
from panda_fsm.messages import CheckBlock, JobEvent
from tests.broker_side import put, waiting
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes
from tests.typed import Run
from tests.waiting_jobs import add_jobs


def health(run: Run, **environment: str) -> dict[str, Any]:
    """What `health --json` says; its exit code agrees."""
    done = run("health", "--json", **environment)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["well"] else 1), done.stderr
    return found


def bury(database: Database, queue: str, payload: bytes, reason: str, fingerprint: str) -> int:
    """A dead letter; returns its number."""
    query = """INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)
               VALUES (%s, 'panda.events', 'job.defined', %s, '{}', %s, %s) RETURNING dead_letter_id"""
    return int(database.value(query, (queue, payload, reason, fingerprint)))


def event(job_id: int) -> bytes:
    """The body of an event."""
    return JobEvent(job_id=job_id, version=1, state=State.DEFINED, trigger="submitted").encode()


def test_health_names_every_kind_of_trouble(run: Run, database: Database) -> None:
    database.rows("""INSERT INTO process VALUES
        ('adder', 'here', 1, now() - interval '1 hour', now(), 'broker: away', now() - interval '50 s'),
        ('closer', 'here', 2, now() - interval '1 hour', now() - interval '3 min', NULL, NULL) RETURNING 1""")
    database.rows("""INSERT INTO outbox (message_id, exchange, routing_key, body, created_at, tries) VALUES
        (gen_random_uuid(), '', 'q', '{}', now() - interval '2 min', 1) RETURNING 1""")
    database.rows("""INSERT INTO request VALUES
        (gen_random_uuid(), 'submit', '{}', now() - interval '2 min') RETURNING 1""")
    database.rows("INSERT INTO job_deadline VALUES (7, now(), 'it cannot be archived') RETURNING 1")
    database.rows("""INSERT INTO job_spec_archive VALUES (7, '{}', '2020-01-01') RETURNING 1""")
    bury(database, "adder", event(1), "no", "f1")
    found = health(run)
    trouble = "\n".join(found["trouble"])
    assert "nobody serves activator, closer, daemon, ddm" in trouble
    for said, since_s in (
        (r"adder \(here, 1\) for (\d+) s: broker: away", 50), (r"closer \(here, 2\) gave no sign for (\d+) ", 180),
        (r"1 messages in the outbox, the oldest for (\d+) ", 120),
        (r"1 requests are not handled, the oldest for (\d+) ", 120),
    ):  # fmt: skip
        found_s = re.search(said, trouble)
        assert found_s is not None, trouble
        assert since_s <= int(found_s[1]) < since_s + 60, trouble
    assert "1 messages cannot be published now" in trouble
    assert "1 dead letters" in trouble
    assert "1 jobs whose appointment cannot be kept: it cannot be archived" in trouble
    assert "1 rows in the default partition of job_spec_archive: panda-fsm partitions repair" in trouble
    assert [process["service"] for process in found["processes"]] == ["adder", "closer"]
    shown = run("health").stdout
    assert "trouble: adder (here, 1)" in shown


def test_a_process_shows_what_keeps_it_from_working(run: Run, processes: Processes) -> None:
    processes.start("closer", PANDA_FSM_BROKER_URL="amqp://nobody:here@127.0.0.1:1/none")

    def said() -> list[str]:
        return [sentence for sentence in health(run)["trouble"] if re.match(r"closer \(.*\) for \d+ s: ", sentence)]

    wait_until(said, "it says that the broker is away")
    processes.stop("closer")
    assert health(run)["processes"] == []


def test_who_replaces_a_killed_process_takes_its_place(run: Run, processes: Processes) -> None:
    """Else a service that is killed and started again looks missing for an hour."""

    def serve_alone() -> None:
        pid = processes.start("closer").pid
        wait_until(lambda: [one["pid"] for one in health(run)["processes"]] == [pid], "the process that runs, alone")

    serve_alone()
    processes.kill("closer")
    serve_alone()


def test_who_was_killed_is_replaced_though_nobody_has_asked_for_its_end(
    run: Run, database: Database, processes: Processes
) -> None:
    """A zombie has a number like the living: its parent is late, or never asks."""
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        query = "INSERT INTO process VALUES ('closer', %s, %s, now(), now(), NULL, NULL) RETURNING 1"
        database.rows(query, (socket.gethostname(), zombie.pid))
        pid = processes.start("closer").pid
        wait_until(lambda: [one["pid"] for one in health(run)["processes"]] == [pid], "the process that runs, alone")


def test_health_sees_an_old_transaction(run: Run, database_url: str) -> None:
    with psycopg.connect(database_url, application_name="sleeper") as connection:
        connection.execute("SELECT 1")
        found = health(run)
    assert found["oldest_transaction"].startswith("sleeper, process ")


def test_health_says_what_it_cannot_see(run: Run, empty_database_url: str) -> None:
    unmigrated = health(run, PANDA_FSM_DATABASE_URL=empty_database_url)
    assert unmigrated["trouble"][0].endswith("needed, it is at none: run panda-fsm migrate")
    away = health(run, PANDA_FSM_DATABASE_URL="postgresql://panda:x@127.0.0.1:1/panda")
    assert away["trouble"][0].startswith("database: ")


def test_all_is_well_with_everything_served(run: Run, processes: Processes) -> None:
    processes.start("all")
    processes.wait_until_ready(60)
    wait_until(lambda: health(run)["well"], "all is well")
    assert run("health").stdout.splitlines()[-1] == "all is well"
    processes.stop("all")
    assert health(run)["processes"] == []


def test_dead_letters_are_replayed_by_fingerprint(run: Run, database: Database) -> None:
    for job_id in (1, 2):
        bury(database, "setupper", event(job_id), "the plugin failed", "alike")
    bury(database, "adder", event(3), "another", "different")
    dry = run("dead-letters", "replay", "--fingerprint", "alike", "--dry-run")
    assert dry.stdout.splitlines()[0] == "2 open dead letters are meant: 2 are about what nobody knows"
    assert (dry.returncode, database.value("SELECT count(*) FROM outbox")) == (0, 0)
    done = run("dead-letters", "replay", "--fingerprint", "alike", "--actor", "me")
    assert done.stdout.splitlines() == ["2 open dead letters are meant", "2 of 2 replayed"]
    assert database.rows("SELECT exchange, routing_key FROM outbox") == [("", "setupper")] * 2
    audit = database.rows("SELECT actor, action, object, detail->>'queue' FROM audit ORDER BY audit_id")
    assert audit == [("me", "dead_letter_replayed", f"dead letter {number}", "setupper") for number in (1, 2)]
    settled = "SELECT count(*) FROM dead_letter WHERE status = 'replayed' AND settled_at IS NOT NULL"
    assert database.value(settled) == 2
    listed = [json.loads(line) for line in run("dead-letters", "list", "--json").stdout.splitlines()]
    assert [(letter["reason"], letter["fingerprint"]) for letter in listed] == [("another", "different")]


def test_a_letter_of_a_queue_that_is_gone_goes_to_who_takes_it_now(run: Run, database: Database) -> None:
    bury(database, "queue.of.yesterday", CheckBlock(job_id=7).encode(), "gone", "f")
    assert run("dead-letters", "replay", "--all").returncode == 0
    assert database.rows("SELECT exchange, routing_key FROM outbox") == [("panda.events", "block.check")]


def test_what_nobody_can_read_stays(run: Run, database: Database) -> None:
    good, bad = bury(database, "adder", event(1), "no", "f"), bury(database, "adder", b"?", "no", "f")
    done = run("dead-letters", "replay", "--queue", "adder")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 of 2 replayed"
    assert done.stderr.startswith(f"{bad} stays: not a message")
    assert database.rows("SELECT dead_letter_id, status FROM dead_letter ORDER BY 1") == [
        (good, "replayed"), (bad, "open")
    ]  # fmt: skip
    assert run("dead-letters", "discard", str(bad)).stdout.splitlines()[-1] == "1 of 1 discarded"
    again = run("dead-letters", "discard", str(bad))
    assert (again.returncode, again.stdout.splitlines()[-1]) == (1, "0 of 1 discarded")


def test_nothing_named_is_not_everything(run: Run, database: Database) -> None:
    bury(database, "adder", event(1), "no", "f")
    assert run("dead-letters", "discard").returncode == 2
    assert database.value("SELECT count(*) FROM dead_letter WHERE status = 'open'") == 1


def test_more_letters_than_one_transaction_takes(run: Run, database: Database) -> None:
    for job_id in range(1, 251):
        bury(database, "adder", event(job_id), "no", "f")
    assert run("dead-letters", "replay", "--all").stdout.splitlines()[-1] == "250 of 250 replayed"
    assert database.value("SELECT count(*) FROM outbox") == 250


def test_a_filled_default_partition_is_shown_and_repaired(run: Run, database: Database) -> None:
    database.rows("""INSERT INTO job_spec_archive SELECT n, '{}', '2020-01-31'::timestamptz + n * interval '1 day'
                     FROM generate_series(0, 3) n RETURNING 1""")
    shown = run("partitions", "status", "--json")
    assert shown.returncode == 1
    [filled] = [row for row in json.loads(shown.stdout) if row["is_default"] and row["rows"]]
    assert (filled["name"], filled["rows"]) == ("job_spec_archive_default", 4)
    assert "job_spec_archive: 4 rows moved" in run("partitions", "repair").stdout
    months = "SELECT tableoid::regclass::text, count(*) FROM job_spec_archive GROUP BY 1 ORDER BY 1"
    assert database.rows(months) == [("job_spec_archive_2020_01", 1), ("job_spec_archive_2020_02", 3)]
    assert run("partitions", "status").returncode == 0


def test_replay_makes_all_appointments_now(run: Run, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 4))
    assert run("replay").stdout.startswith("3 jobs and 0 requests are due now")
    assert database.value("SELECT count(*) FROM job_deadline WHERE deadline_at <= now()") == 3


def test_topology_is_checked_pruned_and_tuned(run: Run, database: Database) -> None:
    missing = run("topology", "check", "--json")
    assert missing.returncode == 1
    assert "queue watcher is missing; it is declared at the next connection" in json.loads(missing.stdout)
    database.rows("INSERT INTO broker_binding VALUES ('setupper', 'panda.events', 'job.gone', now()) RETURNING 1")
    assert run("topology", "prune").returncode == 0
    assert database.value("SELECT count(*) FROM broker_binding WHERE retired_at IS NOT NULL") == 0
    command = run("topology", "policy").stdout
    assert command.startswith("rabbitmqctl set_policy -p test_")
    assert "delivery-limit" in command


def test_an_operator_prepares_the_broker_for_jedi_and_sees_what_waits(run: Run, broker_url: str) -> None:
    vos = {"PANDA_FSM_JEDI_VOS": "lab", "PANDA_FSM_JEDI_SHARDS": "1"}
    assert run("topology", "declare", **vos).returncode == 0
    assert run("topology", "check", **vos).returncode == 0
    commands = run("topology", "permissions").stdout.splitlines()
    assert [command.split()[4] for command in commands] == ["server", "jedi", "operator"]
    put(broker_url, "jedi.status.lab.0", b"{}", b"{}")
    wait_until(lambda: waiting(broker_url, "jedi.status.lab.0") == 2, "they wait")
    found = health(run, **vos)
    assert {"queue": "jedi.status.lab.0", "messages": 2, "consumers": 0} in found["jedi"]
    assert "nobody reads jedi.status.lab.0: 2 messages wait there for JEDI" in found["trouble"]
    assert "jedi.status.lab.0 2, read by 0" in run("health", **vos).stdout
    away = health(run, PANDA_FSM_BROKER_URL="amqp://nobody:here@127.0.0.1:1/none")
    assert away["trouble"][-1].startswith("no message broker at PANDA_FSM_BROKER_URL")


@pytest.mark.parametrize(
    "command", ["", "health", "replay", "dead-letters replay", "topology prune", "partitions repair"]
)
def test_help_needs_no_settings(command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PANDA_FSM_")}
    arguments = [sys.executable, "-m", "command", *command.split(), "--help"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage" in done.stdout
