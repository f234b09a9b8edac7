"""`panda-fsm find`: whatever an operator has of a thing, and what is called so."""

from typing import Annotated, Any

import typer

from command import lists, terminal
from command.terminal import AsJson

Sought = Annotated[
    str,
    typer.Argument(metavar="WHAT", help="a PandaID, jediTaskID, jobsetID, block, job name, message id, user, ..."),
]


def find(what: Sought, as_json: AsJson = False) -> None:
    """Find whatever is called so, as the search of the pages does; exit code 1: nothing is."""
    from gateway.dashboard.go import PAGE

    if not what.strip():
        raise typer.BadParameter("say what to look for")
    columns: tuple[lists.Column[Any], ...] = (
        ("what", lambda hit: hit.kind),
        ("name", lambda hit: hit.name),
        ("how it is", lambda hit: hit.says),
    )
    found = lists.look(PAGE, {"q": what})
    if as_json:
        lists.tell_json(found)
    elif found.rows:
        lists.show(found.rows, columns)
    else:
        terminal.aside(f"nothing is called {terminal.harmless(what)!r}. It was looked for as: {'; '.join(found.tried)}")
    raise typer.Exit(0 if found.rows else 1)
