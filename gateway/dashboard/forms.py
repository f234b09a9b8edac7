"""What the forms of the pages send, each with the action that says who may: no part of the API (ADR 0047)."""

from dataclasses import replace
from functools import partial

from gateway.access.policy import Action
from gateway.dashboard import answers, editing, operations, session
from gateway.dashboard.actions import ACTIONS, EDIT, act
from gateway.dashboard.table import bare
from gateway.http.answers import Convention
from gateway.http.route import KB, MB, Content, Handler, Route
from gateway.wire.forms import BulkForm, CopyForm, Form, SignIn, SignOut

_DONE = Content("The page that it leads back to.", ("text/html",))
_LIMIT = 64 * KB


def _form(path: str, access: Action, handler: Handler, summary: str, model: type[Form]) -> Route:
    """Done, it leads back to a page; refused, to one that says why."""
    return Route(
        "POST", path, handler, access, summary, _DONE, model, Convention.PAGE, _LIMIT, "dashboard",
        not_accepted=lambda reason: answers.away(reason, bare()), refused=lambda error: answers.refused(error, bare()),
    )  # fmt: skip


def _page(path: str, handler: Handler, summary: str) -> Route:
    """A page that asks for something: it has no twins."""
    return replace(_form(path, Action.LOOK, handler, summary, Form), method="GET", model=None)


ASKING: tuple[Route, ...] = (
    _page(session.SESSION, session.ask, "Who are you?"),
    replace(_page(editing.EDITOR, editing.ask, "Edit a copy of a dead letter"), access=EDIT.access),
)
FORMS: tuple[Route, ...] = (
    _form(session.SESSION, Action.LOOK, session.sign_in, "Say who you are", SignIn),
    _form(f"{session.SESSION}/end", Action.LOOK, session.sign_out, "Sign out", SignOut),
    replace(
        _form(editing.DIFFERENCE, EDIT.access, editing.difference, "What a copy would change", CopyForm), body_limit=MB
    ),
    replace(_form(EDIT.path, EDIT.access, partial(act, EDIT), EDIT.says, EDIT.model), body_limit=MB),
    _form(operations.BEGIN, Action.BULK, operations.begin, "Do it to all of these jobs", BulkForm),
    *(_form(row.path, row.access, partial(act, row), row.says, row.model) for row in ACTIONS.values()),
)
