"""PanDA queues at the terminal and on the pages: imported, set, looked at, with who did it; what is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panda_fsm.information.models import Kind
from tests import cric
from tests.driver import Database
from tests.gateway_http import Caller
from tests.plain_browser import Browser
from tests.polling import wait_until
from tests.processes import Processes
from tests.typed import Run
from tests.waiting_jobs import add_jobs

HOSTILE = "<script>alert(1)</script>"
DOWN = {"begins_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z", "reason": HOSTILE}
FILE: dict[str, Any] = {
    "queues": {
        "ONE": {"site": "S", "storage": "D", "queuedata": {"maxrss": 4000, "corecount": 8, "capability": "ucore"}},
        "TWO": {"site": "S", "storage": "D", "downtimes": [DOWN]},
        "BAD": {"site": "S", "storage": "NOWHERE"},
    },
    "storages": {"D": {"site": "S", "path": "/data"}},
}
AUDIT = "SELECT actor, action, object, detail ->> 'reason' FROM audit ORDER BY audit_id"
ASK = {"site_name": "ONE", "prod_source_label": "user"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lab.json"
    path.write_text(json.dumps(FILE))
    return path


@pytest.fixture
def imported(run: Run, file: Path) -> Path:
    """Queues ONE and TWO are known, from `lab.json`."""
    assert run("queues", "import", str(file), "--actor", "ana").returncode == 0
    return file


@pytest.fixture
def ana(gateway: Processes) -> Iterator[Browser]:
    """An operator with a browser."""
    browser = Browser(gateway.gateway_url, "ana", "operator")
    yield browser
    browser.close()


def test_a_file_is_tried_and_imported_and_exported_as_it_was(run: Run, file: Path, database: Database) -> None:
    tried = run("queues", "import", str(file), "--dry-run", "--json")
    found = json.loads(tried.stdout)
    assert (tried.returncode, found["done"]) == (0, False), tried.stderr
    assert [(one["kind"], one["name"]) for one in found["changes"]] == [
        ("queue", "ONE"), ("queue", "TWO"), ("storage", "D"),
    ]  # fmt: skip
    assert found["rejected"] == {"queue BAD": "its storage 'NOWHERE' is not known"}
    assert "is of source lab.json" in run("queues", "import", str(file), "--allow-removals", "other").stderr
    for table in ("information", "information_history", "information_rejected", "audit"):
        assert database.value(f"SELECT count(*) FROM {table}") == 0, "nothing was done"  # noqa: S608

    done = run("queues", "import", str(file), "--actor", "ana", "--reason", "a new site")
    assert (done.returncode, "BAD" in done.stdout) == (0, True)
    assert database.rows(AUDIT) == [("local:ana", "queues_imported", "source lab.json", "a new site")]
    assert json.loads(run("queues", "import", str(file), "--json").stdout)["changes"] == [], "nothing is new"

    out = file.with_name("out.json")
    assert run("queues", "export", str(out)).returncode == 0
    assert json.loads(out.read_text()) == json.loads(run("queues", "export").stdout)
    again = json.loads(run("queues", "import", str(out), "--source", "lab.json", "--dry-run", "--json").stdout)
    assert (again["changes"], again["refused"]) == ([], None), "what is exported says the same"


def test_a_status_is_set_and_lifted_and_everybody_sees_who_did_it(run: Run, imported: Path, database: Database) -> None:
    rows = {row["name"]: row for row in json.loads(run("queues", "ls", "--json").stdout)["rows"]}
    assert (rows["ONE"]["status"], rows["ONE"]["memory_mb"], rows["ONE"]["cores"]) == ("online", 4000, 8)
    assert (rows["TWO"]["status"], rows["TWO"]["said"]) == ("offline", "online")
    assert "in downtime until 2999" in run("queues", "show", "TWO").stdout

    assert run("queues", "set", "status", "ONE", "offline", "--reason", "fire", "--actor", "bo").returncode == 0
    shown = json.loads(run("queues", "show", "ONE", "--json").stdout)
    assert (shown["queue"]["status"], shown["queue"]["said"]) == ("offline", "online")
    assert shown["queue"]["override"]["reason"] == "fire"
    assert run("queues", "import", str(imported)).returncode == 0
    lasts = run("queues", "set", "status", "ONE", "test", "--reason", "slowly", "--until", "2h", "--actor", "bo")
    assert (lasts.returncode, "until" in lasts.stdout) == (0, True)
    assert run("queues", "set", "status", "ONE", "--lift", "--reason", "out", "--actor", "bo").returncode == 0
    assert json.loads(run("queues", "ls", "--name", "on", "--json").stdout)["rows"][0]["status"] == "online"
    history = json.loads(run("queues", "history", "ONE", "--json").stdout)
    assert [(one["actor"], one["why"]) for one in history][:3] == [("bo", "out"), ("bo", "slowly"), ("bo", "fire")]
    assert "override" in run("queues", "history", "ONE").stdout
    imported.write_text(json.dumps(FILE | {"queues": {"TWO": FILE["queues"]["TWO"]}}))
    assert run("queues", "import", str(imported)).returncode == 0
    assert "gone from its source" in run("queues", "history", "ONE").stdout
    assert [row[1:] for row in database.rows(AUDIT) if row[0] == "local:bo"] == [
        ("queue_status_set", "site ONE", "fire"), ("queue_status_set", "site ONE", "slowly"),
        ("queue_status_lifted", "site ONE", "out"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "status", "NOWHERE", "offline", "--reason", "x"), "no source has a queue 'NOWHERE'"),
        (("set", "status", "ONE", "closed", "--reason", "x"), "is none of: online, offline, brokeroff, test"),
        (("set", "status", "ONE", "--reason", "x"), "name a status, or --lift"),
        (("set", "status", "ONE", "test", "--lift", "--reason", "x"), "name a status, or --lift"),
        (("set", "status", "ONE", "test", "--reason", " "), "must have 1 to 500 characters"),
        (("set", "status", "ONE", "test", "--reason", "x", "--until", "2020-01-01"), "is over already"),
        (("set", "status", "ONE", "test", "--reason", "x", "--until", "soon"), "must be a time"),
        (("show", "NO\udcffWHERE"), "what was typed is no UTF-8: b'NO\\xffWHERE'"),
        (("show", "NOWHERE"), "no source has a queue 'NOWHERE'"),
        (("history", "NOWHERE"), "no source has a queue 'NOWHERE'"),
        (("ls", "--status", "broken"), "must be one of online"),
        (("import",), "name a file or a URL"),
        (("import", "http://[/x"), "Invalid IPv6 URL"),
        (("import", "/etc/hostname", "--source", "x" * 201), "1 to 200 characters"),
        (("import", "--allow-removals", "lab.json", "--dry-run"), "are of a file or a URL: name it"),
        (("import", "/nowhere.json"), "No such file"),
        (("import", "/etc/hostname"), "JSON"),
        (("import", "http://127.0.0.1:1/x", "--kind", "queues"), "it cannot be asked"),
        (("import", "/etc/hostname", "--kind", "jobs"), "is none of: queues"),
        (("import", "--allow-removals", "nobody"), "was ever asked"),
        (("export", "/nowhere/at/all.json"), "No such file"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run("queues", *arguments)
    assert (done.returncode > 0, says in " ".join((done.stderr + done.stdout).split())) == (True, True), done.stderr


def test_a_document_of_cric_is_imported_by_its_address(run: Run, database: Database) -> None:
    one = cric.Cric()
    try:
        one.fill(3)
        for kind, of in (("storages", Kind.STORAGE), ("queues", Kind.QUEUE)):
            done = run("queues", "import", one.url(of), "--kind", kind, "--source", f"by hand, {kind}")
            assert done.returncode == 0, done.stderr
    finally:
        one.close()
    assert database.value("SELECT count(*) FROM information WHERE kind = 'queue'") == 3


@pytest.mark.usefixtures("imported")
def test_pages_say_what_is_known_and_what_is_wrong_with_it(user: Caller, database: Database) -> None:
    database.execute(
        "UPDATE information_source SET trouble = %s, trouble_since = now() - interval '2 hours'", (HOSTILE,)
    )
    found = user.get("/ui/information.json")
    assert [(row["name"], row["status"], row["source"]) for row in found["rows"]] == [
        ("ONE", "online", "lab.json"), ("TWO", "offline", "lab.json"),
    ]  # fmt: skip
    assert (found["sources"][0]["trouble"], found["rejected"][0]["name"]) == (HOSTILE, "BAD")
    assert user.get("/ui/information.json", name="tw")["rows"][0]["name"] == "TWO"
    assert user.get("/ui/information.json", status="offline")["rows"] == [], "as set or said"
    part = user.get("/ui/information.json", limit=1)
    assert user.get("/ui/information.json", limit=1, after=part["next"])["rows"][0]["name"] == "TWO"
    assert user.http.get("/ui/information.csv").text.splitlines()[1].startswith("ONE,online,")
    one = user.get("/ui/sites/TWO.json")
    assert (one["facts"]["downtimes"][0]["reason"], one["storages"][0]["path"]) == (HOSTILE, "/data")
    assert one["history"][0]["before"] is None
    for path in ("/ui/information", "/ui/sites", "/ui/sites/TWO", "/ui/sites/BAD"):
        answer = user.http.get(path)
        assert (HOSTILE in answer.text, "alert(1)" in answer.text) == (False, answer.status_code == 200), path


def test_an_operator_sets_a_status_and_pilots_follow(
    imported: Path, ana: Browser, pilot: Caller, database_url: str, database: Database
) -> None:
    def ask() -> Any:
        return pilot.post("/api/v1/pilot/acquire_jobs", ASK)

    wait_until(lambda: ask()["message"] == "No jobs in PanDA", "the gateway knows the queue")
    add_jobs(database_url, range(1, 3), site="ONE")
    done = ana.act("set_status", name="ONE", status="offline", hours=4, key="the-key-1", reason="fire")
    assert "ONE is set offline until" in ana.told(done)
    assert ana.act("set_status", name="ONE", status="offline", hours=4, key="the-key-1", reason="fire").is_redirect
    set_once = "SELECT object, detail ->> 'name', detail ->> 'reason' FROM audit WHERE action = 'queue_status_set'"
    assert database.rows(set_once) == [("site ONE", "ana", "fire")]
    wait_until(lambda: "No jobs in PanDA: ONE is set offline until" in ask()["message"], "pilots get none")
    assert pilot.post("/server/panda/getJob", {"siteName": "ONE"})["errorDialog"].endswith("by ana: fire")
    assert pilot.get("/cache/schedconfig/ONE.all.json")["status"] == "offline"
    why = pilot.get("/ui/jobs/1.json")["why"]["sentence"]
    assert why.startswith("Pilots get no jobs there: ONE is set offline until"), why
    assert 'action="/ui/act/lift_status"' in ana.get("/ui/sites/ONE")
    assert ana.act("lift_status", name="ONE").is_redirect
    wait_until(lambda: ask()["data"], "they get jobs again")
    wait_until(lambda: 'action="/ui/act/lift_status"' not in ana.get("/ui/sites/ONE"), "there is nothing to lift")
    assert ana.act("set_status", name="NOWHERE", status="offline").status_code == 400
    assert ana.act("set_status", name="ONE", status="closed").status_code == 400


def test_a_site_is_paused_and_resumed_from_the_terminal(run: Run, imported: Path, database: Database) -> None:
    assert run("sites", "pause", "ONE", "--reason", "fire", "--actor", "ana").returncode == 0
    assert run("sites", "resume", "ONE", "--actor", "ana").returncode == 0
    assert "there is no site" in run("sites", "pause", "NOWHERE", "--reason", "x").stderr
    assert [row[1:3] for row in database.rows(AUDIT)][1:] == [
        ("pause_requested", "site ONE"), ("resume_requested", "site ONE"),
    ]  # fmt: skip
    assert json.loads(run("sites", "ONE", "--json").stdout)["facts"]["source"] == "lab.json"
    assert run("sites", "NOWHERE").returncode == 1
