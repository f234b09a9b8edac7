"""A browser's session: a cookie that says who it is, and the seal that every form of a page brings beside it.

The seal is made of the cookie with a key that all gateways share (ADR 0047): whoever plants a cookie, as a program on
another port of the same host can, knows no seal for it.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

import orjson
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gateway.access.identity import LADDER, Identity
from gateway.http.refusal import ForbiddenError
from gateway.ports import SharedKeyStore

PAGES = "/ui"
_COOKIE = "panda_fsm_session"
_LONGEST = 1024
_ISSUER = "browser"
_KEY = "forms"
_RANDOM_BYTES = 18


class Seals:
    """Says which forms were made for the session that sends them."""

    def __init__(self, keys: SharedKeyStore) -> None:
        self._keys = keys
        self._key = b""

    async def seal(self, request: HTTPConnection) -> str:
        """What the forms of a page bring along; nothing for who has no session. Raises TransientError."""
        session = session_of(request)
        return await self.seal_of(session) if session else ""

    async def seal_of(self, session: str) -> str:
        """The same for a session that is about to begin."""
        if not self._key:
            self._key = await self._keys.shared_key(_KEY, secrets.token_bytes(32))
        return hmac.new(self._key, session.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()

    async def check(self, request: HTTPConnection, sent: str) -> None:
        """Raises ForbiddenError for a form that no page of ours made for this session."""
        expected = await self.seal(request)
        if not expected:
            raise ForbiddenError(f"nobody is signed in here: sign in at {PAGES}/session, then send the form again")
        if not hmac.compare_digest(expected.encode(), sent.encode(errors="surrogatepass")):
            raise ForbiddenError("the form was not made for this session: reload its page, then send it again")


def session_of(request: HTTPConnection) -> str:
    """The session that a browser shows, as it is kept in its cookie; nothing if there is none."""
    found = request.cookies.get(_COOKIE, "")
    return found if len(found) <= _LONGEST else ""


def claimed(name: str, role: str, vo: str) -> str:
    """A session of somebody who is believed; without a name it is nobody's, for the page that asks for the name."""
    content = [secrets.token_urlsafe(_RANDOM_BYTES), name, role, vo]
    return urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


@lru_cache(maxsize=1024)
def of_claim(session: str) -> Identity | None:
    """Whom such a session names."""
    try:
        content = orjson.loads(urlsafe_b64decode(session + "=" * (-len(session) % 4)))
    except ValueError:
        return None
    if not isinstance(content, list) or len(content) != 4 or not all(isinstance(part, str) for part in content):
        return None
    _, name, role, vo = content
    if not name or role not in LADDER:
        return None
    return Identity(_ISSUER, name, name, frozenset({(vo, role)}), frozenset({vo} - {""}))


def begin(response: Response, session: str) -> None:
    """The browser shows the session from now on, to the pages only and to no other site."""
    response.set_cookie(_COOKIE, session, path=PAGES, httponly=True, samesite="strict")


def end(response: Response) -> None:
    """The browser forgets it."""
    response.delete_cookie(_COOKIE, path=PAGES, httponly=True, samesite="strict")
