"""One trace over HTTP, the broker and the outbox, as a real collector gets it from several processes."""

from __future__ import annotations

import pika

from broker.deliveries import delivery
from command import tracing
from consumers.watcher import Watcher
from panda_fsm.handler import Delivery
from tests.collector import Collector, collecting
from tests.driver import Database
from tests.gateway_http import Caller
from tests.inprocess import LIMITS, Outlet, Serve
from tests.integration.test_gateway_pilots import ACQUIRE, NEW_ASK, UPDATE
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

TRACE = "4b" * 16
SENT = f"00-{TRACE}-00f067aa0ba902b7-01"
CLAIM, REPORT = "gateway: POST " + ACQUIRE, "gateway: POST " + UPDATE
PUBLISHED, HANDLED = "gateway: publish panda.requests", "watcher: process watcher"
RELAYED, ADDED = "relay: publish panda.events", "adder: process adder"


def test_a_trace_goes_from_http_over_the_outbox_to_the_next_service(
    processes: Processes, database_url: str, broker_url: str, database: Database, serve: Serve
) -> None:
    """The Watcher is in the test, and crashes before the broker has what it decided: the relay publishes it."""
    add_jobs(database_url, range(1, 2))
    with collecting() as collector:
        settings = {"PANDA_FSM_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        for name in ("gateway", "relay", "adder"):
            processes.start(name, **settings)
        processes.wait_until_ready()
        _a_pilot_fails(processes)
        report = _lies_in(broker_url, "watcher")
        with tracing.to(collector.endpoint, "watcher"):
            service = serve(Watcher(LIMITS), Outlet(silent=True))
            service.processor.handle([report])
        wait_until(lambda: ADDED in collector.of(TRACE), "the last span")
        wait_until(lambda: {CLAIM, PUBLISHED, RELAYED} <= collector.of(TRACE).keys(), "those behind an answer")
        _holds_together(collector)
    assert database.states() == {"holding": 1}, "nobody finishes it"


def _a_pilot_fails(processes: Processes) -> None:
    pilot = Caller(processes.gateway_url, "pilot-1")
    try:
        pilot.http.headers["traceparent"] = SENT
        pilot.post(ACQUIRE, NEW_ASK)
        pilot.post(UPDATE, {"job_id": 1, "job_status": "failed", "pilot_error_code": 1305})
    finally:
        pilot.close()


def _lies_in(broker_url: str, queue: str) -> Delivery:
    """The one message that comes there."""
    found: list[Delivery] = []

    def come() -> bool:
        with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
            method, properties, body = connection.channel().basic_get(queue, auto_ack=True)
            if method is not None and properties is not None and body is not None:
                found.append(delivery(queue, method, properties, body))  # type: ignore[arg-type]  # as if delivered
        return bool(found)

    wait_until(come, f"a message in {queue}")
    return found[0]


def _holds_together(collector: Collector) -> None:
    assert collector.paths == {"/v1/traces"}
    spans = collector.of(TRACE)
    parents = {REPORT: "00f067aa0ba902b7", CLAIM: "00f067aa0ba902b7"}
    parents |= {PUBLISHED: spans[REPORT].span_id, HANDLED: spans[REPORT].span_id}
    parents |= {RELAYED: spans[HANDLED].span_id, ADDED: spans[HANDLED].span_id}
    assert {name: spans[name].parent_id for name in parents} == parents
    assert spans[REPORT].said["http.response.status_code"] == 200
    assert [spans[name].said["panda.job_id"] for name in (PUBLISHED, HANDLED, RELAYED, ADDED)] == [1] * 4
    assert spans[PUBLISHED].said["messaging.message.id"] == spans[HANDLED].said["messaging.message.id"]
    assert spans[ADDED].said["panda.service"] == "adder"
    assert [name for name, span in spans.items() if span.trouble] == ["watcher: publish panda.events"]
