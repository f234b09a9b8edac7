"""Shell completion: what `panda-fsm --install-completion` asks the program for is answered."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.processes import PROGRAM


@pytest.mark.parametrize(
    ("typed", "offered"), [("panda-fsm jo", "jobs"), ("panda-fsm jobs ls --sta", "--state"),
                           ("panda-fsm jobs ls --state hol", "holding")],
)  # fmt: skip
def test_a_shell_is_told_how_a_command_goes_on(typed: str, offered: str) -> None:
    asked = {
        "_PANDA_FSM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)
    }  # fmt: skip
    done = subprocess.run([str(PROGRAM)], env=os.environ | asked, capture_output=True, text=True, check=False)
    assert offered in done.stdout.split()
