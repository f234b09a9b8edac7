"""`panda-fsm audit`: who did what, to what, when and why."""

from typing import Annotated, Any

import typer

from command import lists
from command.terminal import AsJson


def audit(
    actor: Annotated[str | None, typer.Option(help="a name, or an identity's key")] = None,
    action: Annotated[str | None, typer.Option(help="such as kill_requested")] = None,
    about: Annotated[str | None, typer.Option("--object", help="such as 'job 4711', as it is written there")] = None,
    since: lists.Since = None,
    after: lists.After = None,
    limit: lists.Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show who did what, the newest first."""
    from gateway.dashboard.audit import PAGE

    asked = {
        "actor": actor, "action": action, "object": about, "since": since, "after": after, "limit": limit,
    }  # fmt: skip
    columns: tuple[lists.Column[Any], ...] = (
        ("at", lambda entry: entry.at),
        ("who", lambda entry: entry.who),
        ("did", lambda entry: entry.deed),
        ("object", lambda entry: entry.object),
        ("reason", lambda entry: entry.reason),
        ("told", lambda entry: ", ".join(f"{name} {value}" for name, value in entry.told)),
    )
    lists.tell(lists.look(PAGE, asked), columns, as_json)
