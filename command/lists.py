"""The pages of the dashboards on a terminal: the same filters, the same look, the same JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from command import asking, sites, terminal
from command.settings import settings

if TYPE_CHECKING:
    from gateway.dashboard.page import Page

Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], Any]]
"""What stands over a column, and what a row has in it."""

Since = Annotated[str | None, typer.Option(help="how far back: 30min, 1h, 7d, or a time in UTC")]
After = Annotated[str | None, typer.Option(help="where the list goes on, as it was told before")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="so many rows")]


def look(page: "Page", asked: Mapping[str, Any], name: str = "") -> Any:
    """What the page shows; `asked` is what was typed, `name` the last part of its path where that has one.

    Raises BadParameter for filters that say nothing, Exit where there is nothing of that name.
    """
    from command.compose import GATEWAY, NAMES
    from gateway.dashboard import typed
    from gateway.dashboard.filters import FilterError
    from gateway.http.refusal import NotFoundError

    try:
        wanted = typed.filters(page, asked)
        known, services = sites.now(settings()), tuple(one for one in NAMES if one != GATEWAY)
        return asking.ask(lambda store: typed.look(page, store.dashboards, known, services, wanted, name))
    except FilterError as error:
        raise typer.BadParameter(str(error)) from None
    except NotFoundError as error:
        terminal.aside(str(error))
        raise typer.Exit(1) from None


def tell_json(view: Any) -> None:
    """As the page's JSON twin has it: ids are texts."""
    from gateway.dashboard import typed

    typer.echo(typed.as_json(view))


def show(rows: Iterable[Row], columns: "Sequence[Column[Row]]", title: str = "") -> None:
    """Rows of a view, as a table."""
    terminal.show([name for name, _ in columns], ([value(row) for _, value in columns] for row in rows), title)


def tell(view: Any, columns: "Sequence[Column[Any]]", as_json: bool) -> None:
    """A list, and where it goes on."""
    if as_json:
        tell_json(view)
        return
    show(view.rows, columns)
    if getattr(view, "next", None) is not None:
        terminal.aside(f"there are more: --after {view.next}")
