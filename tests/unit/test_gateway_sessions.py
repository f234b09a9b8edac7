"""A browser's session: whom its cookie names and where, and which forms are taken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gateway.access import sessions
from gateway.access.sessions import Seals
from gateway.dashboard.forms import FORMS
from gateway.dashboard.session import SESSION
from gateway.http.door import Door
from gateway.http.refusal import ForbiddenError
from gateway.wire.forms import Form
from tests.callers import seen
from tests.gateway_http import bearer
from tests.gateway_inside import Answered, Client, Store, gateway


class Keys:
    """What the database knows of keys."""

    def __init__(self, *known: bytes) -> None:
        self.known = dict.fromkeys(("forms",), known[0]) if known else {}

    async def shared_key(self, name: str, proposed: bytes) -> bytes:
        return self.known.setdefault(name, proposed)


async def post(door: Door, path: str, session: str, form: dict[str, str]) -> Answered:
    headers = [(b"cookie", f"panda_fsm_session={session}".encode())] if session else []
    return await Client(door).ask("POST", path, [urlencode(form).encode()], headers)


def shown(session: str) -> HTTPConnection:
    headers = [(b"cookie", f"panda_fsm_session={session}".encode())] if session else []
    return HTTPConnection({"type": "http", "headers": headers, "path": "/ui/"})


def test_a_session_is_read_on_pages_only_and_a_token_goes_before_it() -> None:
    cookie = {"cookie": f"panda_fsm_session={sessions.claimed('ana', 'operator', 'lab')}"}
    on_page, elsewhere = seen(cookie, "/ui/jobs"), seen(cookie, "/api/v1/job/kill")
    assert on_page.name == "ana"
    assert (on_page.roles, on_page.vos) == (frozenset({("lab", "operator")}), frozenset({"lab"}))
    assert elsewhere == seen({}) == seen(cookie, "/uix/jobs")
    assert seen(cookie | bearer({"sub": "bob"}), "/ui/jobs").name == "bob"
    assert seen({"cookie": f"panda_fsm_session={sessions.claimed('ana', 'admin', '')}"}, "/ui/").operates("shifter", "")


@pytest.mark.parametrize("session", ["", "x", "e30", "W10", sessions.claimed("", "admin", ""),
                                     sessions.claimed("ana", "emperor", ""), "A" * 2000])  # fmt: skip
def test_what_is_no_session_names_nobody(session: str) -> None:
    assert seen({"cookie": f"panda_fsm_session={session}"}, "/ui/") == seen({})


def test_a_seal_is_of_one_session_and_the_same_at_every_gateway() -> None:
    async def play() -> None:
        keys = Keys()
        one, other = Seals(keys), Seals(keys)
        mine, theirs = (shown(sessions.claimed("ana", "admin", "")) for _ in range(2))
        seal = await one.seal(mine)
        await other.check(mine, seal)
        assert await Seals(Keys()).seal(mine) != seal
        assert await one.seal(shown("")) == ""
        for request, sent in ((theirs, seal), (mine, ""), (mine, seal[:-1]), (shown(""), ""), (shown(""), seal)):
            with pytest.raises(ForbiddenError, match=r"sign in|reload its page"):
                await other.check(request, sent)

    asyncio.run(play())


def test_a_cookie_is_for_our_pages_and_no_script_reads_it() -> None:
    answer = Response()
    sessions.begin(answer, "x")
    said = answer.headers["set-cookie"].lower()
    assert all(part in said for part in ("httponly", "samesite=strict", "path=/ui;"))


@pytest.mark.parametrize("route", FORMS, ids=lambda route: route.path)
def test_each_form_of_a_page_brings_the_seal(route: Any) -> None:
    assert (route.method, issubclass(route.model, Form)) == ("POST", True)
    assert route.path.startswith(f"{sessions.PAGES}/")


def test_a_form_without_the_seal_is_refused_and_signing_in_leads_back(tmp_path: Path) -> None:
    session = sessions.claimed("", "", "")
    form = {"name": "ana", "role": "operator", "back": "/ui/jobs?state=failed"}

    async def play() -> Answered:
        async with gateway(Store(), tmp_path) as door:
            seal = await Seals(Keys(b"key")).seal_of(session)
            for cookie, sent in (("", seal), (session, ""), (session, "0" * 64)):
                answer = await post(door, SESSION, cookie, form | {"seal": sent})
                assert answer.status == 403, answer.body
            for back in ("//evil", "https://evil/ui/", "/ui/\\evil", "/docs", "/ui/\r\nx: y"):
                answer = await post(door, SESSION, session, form | {"seal": seal, "back": back})
                assert answer.status == 400, answer.body
            return await post(door, SESSION, session, form | {"seal": seal})

    answer = asyncio.run(play())
    assert (answer.status, answer.headers["location"]) == (303, "/ui/jobs?state=failed")
    begun = answer.headers["set-cookie"].partition(";")[0]
    who = seen({"cookie": begun}, "/ui/")
    assert (who.name, who.rank) == ("ana", "operator")
