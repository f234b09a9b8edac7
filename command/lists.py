"""Lists as their pages have them: the same filters, the same reads, the same JSON."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from command import asking, terminal

if TYPE_CHECKING:
    from gateway.dashboard.filters import Filters
    from panda_fsm.views.cursors import Part
    from sql.dashboard_store import DashboardStore

View = TypeVar("View")
Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], Any]]
"""What stands over a column, and what a row has in it."""

Since = Annotated[str | None, typer.Option(help="how far back: 30min, 1h, 7d, or a time in UTC")]
After = Annotated[str | None, typer.Option(help="where the list goes on, as it was told before")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="so many rows")]


def look(
    filters: "type[Filters]", asked: Mapping[str, Any], read: "Callable[[DashboardStore, Any], Awaitable[View]]"
) -> View:
    """What the page shows that has these filters; `asked` is what was typed. Raises BadParameter."""
    from gateway.dashboard.filters import FilterError

    try:
        wanted = filters.model_validate({name: str(value) for name, value in asked.items() if value is not None})
    except FilterError as error:
        raise typer.BadParameter(str(error)) from None
    return asking.ask(lambda store: read(store.dashboards, wanted))


def tell_json(view: Any) -> None:
    """As the page's JSON twin has it: ids are texts."""
    from gateway.dashboard.twins import as_json

    typer.echo(as_json(view, datetime.now(UTC)))


def tell(part: "Part[Row]", columns: "Sequence[Column[Row]]", as_json: bool) -> None:
    """A part of a list, and where it goes on."""
    if as_json:
        tell_json(part)
        return
    terminal.show([name for name, _ in columns], ([value(row) for _, value in columns] for row in part.rows))
    if part.next is not None:
        terminal.aside(f"there are more: --after {part.next}")
