"""Signing in and out with a browser, where the identity provider believes what people say of themselves."""

from starlette.responses import RedirectResponse, Response

from gateway.access import sessions
from gateway.context import Gateway
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from gateway.wire.forms import SignIn, SignOut

SESSION = f"{sessions.PAGES}/session"


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
