"""The headroom of A × R < M × W: what gateways say of themselves, together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panda_fsm.views.capacity import capacity
from panda_fsm.views.workers import WorkerNow

ONE = WorkerNow("gateway", "a", 1, 100.0, 1.0, None, None, per_s=200.0, busy=0.4)


def test_gateways_of_all_machines_are_added_up() -> None:
    found = capacity([
        ONE, replace(ONE, pid=2, busy=0.6), replace(ONE, host="b", busy=0.2), replace(ONE, host="c", busy=None),
        replace(ONE, host="d", silent_s=600.0), replace(ONE, service="watcher", busy=None),
    ])  # fmt: skip
    assert found is not None
    assert (found.machines, found.gateways, found.per_s) == (2, 3, 600.0)
    assert (found.busy, found.part, found.headroom) == pytest.approx((1.2, 0.4, 2.5))
    assert found.request_s == pytest.approx(0.002)


@pytest.mark.parametrize(("busy", "tone"), [(0.0, ""), (0.5, ""), (0.8, "warn"), (0.95, "bad"), (1.0, "bad")])
def test_it_warns_before_requests_queue_up(busy: float, tone: str) -> None:
    found = capacity([replace(ONE, busy=busy)])
    assert found is not None
    assert found.tone == tone
    assert (found.headroom is None) == (busy == 0.0), "an idle gateway has no number worth showing"


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert capacity([replace(ONE, busy=None)]) is None
