"""What a table of transitions is: rows, steps, and the one way to make a step. Jobs and blocks are instances."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from transitions import Machine, MachineError

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)
S_co = TypeVar("S_co", bound=StrEnum, covariant=True)
T_co = TypeVar("T_co", bound=StrEnum, covariant=True)


class Subject(Protocol[S]):
    """What is moved: its `state` is read and written, and guards are asked by the name the table gives."""

    state: S


@dataclass(frozen=True, slots=True)
class Transition(Generic[T_co, S_co]):
    """One row: `trigger` moves from any of `sources` to `destination`, done `by` a service `on` messages."""

    trigger: T_co
    sources: frozenset[S_co | None]
    destination: S_co
    by: str
    on: tuple[str, ...]
    guard: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored(Generic[T_co, S_co]):
    """The step comes late or again: acknowledge it, change nothing."""

    trigger: T_co
    state: S_co


@dataclass(frozen=True, slots=True)
class Step(Generic[T_co, S_co]):
    """The step that was made."""

    trigger: T_co
    source: S_co | None
    destination: S_co


def row(
    trigger: T, sources: S | frozenset[S] | None, destination: S, by: str, on: str, guard: str | None = None
) -> Transition[T, S]:
    """A row from one source or many; `on` is a text of routing keys."""
    many: frozenset[S | None] = frozenset(sources) if isinstance(sources, frozenset) else frozenset({sources})
    return Transition(trigger, many, destination, by, tuple(on.split()), guard)


class Lifecycle(Generic[T, S]):
    """A table of transitions that answers for each trigger and state: a step, ignored, or illegal."""

    def __init__(
        self,
        states: type[S],
        triggers: type[T],
        table: Iterable[Transition[T, S]],
        ignored: Mapping[T, frozenset[S]],
    ) -> None:
        self.states = states
        self.triggers = triggers
        self.table = tuple(table)
        self.ignored = ignored
        self._machine = self._build()
        self._births = {one.trigger: one.destination for one in self.table if None in one.sources}
        # The machine takes ~9 us a step, most of it to find callbacks that we do not have. Steps without a guard are
        # therefore read from it once; a step with a guard is asked of it each time (ADR 0003).
        self._steps: dict[tuple[T, S], Step[T, S]] = {
            (triggers(name), states[source]): Step(triggers(name), states[source], states[str(transition.dest)])
            for name, event in self._machine.events.items()
            for source, transitions in event.transitions.items()
            for transition in transitions
            if not transition.conditions
        }

    def _build(self) -> Machine:
        rows: list[dict[str, Any]] = [
            {"trigger": one.trigger.value, "source": source, "dest": one.destination}
            | ({"conditions": one.guard} if one.guard else {})
            for one in self.table
            for source in sorted(filter(None, one.sources))
        ]
        return Machine(model=None, states=self.states, transitions=rows, initial=None, auto_transitions=False)

    def birth(self, trigger: T) -> Step[T, S]:
        """The step by which a new one appears. Raises KeyError for a trigger that creates none."""
        return Step(trigger, None, self._births[trigger])

    def advance(self, subject: Subject[S], trigger: T) -> Step[T, S] | Ignored[T, S] | None:
        """Move `subject` by `trigger`: the Step made, Ignored for a late or repeated one, None where it is illegal."""
        source = subject.state
        known = self._steps.get((trigger, source))
        if known is not None:
            subject.state = known.destination
            return known
        if self._guarded(subject, trigger):
            return Step(trigger, source, subject.state)
        return Ignored(trigger, source) if source in self.ignored.get(trigger, ()) else None

    def _guarded(self, subject: Subject[S], trigger: T) -> bool:
        event = self._machine.events.get(trigger.value)
        try:
            return event is not None and bool(event.trigger(subject))
        except MachineError:
            return False  # no row from this state: the ignore list decides

    def leads(self, trigger: T, source: S | None) -> S | None:
        """Where `trigger` leads from `source`, its guard allowing it; None where it leads nowhere."""
        found = (one.destination for one in self.table if one.trigger is trigger and source in one.sources)
        return next(found, None)

    def bindings(self) -> Iterator[tuple[str, str]]:
        """(service, routing key) pairs, from the `on` column."""
        for one in self.table:
            for key in one.on:
                yield one.by, key

    def rows(self) -> Iterator[tuple[str, str | None, str, str]]:
        """The table as (trigger, source, destination, service), one row a source: what the database refers to."""
        for one in self.table:
            for source in sorted(one.sources, key=str):
                yield one.trigger.value, source.value if source else None, one.destination.value, one.by
