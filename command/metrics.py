"""What this process counted, for Prometheus: the only module that knows its library."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from panda_fsm.figures import SYSTEM, TALLY
from panda_fsm.tally import Counter, Gauge, Histogram, Metric

log = structlog.get_logger()

_PORTS = 200
"""So many processes of one machine find a port."""


class Tallied(Collector):
    """Reads the tallies when it is asked; of what was never counted it says nothing."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Family]:
        for metric in self._metrics:
            family = _family(metric)
            if family.samples:
                yield family


REGISTRY = CollectorRegistry(auto_describe=False)
"""Of this process: what it counted, and what the system says of it (processor time, memory, open files)."""
REGISTRY.register(Tallied([*TALLY, *SYSTEM]))
_OF_THE_SYSTEM = ProcessCollector(namespace="panda", registry=REGISTRY)


def text() -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(REGISTRY)


def of_the_system() -> list[Family]:
    """What the operating system says of a process."""
    return list(_OF_THE_SYSTEM.collect())


def serve(host: str, port: int) -> str | None:
    """Answer on the first free port from `port` on, in a thread; where that is. None: all are taken."""
    for one in range(port, port + _PORTS):
        with suppress(OSError):
            start_http_server(one, host, REGISTRY)
            return f"{host}:{one}"
    log.warning("no_metrics", host=host, first=port, ports=_PORTS)
    return None


def _family(metric: Metric) -> Family:
    match metric:
        case Histogram():
            return _histogram(metric)
        case Counter():
            counter = CounterMetricFamily(metric.name, metric.about, labels=metric.labels)
            for labels, value in metric.values().items():
                counter.add_metric(labels, value)
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
            for labels, value in metric.values().items():
                gauge.add_metric(labels, value)
            return gauge
    raise TypeError(f"{metric.name} is of no known kind")


def _histogram(metric: Histogram) -> HistogramMetricFamily:
    """Prometheus' buckets hold what is up to their bound, so each holds those before it."""
    family = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
    bounds = [*(f"{float(bound)}" for bound in metric.bounds), "+Inf"]
    for labels, (counts, total) in metric.rows().items():
        up_to, buckets = 0, []
        for bound, count in zip(bounds, counts, strict=True):
            up_to += count
            buckets.append((bound, float(up_to)))
        family.add_metric(labels, buckets, total)
    return family
