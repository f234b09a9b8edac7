"""The measures in their order, and the figures that they add to the result."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from bench import (
    burst,
    dashboard,
    empty_claims,
    footprint,
    history,
    http_lifecycles,
    http_rates,
    information,
    jedi_lifecycles,
    jedi_submit,
    jobs,
    limits,
    lone,
    processes,
    server_side,
    steady,
    waiting,
)
from bench.pilots import Kind, PilotProcess
from bench.plant import Plant
from bench.wishes import Wishes

_VERSIONS = ("pika", "psycopg", "pydantic", "transitions", "uvicorn", "starlette", "uvloop", "orjson")


class Run:
    """One run of the benchmark."""

    def __init__(self, plant: Plant, wishes: Wishes) -> None:
        self._plant = plant
        self._wishes = wishes
        self._scale = 10 if wishes.quick else 1
        self._say: Callable[[str], None] = print
        self.results: dict[str, Any] = {
            "details": {
                "quick": wishes.quick,
                "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": processes.machine(),
            }
        }
        self._details: dict[str, Any] = self.results["details"]

    def take(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """The named measures, in the order of MEASURES."""
        self._say = say
        self._details["versions"] = self._versions()
        for name, measure in MEASURES.items():
            if name in names:
                started = time.monotonic()
                measure(self)
                self._plant.check_processes()
                say(f"{name}: {time.monotonic() - started:.0f} s")

    def server_side(self) -> None:
        """Measure 1."""
        load = server_side.prepare(self._plant, 20_000 // self._scale, task_id=1)
        outcome = server_side.measure(self._plant, load)
        self._details["server_side"] = outcome.as_json()
        self.results["lifecycles_per_s"] = round(outcome.lifecycles_per_s, 1)
        self.results["transitions_per_s"] = round(outcome.transitions / outcome.wall_s, 1)

    def moving(self) -> None:
        """Measure 1 with inputs and outputs that really move between storages."""
        load = server_side.prepare(self._plant, 2000 // self._scale, task_id=2, moving=True)
        outcome = server_side.measure(self._plant, load)
        self._details["moving"] = outcome.as_json()
        self.results["moving_lifecycles_per_s"] = round(outcome.lifecycles_per_s, 1)

    def lone(self) -> None:
        """Measure 2."""
        load = server_side.prepare(self._plant, 100 // self._scale + lone.WARM_UP, task_id=3, bunch=1)
        outcome = lone.measure(self._plant, load)
        self._details["lone"] = outcome.as_json()
        self.results["lone_p50_ms"] = self._details["lone"]["p50_ms"]
        self.results["lone_p95_ms"] = self._details["lone"]["p95_ms"]

    def limits(self) -> None:
        """Measure 5."""
        lifecycles, messages = 10_000 // self._scale, 70_000 // self._scale
        bodies = limits.message_cycle()
        with self._plant.metered() as writing:
            raw_sql = limits.sql_lifecycles_per_s(self._plant, lifecycles)
        with self._plant.metered() as sending:
            raw_broker = limits.broker_messages_per_s(self._plant, bodies, messages)
        per_job = len(bodies) + 1 / jobs.BUNCH
        self.results["sql_lifecycles_per_s"] = round(raw_sql, 1)
        self.results["broker_messages_per_s"] = round(raw_broker, 1)
        self._details["limits"] = {
            "messages_through_queues_per_job": per_job,
            "message_bytes": round(sum(map(len, bodies)) / len(bodies)),
            "sql": writing[0].as_json(lifecycles),
            "broker": sending[0].as_json(messages),
        }
        if (reached := self.results.get("lifecycles_per_s")) is not None:
            self.results["ratio_to_sql"] = round(reached / raw_sql, 3)
            self.results["ratio_to_broker"] = round(reached * per_job / raw_broker, 3)

    def http_lifecycles(self) -> None:
        """Measure 4."""
        with PilotProcess(self._plant.port) as pilots:
            outcome = http_lifecycles.measure(self._plant, pilots, 5000 // self._scale, task_id=4)
        self._details["http_lifecycles"] = outcome.as_json()
        self.results["http_lifecycles_per_s"] = round(outcome.jobs_per_s, 1)

    def http_few(self) -> None:
        """Measure 9: nearly nobody asks, so a request has its answer to itself."""
        with PilotProcess(self._plant.port, Kind(pilots=2)) as pilots:
            outcome = http_lifecycles.measure(self._plant, pilots, 2000 // self._scale, task_id=7)
        self._details["http_few"] = outcome.as_json()
        self.results["http_few_lifecycles_per_s"] = round(outcome.jobs_per_s, 1)

    def http_anew(self) -> None:
        """Measure 10: a connection for each request."""
        with PilotProcess(self._plant.port, Kind(connects_anew=True)) as pilots:
            outcome = http_lifecycles.measure(self._plant, pilots, 3000 // self._scale, task_id=8)
        self._details["http_anew"] = outcome.as_json()
        self.results["http_anew_lifecycles_per_s"] = round(outcome.jobs_per_s, 1)

    def http_described(self) -> None:
        """Measure 11: somebody reads all the jobs of measure 4 while pilots work."""
        if "http_lifecycles_per_s" not in self.results:
            self.http_lifecycles()
        described = [row[0] for row in self._plant.rows("SELECT job_id FROM job WHERE task_id = 4")]
        with PilotProcess(self._plant.port) as pilots:
            outcome = http_lifecycles.measure(self._plant, pilots, 3000 // self._scale, 9, described)
        self._details["http_described"] = outcome.as_json()
        self.results |= {
            "described_lifecycles_to_usual": round(outcome.jobs_per_s / self.results["http_lifecycles_per_s"], 3),
            "describe_p50_ms": outcome.waited("describe")["p50_ms"],
        }

    def http_burst(self) -> None:
        """Measure 12."""
        with PilotProcess(self._plant.port) as pilots:
            waiting.plant_template(self._plant, pilots, task_id=5)
            outcome = burst.measure(self._plant, pilots)
        self._details["http_burst"] = outcome.as_json()
        self.results |= {
            "burst_shed_share": round(outcome.shed_share, 3),
            "burst_served_p99_ms": outcome.served["p99_ms"],
            "burst_recovered_s": round(outcome.recovered_s, 3),
        }

    def http_rates(self) -> None:
        """Measure 3. What waits here would be taken for a job of another measure: only the next may follow."""
        rounds = max(1, 5 // self._scale)
        with PilotProcess(self._plant.port) as pilots:
            waiting.plant_template(self._plant, pilots, task_id=5)
            few = http_rates.measure(self._plant, pilots, 1000, rounds)
            many = http_rates.measure(self._plant, pilots, 100_000 // self._scale, rounds)
        self._details["http_rates"] = {"1k": few.as_json(), "100k": many.as_json()}
        self.results |= {
            "acquires_per_s": round(few.acquires_per_s, 1),
            "acquire_p99_ms": few.acquire["p99_ms"],
            "updates_per_s": round(few.updates_per_s, 1),
            "update_p99_ms": few.update["p99_ms"],
            "packed_updates_per_s": round(few.packed_updates_per_s, 1),
            "acquires_per_s_100k": round(many.acquires_per_s, 1),
            "updates_per_s_100k": round(many.updates_per_s, 1),
            "acquires_100k_to_1k": round(many.acquires_per_s / few.acquires_per_s, 3),
        }

    def empty_claims(self) -> None:
        """Measure 7. Whoever waits afterwards is taken away."""
        with PilotProcess(self._plant.port) as pilots:
            waiting.plant_template(self._plant, pilots, task_id=5)
            waiting.fill(self._plant, 100_000 // self._scale)
            waiting.vary(self._plant)
            many = empty_claims.measure(self._plant, pilots)
            waiting.leave(self._plant, 1000)
            few = empty_claims.measure(self._plant, pilots)
        waiting.leave(self._plant, 0)
        self._details["empty_claims"] = {"1k": few.as_json(), "100k": many.as_json()}
        self.results |= {
            "empty_claim_p50_ms": few.worst("p50_ms"),
            "empty_claim_p99_ms": few.worst("p99_ms"),
            "empty_claim_p50_ms_100k": many.worst("p50_ms"),
            "empty_claim_p99_ms_100k": many.worst("p99_ms"),
        }

    def steady(self) -> None:
        """Measure 8. Unless told otherwise, at 60 % of what measure 1 reached in this run."""
        if self._wishes.rate is None and "lifecycles_per_s" not in self.results:
            self.server_side()
        rate = self._wishes.rate or STEADY_SHARE * self.results["lifecycles_per_s"]
        minutes = self._wishes.minutes or (1.0 if self._wishes.quick else 10.0)
        with self._plant.served_with(steady.SETTINGS):
            outcome = steady.measure(self._plant, rate, minutes, task_id=6)
            self._plant.check_processes()
        greatest = outcome.gauges.greatest()
        self._details["steady"] = outcome.as_json()
        self.results |= {
            "steady_offered_per_s": round(rate, 1),
            "steady_last_to_first": round(outcome.last_to_first, 3),
            "steady_p95_s": outcome.fifths[-1]["p95_s"],
            "steady_deadline_late_s": round(outcome.latest_s, 2),
            "steady_outbox_row_s": greatest["outbox_row_s"],
            "steady_archive_late_s": greatest["archive_late_s"],
        }

    def history(self) -> None:
        """Measure 13."""
        size = history.Size(5_000_000 // self._scale, 100_000 // self._scale, 20_000 // self._scale)
        with self._plant.served_with(history.SETTINGS):
            outcome = history.measure(self._plant, size, self._say)
            self._plant.check_processes()
        self._details["history"] = outcome.as_json()
        self.results |= {
            "history_all_to_none": round(outcome.all_to_none, 3),
            "history_describe_p95_ms": outcome.p95_ms("describe"),
            "history_task_p95_ms": outcome.p95_ms("task"),
            "history_history_p95_ms": outcome.p95_ms("history"),
            "history_list_p95_ms": max(outcome.p95_ms("list of a task"), outcome.p95_ms("list of a user")),
        }

    def dashboard(self) -> None:
        """Measure 16. A fifth as many jobs are live as archived."""
        archived = self._wishes.archived or 5_000_000 // self._scale
        size = dashboard.Size(archived, archived // 5, min(10_000, archived // 200), self._wishes.viewers)
        outcome = dashboard.measure(self._plant, size, self._say)
        self._details["dashboard"] = outcome.as_json()
        self.results |= {
            "dashboard_claims_to_without": round(outcome.claims_to_without("screens"), 3),
            "dashboard_clicks_to_without": round(outcome.claims_to_without("clicks"), 3),
            "dashboard_page_p95_ms": round(outcome.slowest_p95_ms, 1),
        }

    def jedi_lifecycles(self) -> None:
        """Measure 14."""
        outcome = jedi_lifecycles.measure(self._plant, 5000 // self._scale, max(1, 2 // self._scale), task_id=1000)
        self._details["jedi_lifecycles"] = outcome.as_json()
        self.results["jedi_lifecycles_to_usual"] = round(outcome.ratio, 3)

    def jedi_submit(self) -> None:
        """Measure 15."""
        outcome = jedi_submit.measure(self._plant, 2000, max(1, 5 // self._scale), task_id=2000)
        self._details["jedi_submit"] = outcome.as_json()
        self.results["jedi_submit_per_s"] = round(outcome.jobs_per_s, 1)

    def information(self) -> None:
        """Measure 17."""
        outcome = information.measure(self._plant, max(4, 40 // self._scale))
        self._details["information"] = outcome.as_json()
        self.results["information_followed_s"] = round(max(outcome.followed_ms) / 1000, 3)

    def footprint(self) -> None:
        """Measure 6."""
        self._details["footprint"] = footprint.measure(self._plant)

    def _versions(self) -> dict[str, str]:
        return {
            "python": platform.python_version(),
            "postgresql": str(self._plant.value("SHOW server_version")).split()[0],
            "rabbitmq": self._plant.system.services.rabbitmq.control("version").strip(),
        } | {name: metadata.version(name) for name in _VERSIONS}


STEADY_SHARE = 0.6
MEASURES: dict[str, Callable[[Run], None]] = {
    "server_side": Run.server_side,
    "moving": Run.moving,
    "lone": Run.lone,
    "limits": Run.limits,
    "http_lifecycles": Run.http_lifecycles,
    "http_few": Run.http_few,
    "http_anew": Run.http_anew,
    "http_described": Run.http_described,
    "http_rates": Run.http_rates,
    "empty_claims": Run.empty_claims,
    "http_burst": Run.http_burst,
    "jedi_lifecycles": Run.jedi_lifecycles,
    "jedi_submit": Run.jedi_submit,
    "information": Run.information,
    "footprint": Run.footprint,
    "steady": Run.steady,
    "history": Run.history,
    "dashboard": Run.dashboard,
}
USUAL = tuple(name for name in MEASURES if name not in ("steady", "history", "dashboard"))
"""All but those that take ten minutes each."""
