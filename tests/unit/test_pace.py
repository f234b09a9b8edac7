"""When it is worth waiting for more messages: under load, and for the rest of a bunch; never for a lone one."""

import pytest

from broker.pace import Pace


@pytest.mark.parametrize(
    ("every_s", "together", "linger_s"),
    [(0.05, 1, 0), (0.05, 3, 0.005), (0.011, 1, 0), (0.005, 1, 0.05), (0.05, 20, 0.05)],
    ids=["one after another", "in small bunches", "just not busy", "busy", "busy in bunches"],
)
def test_it_waits_where_more_will_come(
    monkeypatch: pytest.MonkeyPatch, every_s: float, together: int, linger_s: float
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seen = Pace()
    assert seen.linger_s == 0
    for _ in range(400):
        now += every_s
        seen.note(together)
    assert seen.linger_s == linger_s
    for _ in range(5):
        now += 0.2
        seen.note(1)
    assert seen.linger_s == 0, "one after another again: what came together before is soon forgotten"
