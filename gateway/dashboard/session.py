"""Signing in and out with a browser, where the identity provider believes what people say of themselves."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from gateway.access import sessions
from gateway.access.identity import LADDER
from gateway.context import Gateway
from gateway.dashboard.answers import a_page
from gateway.dashboard.table import frame
from gateway.dashboard.visitor import visitor
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from gateway.wire.forms import Form, SignIn, SignOut

SESSION = f"{sessions.PAGES}/session"


async def ask(gateway: Gateway, call: Call, _ask: None) -> Response:
    """Who they are, and a form to say so; the form needs a session, so one begins that is nobody's."""
    known = sessions.session_of(call.request)
    session = known or sessions.claimed("", "", "")
    seal = await gateway.seals.seal_of(session)
    around = await frame(None, gateway, await visitor(gateway, call))
    answer = a_page(200, "session.html", around, visitor=around.visitor, seal=seal, roles=LADDER, back=_back(call))
    if not known:
        sessions.begin(answer, session)
    return answer


def _back(call: Call) -> str:
    """The page of ours whose link led here: who signs in to act goes on there."""
    try:
        came = urlsplit(call.request.headers.get("referer", ""))
        if not came.path.startswith(SESSION):
            return Form(back=f"{came.path}?{came.query}" if came.query else came.path).back
    except ValueError:
        pass
    return Form().back


async def sign_in(gateway: Gateway, _call: Call, ask: SignIn) -> Response:
    """From now on the browser shows who they said they are."""
    if not gateway.identities.asks_for_names:
        raise NotFoundError("nobody signs in by a form here: the identity provider asks elsewhere")
    answer = RedirectResponse(ask.back, 303)
    sessions.begin(answer, sessions.claimed(ask.name.strip(), ask.role, ask.vo))
    return answer


async def sign_out(_gateway: Gateway, _call: Call, ask: SignOut) -> Response:
    """From now on it shows nothing."""
    answer = RedirectResponse(ask.back, 303)
    sessions.end(answer)
    return answer
