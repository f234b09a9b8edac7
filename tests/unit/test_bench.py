"""The benchmark's own arithmetic: percentiles, verdicts, what is said of two checkouts, the page."""

from typing import Any

import pytest

from bench import compare, page
from bench.figures import percentile, spread
from bench.report import LINES

MACHINE = {"cores": 2, "cpu": "a processor", "memory_gb": 24.0, "kernel": "6.1"}
VERSIONS = {"postgresql": "15.18", "rabbitmq": "3.10.8", "python": "3.11.7"}


def results(strangers: float = 0.0, **figures: float) -> dict[str, Any]:
    metered = {"cores_taken_by_strangers": strangers, "cpu_us_per_job_total": 2000}
    details = {
        "quick": False, "began_at": "2026-11-25T20:00:00+00:00", "machine": MACHINE, "versions": VERSIONS,
        "server_side": metered,
    }  # fmt: skip
    return {"details": details, **figures}


def test_percentiles_are_found_between_neighbours() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2
    assert percentile([0.0, 10.0], 0.95) == pytest.approx(9.5)
    assert spread([1.0, 2.0])["max_ms"] == 2


def test_no_two_lines_are_the_same() -> None:
    assert len({line.key for line in LINES}) == len(LINES)
    assert len({line.name for line in LINES}) == len(LINES)


def test_an_aim_is_a_least_value_or_of_a_cost_a_greatest() -> None:
    by_key = {line.key: line for line in LINES}
    rate, cost = by_key["lifecycles_per_s"], by_key["lone_p50_ms"]
    assert "reached" in rate.verdict(1000)
    assert "missed" in rate.verdict(100)
    assert "reached" in cost.verdict(30)
    assert "missed" in cost.verdict(300)
    assert (rate.wanted(), cost.wanted()) == ("≥ 600", "≤ 80")


def test_better_is_above_one_for_rates_and_costs_alike() -> None:
    base = [results(lifecycles_per_s=900, lone_p50_ms=40), results(lifecycles_per_s=1000, lone_p50_ms=60)]
    this = [
        results(lifecycles_per_s=1900, lone_p50_ms=20),
        results(lifecycles_per_s=1900, lone_p50_ms=30, acquire_us=1),
    ]
    figures = dict(compare._figures({"base": base, "this": this}))
    assert figures["lifecycles_per_s"]["ratio"] == 2
    assert figures["lone_p50_ms"]["ratio"] == 2
    assert "acquire_us" not in figures


def test_the_page_has_each_figure_its_aim_and_where_it_was_measured() -> None:
    text = page.page([results(0.07, lifecycles_per_s=1234.5, lone_p50_ms=28.1), results(acquires_100k_to_1k=0.987)])
    assert "2 cores (a processor), 24.0 GB, PostgreSQL 15.18, RabbitMQ 3.10.8, Python 3.11.7" in text
    assert "| whole lifecycles, server side | 1,234 jobs/s | ≥ 600 |" in text
    assert "| a lone job, submit to finished, p50 | 28.1 ms | ≤ 80 |" in text
    assert "| acquires with 100,000 to 1,000 waiting | 0.987 | ≥ 0.9 |" in text
    assert "Strangers took 0.07 of the cores at most." in text
