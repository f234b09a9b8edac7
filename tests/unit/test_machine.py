"""The steps that a lifecycle read once from its machine are those that the machine makes (ADR 0003)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest
from transitions import MachineError

from panda_fsm.blocks.table import BLOCK
from panda_fsm.jobs.table import JOB
from panda_fsm.machine import Lifecycle, Step

LIFECYCLES: tuple[Lifecycle[Any, Any], ...] = (JOB, BLOCK)


@dataclass
class Subject:
    """Something in a state, whose guards all say the same."""

    state: StrEnum
    allows: bool

    def __getattr__(self, _guard: str) -> Any:
        return lambda *_args: self.allows


@pytest.mark.parametrize("allows", [True, False], ids=["guards allow", "guards refuse"])
@pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=["job", "block"])
def test_what_was_read_once_is_what_the_machine_does(lifecycle: Lifecycle[Any, Any], allows: bool) -> None:
    for state in lifecycle.states:
        for trigger in lifecycle.triggers:
            ours, theirs = Subject(state, allows), Subject(state, allows)
            step = lifecycle.advance(ours, trigger)
            assert isinstance(step, Step) == moved_by_machine(lifecycle, theirs, trigger), (trigger, state)
            assert ours.state == theirs.state, (trigger, state)


def moved_by_machine(lifecycle: Lifecycle[Any, Any], subject: Subject, trigger: StrEnum) -> bool:
    event = lifecycle._machine.events.get(trigger.value)
    try:
        return event is not None and bool(event.trigger(subject))
    except MachineError:
        return False
