"""Who is to blame: what fails alike is doubted, and that says nothing of what fails in another way."""

from __future__ import annotations

import pytest

from engine.blame import Blame
from panda_fsm.errors import SystemicError
from panda_fsm.trouble import IN_A_ROW, STOPPED_FOR_S


def test_what_fails_in_another_way_than_the_many_is_no_reason_to_stop() -> None:
    now = 0.0
    blame = Blame(lambda: now)
    assert not any(blame.doubts(b"%d" % number, "refused") for number in range(1, IN_A_ROW))
    with pytest.raises(SystemicError, match="refused"):
        blame.doubts(b"last", "refused")
    now = STOPPED_FOR_S
    assert blame.doubts(b"last", "refused")
    assert not blame.doubts(b"other", "refused for something else")
    blame.unforeseen(b"lone", "ValueError: a bug")
    assert blame.is_open, "nothing has succeeded yet"
    blame.succeeded()
    assert not blame.doubts(b"last", "refused")
