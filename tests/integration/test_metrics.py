"""Metrics of real processes: each shows its own where it says it does, and the daemon those of the whole system."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from lab import ports
from lab.site import QUEUE
from panda_fsm.figures import SYSTEM
from sql.duty import WorkerSession
from sql.figures import SystemFigures
from tests.driver import Database
from tests.gateway_http import Caller
from tests.polling import wait_until
from tests.processes import PROGRAM, Processes
from tests.waiting_jobs import add_jobs

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read(address: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples that a process shows, by name and label values."""
    with _OPENER.open(f"http://{address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in parse(answer.read().decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return found


def targets(processes: Processes) -> dict[str, list[str]]:
    """Where processes show their metrics, by service, as `panda-fsm metrics targets` says."""
    done = subprocess.run(
        [str(PROGRAM), "metrics", "targets"], env=processes.environment, capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    shown: dict[str, list[str]] = {}
    for one in found:
        assert set(one["labels"]) == {"job", "process", "machine"}
        shown.setdefault(one["labels"]["process"], []).extend(one["targets"])
    return shown


def test_every_process_shows_what_it_counts_and_is_found(processes: Processes) -> None:
    port = str(ports.pick())
    for name in ("gateway", "daemon", "watcher"):
        processes.start(name, PANDA_FSM_METRICS_PORT=port)
    processes.start("watcher", name="watcher 2", PANDA_FSM_METRICS_PORT=port)
    processes.start("activator")
    wait_until(lambda: {name: len(shown) for name, shown in targets(processes).items()} == {
        "gateway": 1, "daemon": 1, "watcher": 2
    }, "all that show metrics are found")  # fmt: skip
    found = targets(processes)
    assert found["gateway"] == [f"127.0.0.1:{processes.gateway_port}"]
    assert found["watcher"][0] != found["watcher"][1]
    for address in found["watcher"]:
        assert read(address)["panda_breaker_open"] == {("watcher",): 0}
    (daemon,) = found["daemon"]
    wait_until(
        lambda: read(daemon).get("panda_service_processes", {}).get(("activator",)) == 1, "the daemon has looked"
    )
    assert read(daemon)["panda_service_processes"]["adder",] == 0


def test_the_gateway_counts_requests_and_answers_of_pilots(gateway: Processes, database_url: str) -> None:
    add_jobs(database_url, range(1, 2))
    caller = Caller(gateway.gateway_url)
    for _ in range(2):
        caller.http.post("/api/v1/pilot/acquire_jobs", json={"site_name": QUEUE, "prod_source_label": "user"})
    caller.http.post("/api/v1/pilot/acquire_jobs", json={"site_name": "nowhere"})
    caller.http.get("/api/v1/job/get_status/4711")
    caller.close()
    found = read(f"127.0.0.1:{gateway.gateway_port}")
    assert found["panda_acquires_total"] == {("job", QUEUE): 1, ("no_job", QUEUE): 1}
    assert found["panda_transitions_total"]["activated", "gateway", "sent"] == 1
    assert found["panda_requests_total"]["/api/v1/pilot/acquire_jobs", "200"] == 3
    assert found["panda_refusals_total"] == {("refusal",): 1, ("path",): 1}
    assert found["panda_request_seconds_count"]["none",] == 1
    assert found["panda_pool_connections"]["gateway",] >= 1
    assert "/metrics" not in gateway.log("gateway")


def test_each_figure_of_the_system_has_its_query_with_its_labels(database_url: str, database: Database) -> None:
    database.execute(
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('running', 'S', 'v', 3), ('running', 'S', 'w', -1)"
    )
    database.execute("INSERT INTO pulse (name, ticked_at) VALUES ('clock', now())")
    figures = SystemFigures(WorkerSession(database_url, 30))
    found = figures.look()
    figures.close()
    assert found.keys() == {metric.name for metric in SYSTEM}
    for metric in SYSTEM:
        assert {len(labels) for labels in found[metric.name]} <= {len(metric.labels)}, metric.name
    assert found["panda_jobs"] == {("running", "S"): 2}
    day = 86_400
    assert all(3 * 28 * day < seconds < 4 * 31 * day for seconds in found["panda_partition_horizon_seconds"].values())
