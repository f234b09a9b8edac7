"""The pages of queues and workers: what is wrong comes first, in words; what others wrote is shown as text."""

from __future__ import annotations

import pytest

from tests.driver import Database
from tests.gateway_http import Caller
from tests.polling import wait_until

HOSTILE = "<script>alert(1)</script>"


def fill(database: Database) -> None:
    """A queue in trouble, one that is paused, one that does well; processes of each."""
    database.execute(
        "INSERT INTO queue_sample (queue, at, ready, consumers, handled, oldest_at)"
        " SELECT q, now(), n, 1, 100, now() - make_interval(secs => n)"
        " FROM (VALUES ('adder', 420), ('closer', 7), ('setupper', 0)) AS v (q, n)"
    )
    database.execute(
        "INSERT INTO queue_sample (queue, at, ready, consumers, handled)"
        " SELECT 'adder', now() - ago, n, 1, 40 FROM (VALUES (interval '60 s', 400), ('120 s', 380)) AS v (ago, n)"
    )
    database.execute(
        "INSERT INTO process (service, host, pid, started_at, seen_at, trouble, queue, program, handled, in_hand,"
        " in_hand_since, is_paused)"
        " VALUES ('adder', 'here', 1, now(), now(), %s, 'adder', '1.0', 100, 5, now() - interval '3 min', false),"
        " ('closer', 'here', 2, now(), now(), NULL, 'closer', '1.1', 5, 0, NULL, true),"
        " ('setupper', 'here', 3, now(), now() - interval '5 min', NULL, 'setupper', '1.1', 5, 0, NULL, false)",
        (HOSTILE,),
    )
    database.execute(
        "INSERT INTO pause (kind, name, is_paused, actor, reason, until, message_id)"
        " VALUES ('queue', 'closer', true, 'ana', %(why)s, NULL, gen_random_uuid()),"
        " ('site', 'SITE_A', true, 'ana', 'it burns', now() + interval '1 h', gen_random_uuid()),"
        " ('queue', 'adder', true, 'ana', 'over', now() - interval '1 h', gen_random_uuid()),"
        " ('queue', 'finisher', false, 'ana', '', NULL, gen_random_uuid())",
        {"why": HOSTILE},
    )
    database.execute(
        "INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)"
        " SELECT 'adder', '', 'adder', 'x', '{}', %s, 'f1' FROM generate_series(1, 3)",
        (HOSTILE,),
    )


def test_what_is_wrong_comes_first_and_says_why(user: Caller, database: Database) -> None:
    fill(database)
    found = user.get("/ui/queues.json")
    rows = {row["name"]: row for row in found["rows"]}
    assert [row["name"] for row in found["rows"]] == ["adder", "setupper", "closer"]
    adder = rows["adder"]
    assert (adder["word"], adder["ready"], adder["in_hand"], adder["alive"]) == ("stuck", 420, 5, 1)
    assert adder["out_per_s"] == pytest.approx(1.0, rel=0.05)
    assert adder["in_per_s"] > 1.3
    assert adder["drain_s"] is None
    assert 419 < adder["oldest_s"] < 480
    assert (rows["setupper"]["word"], rows["closer"]["word"]) == ("nobody serves it", "paused")
    assert [(one["kind"], one["name"]) for one in found["pauses"]] == [("queue", "closer"), ("site", "SITE_A")]
    assert [row["name"] for row in user.get("/ui/queues.json", level="warn")["rows"]] == ["closer"]
    page = user.http.get("/ui/queues").text
    assert "it burns" in page
    assert "&lt;script&gt;" in page
    assert user.http.get("/ui/queues.csv").text.startswith("name,reader,purpose,ready,")


def test_one_queue_with_its_keys_processes_hour_and_dead_letters(user: Caller, database: Database) -> None:
    fill(database)
    found = user.get("/ui/queues/adder.json")
    assert (found["queue"]["word"], found["keys"], found["may_be_paused"]) == ("stuck", ["job.holding"], True)
    assert [(one["host"], one["standing"]) for one in found["rows"]] == [("here", "stuck")]
    assert [(one["letters"], one["fingerprint"]) for one in found["causes"]] == [(3, "f1")]
    seen = [step["ready"] for step in found["hour"]["steps"] if step["ready"] is not None]
    assert seen[:2] == [380, 400], "the newest may be of a step that has just begun"
    assert len(found["hour"]["steps"]) >= 120
    page = user.http.get("/ui/queues/adder").text
    assert HOSTILE not in page
    assert page.count("<svg") == 3
    assert user.http.get("/ui/queues/nowhere").status_code == 404
    assert user.http.get("/ui/queues/%3Cscript%3E").status_code == 404


def test_a_young_system_says_that_nobody_looked_yet(user: Caller) -> None:
    found = user.get("/ui/queues.json")
    assert {row["as_of"] for row in found["rows"]} == {None}
    assert user.http.get("/ui/queues/watcher.large").status_code == 200
    assert user.get("/ui/queues/watcher.large.json")["may_be_paused"] is False


def test_workers_who_needs_somebody_and_who_is_missing(user: Caller, database: Database) -> None:
    wait_until(lambda: database.rows("SELECT 1 FROM process WHERE service = 'gateway'"), "the gateway shows itself")
    fill(database)
    found = user.get("/ui/workers.json")
    standing = [(row["service"], row["standing"]) for row in found["rows"]]
    assert standing == [("adder", "stuck"), ("setupper", "silent"), ("closer", "paused"), ("gateway", "alive")]
    assert {"daemon", "setupper", "ddm"} <= set(found["missing"])
    assert not {"gateway", "adder", "closer"} & set(found["missing"])
    assert {"1.0", "1.1"} < set(found["programs"])
    assert [row["service"] for row in user.get("/ui/workers.json", standing="paused")["rows"]] == ["closer"]
    page = user.http.get("/ui/workers").text
    assert HOSTILE not in page
    assert "Nobody serves daemon" in page
    assert "side by side" in page
    assert user.http.get("/ui/workers", params={"standing": "asleep"}).status_code == 400
