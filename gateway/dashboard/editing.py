"""An edited copy of a dead letter: its body as a text, the difference before it is confirmed, then it is sent."""

from starlette.responses import Response

from gateway.context import Gateway
from gateway.dashboard.actions import EDIT
from gateway.dashboard.answers import a_page
from gateway.dashboard.letters import NotNowError
from gateway.dashboard.table import frame
from gateway.dashboard.visitor import visitor
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from gateway.wire.forms import CopyForm
from panda_fsm.errors import LetterError
from panda_fsm.views.dead_letters import letter_number

EDITOR = "/ui/dead/edit/{name}"
DIFFERENCE = "/ui/dead/difference"


async def ask(gateway: Gateway, call: Call, _ask: None) -> Response:
    """The body as it is edited."""
    name = str(call.request.path_params["name"])
    letter_id = letter_number(name)
    if letter_id is None:
        raise NotFoundError(f"there is no dead letter {name!r:.80}")
    try:
        body = await gateway.store.dead_letters.to_edit(letter_id)
    except LetterError as error:
        raise NotNowError(str(error)) from None
    return await _page(gateway, call, letter_id, body)


async def difference(gateway: Gateway, call: Call, ask: CopyForm) -> Response:
    """What the copy would change, to be confirmed; or what is wrong with it, to be mended."""
    body = ask.body.replace("\r\n", "\n")
    try:
        found = await gateway.store.dead_letters.difference(ask.letter_id, body)
    except LetterError as error:
        return await _page(gateway, call, ask.letter_id, body, wrong=str(error))
    return await _page(gateway, call, ask.letter_id, body, found)


async def _page(
    gateway: Gateway, call: Call, letter_id: int, body: str, difference: str = "", wrong: str = ""
) -> Response:
    around = await frame(None, gateway, await visitor(gateway, call))
    status = NotNowError.status if wrong else 200
    shown = {"letter_id": letter_id, "body": body, "difference": difference, "wrong": wrong, "edit": EDIT}
    return a_page(status, "dead_edit.html", around, **shown)
