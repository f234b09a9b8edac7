"""The searches for waiting jobs: each kind of question has an index, and what one leaves open the next one answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import AsyncConnection

from panda_fsm.claims import Filters, Seat
from sql.queries import load
from sql.seats import Asked

_Q = load("claims")
_FRONT = 1000
"""Jobs in the order of dispatch among which the usual search looks."""
_CLASSES = 200
"""Classes of waiting jobs that the second search visits at most: two milliseconds."""
_SPARE = 100
"""So many of the best jobs may be locked by others before the second search gives way to the one that reads all."""
_NO_LIMIT = 2**31 - 1
_LIMITS = ("memory", "disk", "remaining_time", "core_count")
_SEARCHES = ("pick_front", "look_behind", "pick_classes", "pick_all")
_SITE: LiteralString = "w.site = %(site)s"
_TASK: LiteralString = "w.site || '/' || w.task_id::text = %(site)s::text || '/' || %(task_id)s::bigint::text"
_USER: LiteralString = "w.site || '/' || w.user_name = %(site)s::text || '/' || %(user_name)s::text"
_TASK_AND_USER: LiteralString = f"{_TASK} AND w.user_name = %(user_name)s"
_BACKGROUND: LiteralString = "w.is_background AND w.site || '/background' = %(site)s::text || '/background'"
_BACKGROUND_OF: LiteralString = f"""{_BACKGROUND}
    AND (%(task_id)s::bigint IS NULL OR w.task_id = %(task_id)s::bigint)
    AND (%(user_name)s::text IS NULL OR w.user_name = %(user_name)s::text)"""


def _below(leading: LiteralString) -> dict[str, LiteralString]:
    """The searches for pilots that ask for one task or user, or for the background, led by an index of its own.

    Below it there is no order of dispatch, but the classes are few: no look at the front.
    """
    return {name: _Q[name].replace(_SITE, leading) for name in _SEARCHES[2:]}


_PICK_FRONT: LiteralString = "\n".join((_Q["pick_front"], _Q["front"], _Q["picked_front"]))
_QUERIES: Mapping[tuple[bool, bool], Mapping[str, LiteralString]] = {
    (False, False): {name: _PICK_FRONT if name == "pick_front" else _Q[name] for name in _SEARCHES},
    (True, False): _below(_TASK),
    (False, True): _below(_USER),
    (True, True): _below(_TASK_AND_USER),
}
_FOR_BACKGROUND = _below(_BACKGROUND_OF)
"""Its jobs are few, whoever they are of: they have one index."""


@dataclass(slots=True)
class Search:
    """One group of equal seats: what was found for it so far, and what is known of the rest."""

    filters: Filters
    seats: Sequence[Seat] = ()
    job_ids: list[int] = field(default_factory=list)
    unseen: bool = True
    missed: bool = False

    @property
    def wanted(self) -> int:
        return len(self.seats) - len(self.job_ids)

    @property
    def queries(self) -> Mapping[str, LiteralString]:
        f = self.filters
        return _FOR_BACKGROUND if f.background else _QUERIES[f.task_id is not None, f.user_name is not None]

    def needs(self, name: str) -> bool:
        """Whether this search is to be made."""
        return name in self.queries and self.unseen and self.wanted > 0

    def parameters(self) -> dict[str, Any]:
        f = self.filters
        limits = {name: min(_NO_LIMIT, _NO_LIMIT if (v := getattr(f, name)) is None else v) for name in _LIMITS}
        return limits | {
            "site": f.site, "labels": None if f.labels is None else list(f.labels), "resource_type": f.resource_type,
            "task_id": f.task_id, "user_name": f.user_name, "wanted": self.wanted,
            "front": _FRONT + 2 * self.wanted, "classes": _CLASSES, "candidates": self.wanted + _SPARE,
            "too_few_cores": f.too_few_cores,
        }  # fmt: skip


async def search(connection: AsyncConnection[Any], searches: Sequence[Search], asked: Asked) -> None:
    """Find jobs for all. The searches of one kind go to the server at once; a later one does not see what is taken.

    With the first of them it is asked what the pilots were given before.
    """
    places = asked.places()
    for name in _SEARCHES:
        to_make = [search for search in searches if search.needs(name)]
        if not to_make:
            continue
        seated = await connection.execute(_Q["seated"], {"places": places}) if places else None
        cursors = [await connection.execute(one.queries[name], one.parameters()) for one in to_make]
        if seated is not None:
            places = []
            asked.note(await seated.fetchall())
        for one, cursor in zip(to_make, cursors, strict=True):
            found = await cursor.fetchone()
            if found is not None:
                one.job_ids += found[0]
                one.unseen, one.missed = found[1:]
