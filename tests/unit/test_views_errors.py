"""At whose door an error lies, and what its code is called."""

from __future__ import annotations

import pytest

from panda_fsm.codes import Component
from panda_fsm.views.errors import code_name, whose


@pytest.mark.parametrize(
    ("component", "code", "blamed", "name"),
    [
        ("pilot", 1305, "pilot", ""), ("exe", 65, "payload", ""), ("trans", 1, "payload", ""),
        ("ddm", 200, "DDM", "adder"), ("ddm", 999, "DDM", ""), ("sup", 2, "worker", "worker done"),
        ("brokerage", 1, "brokerage", ""), ("job_dispatcher", 100, "pilot", "lost heartbeat"),
        ("job_dispatcher", 103, "server", "holding timeout"), ("job_dispatcher", 104, "DDM", "transferring timeout"),
        ("task_buffer", 100, "who ended it", "killed"), ("task_buffer", 101, "DDM", "transfer"),
        ("task_buffer", 102, "server", "expired"), ("task_buffer", 113, "server", "merge failed"),
        ("kill", 100, "who ended it", "killed"), ("", 0, "nobody said", ""), ("<b>", 1, "nobody said", ""),
    ],
)  # fmt: skip
def test_whose_it_is_and_what_it_is_called(component: str, code: int, blamed: str, name: str) -> None:
    assert (whose(component, code), code_name(component, code)) == (blamed, name)


@pytest.mark.parametrize("component", Component)
def test_each_component_is_somebodys(component: Component) -> None:
    assert whose(component, -1) != "nobody said"
