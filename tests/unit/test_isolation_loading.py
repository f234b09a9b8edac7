"""A plugin that does not load, or takes long to: its own jobs wait, with the reason, and it is tried again."""

from __future__ import annotations

import threading

from panda_fsm.plans import Go
from plugins.experiments.isolation import TRY_AGAIN_S
from tests.polling import wait_until
from tests.unit.test_isolation import Plugin, Walled, gate, go, why

__all__ = ["gate"]


def test_a_plugin_that_does_not_load_is_tried_each_minute() -> None:
    tries: list[str] = []
    broken = True

    def make() -> Plugin:
        tries.append("import")
        if broken:
            raise ImportError("no module named rucio")
        return Plugin(go)

    walled = Walled(go, make=make)
    assert walled.condition.trouble == "experiment x: does not load: ImportError: no module named rucio"
    for _ in range(3):
        assert why(walled.ask(1)[1]) == "experiment x does not load: ImportError: no module named rucio"
    assert len(tries) == 1
    walled.now += TRY_AGAIN_S
    wait_until(lambda: "does not load" in why(walled.ask(1)[1]), "the second try")
    assert len(tries) == 2
    broken = False
    walled.now += TRY_AGAIN_S
    wait_until(lambda: walled.ask(1) == {1: Go()}, "the third")
    assert walled.condition.trouble is None
    assert len(tries) == 3


def test_a_plugin_that_takes_long_to_load_keeps_its_own_jobs_waiting(gate: threading.Event) -> None:
    loads: list[str] = []

    def make() -> Plugin:
        loads.append("import")
        gate.wait()
        return Plugin(go)

    walled = Walled(go, make=make, patience_s=0)
    assert walled.condition.trouble == "experiment x: is still being loaded"
    for _ in range(3):
        walled.now += TRY_AGAIN_S
        assert why(walled.ask(1)[1]) == "experiment x is still being loaded"
    assert len(loads) == 1, "no pile-up"
    gate.set()
    wait_until(lambda: walled.ask(1) == {1: Go()}, "its answer")
    assert walled.condition.trouble is None


def test_how_a_long_loading_ends_is_told_though_no_job_comes(gate: threading.Event) -> None:
    """Whoever waited for it has gone on, and a quiet experiment's next job may be days away."""

    def loads() -> Plugin:
        gate.wait()
        return Plugin(go)

    def breaks() -> Plugin:
        gate.wait()
        raise ImportError("no module named rucio")

    well, ill = Walled(go, make=loads, patience_s=0), Walled(go, make=breaks, patience_s=0)
    assert well.condition.trouble == ill.condition.trouble == "experiment x: is still being loaded"
    gate.set()
    wait_until(lambda: well.condition.trouble is None, "it is loaded")
    told = "experiment x: does not load: ImportError: no module named rucio"
    wait_until(lambda: ill.condition.trouble == told, "it does not load")
    assert well.ask(1) == {1: Go()}
    assert why(ill.ask(1)[1]) == "experiment x does not load: ImportError: no module named rucio"
