"""What processes count: exact whatever threads do, bounded whatever labels come, named as metrics are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from threading import Thread

import pytest

from panda_fsm.figures import TALLY
from panda_fsm.tally import OTHER, Counter, Gauge, Histogram, Tally

THREADS, EACH = 4, 20_000
FORBIDDEN = {"job", "job_id", "pandaid", "user", "owner", "user_name", "message_id", "task", "task_id", "node"}


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads get their turn as often as the interpreter can give it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_additions_of_several_threads_are_all_counted() -> None:
    counter, histogram = Counter("panda_x_total", "x", ("a",)), Histogram("panda_x_seconds", "x", ("a",), (1, 2))

    def add() -> None:
        for number in range(EACH):
            counter.add((f"a{number % 50}",), 2)
            histogram.observe(1.5, ("b",))

    threads = [Thread(target=add) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counter.values().values()) == THREADS * EACH * 2
    assert histogram.rows() == {("b",): ([0, THREADS * EACH, 0], 1.5 * THREADS * EACH)}


def test_labels_that_come_when_there_are_enough_are_counted_together() -> None:
    counter, gauge = Counter("panda_x_total", "x", ("a", "b"), most=2), Gauge("panda_x", "x", ("a",), most=2)
    for number in range(5):
        counter.add((str(number), "b"))
        gauge.set(number, (str(number),))
    assert counter.values() == {("0", "b"): 1, ("1", "b"): 1, (OTHER, OTHER): 3}
    assert gauge.values() == {("0",): 0, ("1",): 1, (OTHER,): 4}
    gauge.replace({(str(number),): number for number in range(3, 6)})
    assert gauge.values() == {("3",): 3, ("4",): 4, (OTHER,): 5}


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_labels_are_those_of_the_metric(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Counter("panda_x_total", "x", ("a",)).add(labels)


def test_a_value_falls_up_to_and_with_its_bound() -> None:
    histogram = Histogram("panda_x_seconds", "x", (), (1, 5))
    for value in (0, 1, 1.1, 5, 6):
        histogram.observe(value)
    assert histogram.rows() == {(): ([2, 2, 1], 13.1)}


def test_who_is_gone_is_watched_no_more() -> None:
    class Pool:
        free = 3

    pool, gauge = Pool(), Gauge("panda_x", "x", ("pool",))
    gauge.watch(pool, lambda its: its.free, ("one",))
    gauge.set(1, ("two",))
    assert gauge.values() == {("one",): 3, ("two",): 1}
    pool.free = 2
    assert gauge.values()["one",] == 2
    del pool
    assert gauge.values() == {("two",): 1}


@pytest.mark.parametrize(
    ("make", "name"),
    [(Counter, "panda_x"), (Counter, "x_total"), (Gauge, "x")],
)
def test_names_are_as_is_usual_for_metrics(make: type[Counter] | type[Gauge], name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        make(name, "x")


def test_a_name_is_given_once() -> None:
    tally = Tally()
    tally.counter("panda_x_total", "x")
    with pytest.raises(ValueError, match="two metrics"):
        tally.gauge("panda_x_total", "x")


@pytest.mark.parametrize("metric", list(TALLY), ids=lambda metric: metric.name)
def test_no_metric_of_ours_has_a_label_without_bounds(metric: Counter) -> None:
    assert not FORBIDDEN & set(metric.labels)
    assert re.fullmatch(r"panda_[a-z_]+", metric.name)
    assert not re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", metric.name), "base units only"
    assert metric.about.endswith(".")


def test_what_a_worker_counts_is_counted_once_by_its_master() -> None:
    worker, master = Tally(), Tally()
    for tally in (worker, master):
        tally.counter("panda_x_total", "x", ("a",))
        tally.histogram("panda_x_seconds", "x", ("a",), (1, 2))
        tally.gauge("panda_x", "x", ("a",))
    counter, histogram, gauge = worker
    assert isinstance(counter, Counter)
    assert isinstance(histogram, Histogram)
    assert isinstance(gauge, Gauge)
    assert worker.take() == {}
    for seconds in (0.5, 1.5):
        counter.add(("b",))
        histogram.observe(seconds, ("b",))
        gauge.replace({("b",): seconds})
        master.put(worker.take() | {"panda_of_another_release": 1})
    gauge.replace({})
    master.put(worker.take())
    assert worker.take() == {}
    counted, observed, shown = master
    assert isinstance(counted, Counter)
    assert isinstance(observed, Histogram)
    assert isinstance(shown, Gauge)
    assert counted.values() == {("b",): 2}
    assert observed.rows() == {("b",): ([1, 1, 0], 2.0)}
    assert shown.values() == {}, "what is gone is not shown any more"
