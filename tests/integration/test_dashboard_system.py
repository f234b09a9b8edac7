"""The system page: what the database says of itself, what is not well, and settings without what is secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from command.settings import Settings
from command.shown_settings import shown
from panda_fsm.views.health import Health
from panda_fsm.views.system import Broker, Connections, Database, Horizon, TableRow, judged
from sql.migrate import latest
from tests.driver import Database as Connection
from tests.gateway_http import Caller

TODAY = date(2026, 11, 26)
WELL = Database(
    "15", 10, 100, False, "0022", (Connections("gateway", 8, 1, 0, 0),), (TableRow("job", 10**6, 10, 1, 0, None),),
    (Horizon("job_history", date(2027, 2, 1)),),
)  # fmt: skip
BROKER = Broker(True, False, None)


def said(database: Database = WELL, broker: Broker = BROKER) -> list[str]:
    return [one.says for one in judged(database, broker, Health(), (), "0022", TODAY)]


def test_what_is_well_is_not_spoken_of() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (replace(WELL, is_read_only=True), "only be read"), (replace(WELL, schema="0021"), "panda-fsm migrate"),
        (replace(WELL, most_connections=9), "8 of 9 connections"),
        (replace(WELL, connections=(Connections("gateway", 8, 1, 0, 2),)), "2 connections of gateway wait for a lock"),
        (replace(WELL, horizons=(Horizon("job_history", date(2026, 12, 1)),)), "partitions for 5 days more"),
        (replace(WELL, tables=(TableRow("outbox", 5, 200_000, 1, 0, None),)), "200,000 dead rows beside 5 living ones"),
    ],
)  # fmt: skip
def test_what_is_not_well_with_the_database_is_said(database: Database, words: str) -> None:
    (sentence,) = said(database)
    assert words in sentence


def test_a_broker_that_is_away_or_full_is_said_first() -> None:
    slow = replace(WELL, most_connections=9)
    assert "has no broker" in said(slow, Broker(False, False, "refused"))[0]
    assert "memory or disk is full" in said(slow, Broker(True, True, "alarm"))[0]


def values(database_url: str, broker_url: str = "amqp://broker") -> dict[str, str]:
    """What is shown of settings."""
    config = Settings.model_validate({"database_url": database_url, "broker_url": broker_url})
    return {name: value for name, value, _ in shown(config)}


def test_secrets_are_not_shown() -> None:
    found = values("postgresql://panda:hush1@db.example:5432/panda?password=hush2", "amqp://panda:hush3@mq:5672/v")
    assert found["PANDA_FSM_DATABASE_URL"] == "postgresql://panda@db.example:5432/panda"
    assert found["PANDA_FSM_BROKER_URL"] == "amqp://panda@mq:5672/v"
    assert "hush" not in str(found)
    assert "hush" not in str(values("host=db password=hush4"))


def test_the_page_shows_database_broker_versions_and_settings(user: Caller) -> None:
    page = user.http.get("/ui/system").text
    for words in ("PostgreSQL", "panda-fsm", "gateway.operators", "PANDA_FSM_BATCH_SIZE", "nobody serves", latest()):
        assert words in page
    assert "@127.0.0.1" in page
    twin = user.get("/ui/system.json")
    assert {one["table"] for one in twin["database"]["horizons"]} >= {"job_history", "job_archive"}
    assert twin["database"]["schema"] == latest()
    assert [trouble["about"] for trouble in twin["troubles"]] == ["service"]


def test_the_page_shows_the_duties_of_the_daemon(user: Caller, database: Connection) -> None:
    database.execute(
        "INSERT INTO daemon_duty (name, what, every, is_alone, is_vital, limit_s, told_at, last_ended_at, last_outcome,"
        " last_error, last_done_at, paused_at, paused_by, paused_why) VALUES"
        " ('flow', 'Counts steps.', '4.0', true, false, 60, now(), now(), 'failed', '<b>no table</b>', now(), NULL,"
        " NULL, NULL), ('archive', 'Moves jobs.', '30 3 * * *', false, false, 60, now(), NULL, NULL, NULL, NULL,"
        " now(), 'ana', 'harm')"
    )
    page = user.http.get("/ui/system").text
    for words in ("Counts steps.", "&lt;b&gt;no table", "every 4.0 s", "at 30 3 * * *, each machine", "by ana since"):
        assert words in page
    twin = user.get("/ui/system.json")
    assert [(one["name"], one["level"], one["word"]) for one in twin["duties"]["rows"]] == [
        ("archive", "ok", "paused"), ("flow", "bad", "failed")
    ]  # fmt: skip
    assert "duty flow" in [trouble["about"] for trouble in twin["troubles"]]
