"""Figures of the whole system: read every few seconds, so that who collects metrics never waits for the database."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from panda_fsm.figures import SERVICES, SYSTEM
from panda_fsm.tally import Gauge, Labels
from periodic.schedule import Duty

_PERIOD_S = 15.0


class SystemFigures(Protocol):
    """The database side."""

    def look(self) -> Mapping[str, Mapping[Labels, float]]:
        """By metric, a value for each combination of its labels."""

    def close(self) -> None: ...


def duty(figures: SystemFigures, services: Iterable[str]) -> Duty:
    """Every daemon shows them. `services` are those that somebody must serve: one of which nobody does counts zero."""
    missed = {(service,): 0.0 for service in services}
    gauges = {metric.name: metric for metric in SYSTEM if isinstance(metric, Gauge)}

    def run() -> bool:
        try:
            found = figures.look()
        except Exception:
            for gauge in gauges.values():  # what is not known is not shown as it was
                gauge.replace({})
            raise
        for name, values in found.items():
            gauges[name].replace(missed | dict(values) if name == SERVICES.name else values)
        return False

    what = "Reads the figures of the whole system for the metrics of this machine."
    return Duty("figures", _PERIOD_S, what, run, alone=False, rest=figures.close)
