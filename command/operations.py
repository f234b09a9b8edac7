"""`panda-fsm operations`: what is done to all jobs that a filter found, and how far each is."""

from typing import Annotated, Any

import typer

from command import lists
from command.terminal import AsJson
from panda_fsm.views import words


def operations(
    status: Annotated[str | None, typer.Option(help="running, done, cancelled or failed")] = None,
    actor: Annotated[str | None, typer.Option(help="who asked for it: a name, or an identity's key")] = None,
    after: lists.After = None,
    limit: lists.Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show operations, the newest first; they are cancelled on their pages."""
    from gateway.dashboard.operations import PAGE

    columns: tuple[lists.Column[Any], ...] = (
        ("operation", lambda one: one.operation_id),
        ("begun", lambda one: words.moment(one.created_at)),
        ("who", lambda one: one.actor_name),
        ("act", lambda one: one.act),
        ("status", lambda one: one.status),
        ("asked for", lambda one: one.progress),
        ("left out", lambda one: one.skipped),
        ("reason", lambda one: one.trouble or one.reason),
    )
    asked = {"status": status, "actor": actor, "after": after, "limit": limit}
    lists.tell(lists.look(PAGE, asked), columns, as_json)
