"""Metrics as Prometheus reads them: one module makes them, in its text format, and the page lists every one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from command import metrics
from panda_fsm.errors import TransientError
from panda_fsm.figures import SERVICES, SYSTEM
from panda_fsm.tally import Gauge, Labels, Tally
from periodic import figures
from tests.unit.test_house import ROOT, SERVING, sources


def shown(tally: Tally) -> dict[str, dict[Labels, float]]:
    """What Prometheus reads: samples by name and values of their labels in the order of their names."""
    registry = CollectorRegistry()
    registry.register(metrics.Tallied(tally))
    found: dict[str, dict[Labels, float]] = {}
    for family in parse(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_each_kind_is_as_prometheus_reads_it() -> None:
    tally = Tally()
    tally.counter("panda_a_total", "a.", ("site",)).add(('hostile "site"\n{x}',), 3)
    tally.gauge("panda_b", "b.").set(0.5)
    histogram = tally.histogram("panda_c_seconds", "c.", ("queue",), (0.5, 2))
    for value in (0.1, 1, 1, 5):
        histogram.observe(value, ("q",))
    tally.counter("panda_never_total", "Nothing was counted.")
    assert shown(tally) == {
        "panda_a_total": {('hostile "site"\n{x}',): 3},
        "panda_b": {(): 0.5},
        "panda_c_seconds_bucket": {("0.5", "q"): 1, ("2.0", "q"): 3, ("+Inf", "q"): 4},
        "panda_c_seconds_count": {("q",): 4},
        "panda_c_seconds_sum": {("q",): pytest.approx(7.1)},
    }


def test_the_process_itself_is_shown_too() -> None:
    assert b"panda_process_cpu_seconds_total" in metrics.text()


def test_one_module_knows_the_library() -> None:
    def imports(module: Path) -> bool:
        nodes = ast.walk(ast.parse((ROOT / module).read_text()))
        names = [
            name
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        ]
        return any(name.startswith("prometheus_client") for name in names)

    assert [path for path in sources(*SERVING) if imports(path)] == [Path("command/metrics.py")]


class Known:
    """The database side: says what it is told to."""

    def __init__(self, found: dict[str, dict[Labels, float]] | None) -> None:
        self.found = found

    def look(self) -> dict[str, dict[Labels, float]]:
        if self.found is None:
            raise TransientError("the database is away")
        return self.found

    def close(self) -> None: ...


def test_what_is_not_known_now_is_not_shown_as_it_was_and_whom_nobody_serves_counts_zero() -> None:
    known = Known({SERVICES.name: {("daemon",): 2.0}, "panda_outbox_messages": {(): 7.0}})
    duty = figures.duty(known, ["daemon", "relay"])
    outbox = next(one for one in SYSTEM if one.name == "panda_outbox_messages")
    assert isinstance(outbox, Gauge)
    assert duty.run() is False
    assert SERVICES.values() == {("daemon",): 2, ("relay",): 0}
    assert outbox.values() == {(): 7}
    known.found = None
    with pytest.raises(TransientError):
        duty.run()
    assert SERVICES.values() == outbox.values() == {}
