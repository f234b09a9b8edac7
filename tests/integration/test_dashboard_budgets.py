"""What pages cost: few statements that give few rows, one drawing for many, and no delay of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from gateway.access.sessions import claimed
from gateway.dashboard import templating, twins
from gateway.http.door import Door
from panda_fsm.jobs.facts import TableLimits
from sql.gateway_store import GatewayStore
from sql.pool import _PORTION, Pool
from tests import factories
from tests.driver import Database
from tests.gateway_inside import Answered, Client
from tests.gateway_inside import gateway as opened
from tests.inprocess import Serve
from tests.integration.test_process import Creator

MOST = {
    "/ui/": (22, 1000), "/ui/queues": (6, 200), "/ui/queues/watcher": (9, 1000), "/ui/workers": (3, 200),
    "/ui/jobs": (5, 100), "/ui/jobs/1": (13, 200), "/ui/tasks": (4, 100), "/ui/tasks/7": (8, 200),
    "/ui/sites": (10, 1500), "/ui/sites/Q": (21, 1000), "/ui/flow": (8, 1000), "/ui/stuck": (3, 1500),
    "/ui/errors": (5, 250), "/ui/errors?by=site&since=15d": (5, 500), "/ui/dead": (5, 200), "/ui/dead/1": (8, 100),
    "/ui/audit": (4, 100), "/ui/information": (5, 300), "/ui/go": (3, 50), "/ui/operations": (4, 100),
    "/ui/system": (12, 200),
}  # fmt: skip
"""By page, at most: statements of operators' connections, and rows that all of them give."""
MUCH = """
INSERT INTO job_count (state, site, vo, jobs) SELECT 'running', 'S' || n %% 100, 'v', 1 FROM generate_series(1, 5000) n;
INSERT INTO error_count SELECT date_trunc('hour', now(), 'UTC') - n / 300 * interval '1 hour', 'v', 'S' || n %% 100,
    'pilot', n %% 300, 1, now() - n / 300 * interval '1 hour', now() - n / 300 * interval '1 hour', 'said', 1
    FROM generate_series(0, 5000) n;
INSERT INTO site_ended SELECT 'S' || s, span, date_trunc('hour', now()) - n * make_interval(secs => span), 9, 9, 9, 9, 9
    FROM generate_series(1, 100) s, unnest('{60,3600}'::int[]) span, generate_series(0, 30) n;
INSERT INTO node_ended SELECT 'Q', date_bin('10 min', now(), 'epoch'), 'wn' || n, n, n FROM generate_series(1, 3000) n;
INSERT INTO transition_count SELECT '', 60, date_trunc('minute', now()) - n * interval '1 min', transition_id, 9, 9, 9
    FROM job_transition, generate_series(0, 30) n;
INSERT INTO audit (actor, action, object) SELECT 'a', 'b', 'job 1' FROM generate_series(1, 3000);
INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)
    SELECT 'watcher', 'e', 'r', '', '{}', 'r', 'f' || n %% 40 FROM generate_series(1, 3000) n;
INSERT INTO queue_sample (queue, at, ready, consumers)
    SELECT 'watcher', now() - n * interval '5 s', 1, 1 FROM generate_series(0, 2000) n;
"""


@pytest.fixture
def much(serve: Serve, database: Database) -> Database:
    """150 jobs of task 7, and thousands of rows of all that is counted and listed."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n) for n in range(1, 151))))
    for statement in MUCH.split(";\n"):
        if statement.strip():
            database.execute(statement, ())
    return database


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Statements of operators' connections, with how many rows each gave."""
    found: list[tuple[str, int]] = []
    execute = psycopg.AsyncConnection.execute

    async def counted(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        cursor = await execute(connection, query, *rest, **named)
        if connection.info.parameter_status("application_name") == "gateway.operators":
            found.append((str(query), cursor.rowcount))
        return cursor

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)
    return found


