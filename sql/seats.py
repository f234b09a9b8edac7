"""The seats of one claim by their places: of which pilot it is known what it holds already, and who speaks for whom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from panda_fsm.claims import Filters, Given, Seat

Held = tuple[int, int]
"""A job and the version in which it was given."""


class SeatMovedError(Exception):
    """What pilots hold is not what was believed: `held` is what was found. Nothing is written; begin anew."""

    def __init__(self, held: dict[str, Held]) -> None:
        super().__init__()
        self.held = held


@dataclass(slots=True)
class Asked:
    """The seats of a claim by their places: who speaks for each, what it holds, what was seen of it."""

    seats: Sequence[Sequence[Seat]]
    last: dict[str, Seat] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    seen: dict[str, Held] = field(default_factory=dict)
    again: list[Given] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> "Asked":
        asked = cls([seats for _, seats in groups])
        for seat in (seat for seats in asked.seats for seat in seats):
            if seat.place is not None:
                if seat.place in asked.last:
                    asked.shared.add(seat.place)
                asked.last[seat.place] = seat
        return asked

    def begin_anew(self, held: dict[str, Held]) -> None:
        """The transaction is undone; this much is known by now."""
        self.held, self.seen, self.again = held, {}, []

    def spokesman(self, seat: Seat) -> Seat:
        """Of requests of one place that come together, the last: the others are given what it is given."""
        return seat if seat.place is None else self.last[seat.place]

    def of_group(self, number: int) -> list[Seat]:
        """The seats for which a job is searched."""
        return [s for s in self.seats[number] if self.spokesman(s) is s and s.place not in self.held]

    def places(self) -> list[str]:
        """Those of which it is not known what they hold."""
        return [place for place in self.last if place not in self.held]

    def note(self, found: Sequence[tuple[str, int, int, bool]]) -> None:
        """Raises SeatMovedError when somebody holds a job, for then none must be searched for it."""
        self.seen = {place: (job_id, version) for place, job_id, version, _ in found}
        holding = {place: self.seen[place] for place, _, _, holds in found if holds}
        if holding:
            raise SeatMovedError(self.held | holding)

    def seen_of(self, seat: Seat) -> dict[str, Any]:
        """What `claim` needs to note the place, if it is still as it was seen."""
        if seat.place is None:
            return {}
        seen_job, seen_version = self.seen.get(seat.place, (None, None))
        is_shared = seat.place in self.shared
        return {"is_shared": is_shared, "seen_job": seen_job, "seen_version": seen_version}
