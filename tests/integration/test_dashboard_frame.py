"""What all pages share: refusals that help, headers, outages, one look for many viewers, and the stream of events."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from gateway.dashboard.table import PAGES
from lab.services import Services
from panda_fsm.jobs.facts import TableLimits
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.gateway_http import Caller
from tests.gateway_inside import Client
from tests.gateway_inside import gateway as opened
from tests.polling import wait_until
from tests.processes import Processes

MOST_STATEMENTS = {"Now": 22, "Sites": 10, "System": 12}
"""That a page may cost, badges included; others seven."""
PLAIN = [page for page in PAGES if "{name}" not in page.path]
CRAFTED = [
    ("limit", "0"), ("limit", "1001"), ("limit", "1e3"), ("after", "x"), ("after", "W10"), ("after", "4" * 900),
    ("after", "WyJhdWRpdCIsIjEiXQ"), ("after", "WyJvdGhlciIsMV0"), ("after", "é"), ("since", "yesterday"),
    ("since", "0001-01-01T00:00+23:59"), ("actor", "\x00"), ("actor", "x" * 300), ("colour", "red"),
]  # fmt: skip
"""Of the audit: numbers out of bounds, cursors of others, made up and too long, what no filter is called."""


@pytest.mark.parametrize(("name", "value"), CRAFTED)
def test_what_cannot_be_asked_is_named_with_what_can(onlooker: Caller, name: str, value: str) -> None:
    page = onlooker.http.get("/ui/audit", params={name: value})
    assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert name in page.text
    assert "such as kill_requested" in page.text
    twin = onlooker.http.get("/ui/audit.json", params={name: value})
    assert (twin.status_code, twin.json()["success"]) == (400, False)
    assert name in twin.json()["message"]


def test_a_filter_stands_once(onlooker: Caller) -> None:
    assert onlooker.http.get("/ui/audit?actor=a&actor=b").status_code == 400


@pytest.mark.parametrize("path", ["/ui/nowhere", "/ui/%3Cscript%3E", "/ui/static/nowhere.js"])
def test_what_is_not_there_is_said(onlooker: Caller, path: str) -> None:
    answer = onlooker.http.get(path)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@pytest.mark.parametrize("page", PLAIN, ids=lambda page: page.title)
def test_pages_are_whole_without_script_and_say_nothing_inline(onlooker: Caller, page: Any) -> None:
    answer = onlooker.http.get(page.url)
    assert answer.status_code == 200
    rules = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(rules)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    for inline in ("style=", "<style", "onclick", "javascript:", '="http', "url("):
        assert inline not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert onlooker.http.get(page.twin("json")).json()["as_of"]
    assert onlooker.http.get(page.twin("csv")).headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.count("<script") == 1


@pytest.mark.parametrize("page", PLAIN, ids=lambda page: page.title)
def test_a_page_costs_few_statements_and_many_viewers_cost_one_look(
    shared_url: str, monkeypatch: pytest.MonkeyPatch, page: Any
) -> None:
    asked: list[str] = []
    execute = psycopg.AsyncConnection.execute

    async def counted(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        if connection.info.parameter_status("application_name") == "gateway.operators":
            asked.append(query)
        return await execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)

    async def scene() -> None:
        store = GatewayStore(shared_url, 3, 20, TableLimits({}, {}))
        async with opened(store) as door:  # type: ignore[arg-type]
            for answer in await asyncio.gather(*(Client(door).ask("GET", page.url) for _ in range(20))):
                assert answer.status == 200

    asyncio.run(scene())
    assert len(asked) <= MOST_STATEMENTS.get(page.title, 7), asked


def test_with_the_database_away_a_page_says_so(gateway: Processes, services: Services, user: Caller) -> None:
    services.postgres.kill()
    answer: list[httpx.Response] = []

    def is_told() -> bool:
        answer[:] = [user.http.get("/ui/audit")]
        return answer[0].status_code == 503

    wait_until(is_told, "the page says that the database is away")
    assert "Nothing can be shown now" in answer[0].text
    assert answer[0].headers["retry-after"]
    twin = user.http.get("/ui/audit.csv")
    assert (twin.status_code, twin.json()["success"]) == (503, False)
    assert user.http.get("/livez").status_code == 200


def test_who_listens_hears_what_changes_until_the_gateway_ends(gateway: Processes, database: Database) -> None:
    heard: list[str] = []

    def listen() -> None:
        with (
            httpx.Client(base_url=gateway.gateway_url, trust_env=False, timeout=30) as client,
            client.stream("GET", "/ui/events") as stream,
        ):
            heard.append(stream.headers["content-type"])
            heard.extend(stream.iter_lines())

    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        wait_until(lambda: "event: hello" in heard, "it listens")

        def is_told() -> bool:
            database.execute("INSERT INTO audit (actor, action, object) VALUES ('a', 'b', 'c')")
            return "data: audit" in heard

        wait_until(is_told, "it hears of the audit")
        gateway.stop("gateway")
        listening.result(20)
    assert heard[0].startswith("text/event-stream")


def test_no_more_listen_than_are_let(database_url: str) -> None:
    async def scene() -> None:
        store = GatewayStore(database_url, 3, 20, TableLimits({}, {}))
        async with opened(store) as door:  # type: ignore[arg-type]
            door._gateway.events._most = 2
            first, second = Client(door), Client(door)
            listening = [await _listening(one) for one in (first, second)]
            assert (await Client(door).ask("GET", "/ui/events")).status == 503
            first.gone.set()
            await listening[0]
            third = Client(door)
            listening.append(await _listening(third))
            for one in (second, third):
                one.gone.set()
            await asyncio.gather(*listening)

    asyncio.run(scene())


async def _listening(client: Client) -> asyncio.Task[Any]:
    """Somebody who has heard something."""
    heard = asyncio.Event()
    asking = asyncio.create_task(
        client.ask("GET", "/ui/events", told=lambda message: heard.set() if message.get("body") else None)
    )
    await asyncio.wait_for(heard.wait(), 30)
    return asking