def inside(database_url: str, scene: Callable[[Door], Awaitable[None]]) -> None:
    """A gateway, without a network, on the database."""

    async def live() -> None:
        async with opened(GatewayStore(database_url, 3, 20, TableLimits({}, {}))) as door:  # type: ignore[arg-type]
            await scene(door)

    asyncio.run(live())


async def ask(door: Door, url: str, cookie: str = "") -> Answered:
    """A page."""
    path, _, query = url.partition("?")
    headers = [(b"cookie", f"panda_fsm_session={cookie}".encode())] if cookie else []
    return await Client(door).ask("GET", path, headers=headers, query=query.encode())


def test_a_page_costs_few_statements_that_give_few_rows(
    database_url: str, much: Database, asked: list[tuple[str, int]]
) -> None:
    async def scene(door: Door) -> None:
        for url, (statements, rows) in MOST.items():
            door._gateway.board._looks.clear()
            door._gateway.store.dashboard.stuck._known_until = 0  # type: ignore[attr-defined]
            asked.clear()
            assert (await ask(door, url)).status == 200, url
            assert len(asked) <= statements, (url, asked)
            assert sum(count for _, count in asked) <= rows, (url, asked)

    inside(database_url, scene)


def test_who_has_no_forms_is_shown_what_was_drawn_for_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = templating.rendered

    def noted(template: str, **context: Any) -> str:
        drawn.append(template)
        return draw(template, **context)

    monkeypatch.setattr("gateway.dashboard.answers.rendered", noted)

    async def scene(door: Door) -> None:
        first, second = [await ask(door, "/ui/sites") for _ in range(2)]
        assert drawn == ["sites.html"]
        assert first.body.replace(_clock(first), b"") == second.body.replace(_clock(second), b"")
        assert b"clock-" not in second.body
        session = claimed("Somebody", "operator", "")
        signed = [await ask(door, "/ui/sites", session) for _ in range(2)]
        assert len(drawn) == 3, "whoever has a session has a page of his own"
        assert all(b"Somebody" in answer.body for answer in signed)
        assert b"Somebody" not in (await ask(door, "/ui/sites")).body

    inside(database_url, scene)


def _clock(answer: Answered) -> bytes:
    return answer.body.partition(b'<time id="clock"')[2].partition(b"</time>")[0]


def test_what_takes_long_is_written_beside_the_event_loop(
    database_url: str, much: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def watched(name: str, write: Callable[..., Any]) -> None:
        def noted(*given: Any, **named: Any) -> Any:
            threads.append(threading.current_thread())
            return write(*given, **named)

        monkeypatch.setattr(f"gateway.dashboard.{name}", noted)

    for name, write in (
        ("answers.rendered", templating.rendered), ("twins.as_json", twins.as_json), ("twins.as_csv", twins.as_csv)
    ):  # fmt: skip
        watched(name, write)

    async def scene(door: Door) -> None:
        await ask(door, "/ui/jobs?limit=20")
        for few, url in (
            (False, "/ui/jobs?limit=140"), (False, "/ui/jobs.json?limit=140"), (False, "/ui/jobs.csv?limit=140"),
            (True, "/ui/jobs?limit=30"), (True, "/ui/jobs.json?limit=30"), (True, "/ui/jobs.csv?limit=30"),
        ):  # fmt: skip
            threads.clear()
            assert (await ask(door, url)).status == 200
            assert [thread is threading.main_thread() for thread in threads] == [few], url

    inside(database_url, scene)


@pytest.mark.parametrize("portions", [0, 1, 5])
def test_many_rows_are_read_while_others_have_their_turn(database_url: str, portions: int) -> None:
    count = portions * _PORTION + portions
    turns: list[int] = []

    async def scene() -> None:
        pool = Pool(database_url, "test", 1, 5)
        await pool.open()
        rows = await pool.rows("SELECT generate_series(1, %(count)s)", count=count)
        assert rows == [(number,) for number in range(1, count + 1)]
        await pool.close()

    async def noted(seconds: float) -> None:
        turns.append(1)
        await sleep(seconds)

    sleep = asyncio.sleep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sql.pool.asyncio.sleep", noted)
        asyncio.run(scene())
    assert len(turns) >= portions
