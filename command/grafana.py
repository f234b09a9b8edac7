"""Grafana's boards over our metrics: a table of panels a board, and the JSON that Grafana imports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Part = dict[str, Any]
_COLUMNS, _HEIGHT, _LOW = 24, 8, 4
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_BROKERS = (
    ("RabbitMQ: overview", "https://grafana.com/grafana/dashboards/10991"),
    ("RabbitMQ: Erlang distribution", "https://grafana.com/grafana/dashboards/11340"),
)
"""The broker's own boards."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, what is drawn (expressions with their legends), in which unit. `is_figure`: one number, not a course."""

    title: str
    drawn: Sequence[tuple[str, str]]
    unit: str = "short"
    about: str = ""
    is_figure: bool = False
    width: int = 12


@dataclass(frozen=True, slots=True)
class Board:
    """A page of panels. `by_site`: a site may be chosen."""

    title: str
    panels: Sequence[Panel]
    by_site: bool = False


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{more}[$__rate_interval]))"


def _share(part: str, of: str, by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({part}[$__rate_interval])) / sum{grouped} (rate({of}[$__rate_interval]))"


def _spread(metric: str, by: str, legend: str, more: str = "") -> list[tuple[str, str]]:
    return [
        (f"histogram_quantile({part}, {_rate(f'{metric}_bucket', f'{by}, le', more)})", f"{legend} p{name}")
        for part, name in (("0.5", "50"), ("0.95", "95"), ("0.99", "99"))
    ]


def _p95(metric: str, by: str, more: str = "") -> str:
    return f"histogram_quantile(0.95, {_rate(f'{metric}_bucket', f'{by}, le', more)})"


def _figure(title: str, drawn: str, unit: str = "short", about: str = "") -> Panel:
    return Panel(title, [(drawn, "")], unit, about, is_figure=True, width=4)


def _course(title: str, drawn: str, legend: str, unit: str = "short", about: str = "") -> Panel:
    return Panel(title, [(drawn, legend)], unit, about)


_ENDED = 'panda_jobs_ended_total{state=~"finished|failed"}'
_FAILED = 'panda_jobs_ended_total{state="failed"}'
_NO_STREAM = '{route!="/ui/events"}'
"""It lasts as long as somebody looks at a page."""
_OF_SITE = '{site=~"$site"}'

OVERVIEW = Board("PanDA: overview", [
    _figure("Finished per second", 'sum(rate(panda_jobs_ended_total{state="finished"}[$__rate_interval]))'),
    _figure("Failed", _share(_FAILED, _ENDED), "percentunit", "Of the jobs that finished or failed."),
    _figure("Headroom", "count(panda_gateway_busy_ratio) / sum(panda_gateway_busy_ratio)", "short",
            "M × W / (A × R): so many times the present load the gateways could take."),
    _figure("Oldest in the outbox", "max(panda_outbox_oldest_seconds)", "s"),
    _figure("Dead letters", "sum(max by (queue) (panda_dead_letters_open))"),
    _figure("Services that nobody serves", "count(max by (service) (panda_service_processes) == 0) or vector(0)"),
    _course("Jobs by state", "sum by (state) (max by (state, site) (panda_jobs))", "{{state}}"),
    _course("Steps per second", _rate("panda_transitions_total", "service"), "{{service}}"),
    _course("Age of messages when they are handled, p95", _p95("panda_message_age_seconds", "queue"), "{{queue}}", "s"),
    _course("How busy workers are", _rate("panda_batch_seconds_sum", "queue"), "{{queue}}", "percentunit",
            "1 is one process that does nothing else."),
    _course("Requests per second", _rate("panda_requests_total", "status"), "{{status}}"),
    _course("Time of requests, p95", _p95("panda_request_seconds", "route", _NO_STREAM), "{{route}}", "s"),
    _course("A × R: how busy gateways are", "panda_gateway_busy_ratio", "{{instance}}", "percentunit"),
    Panel("Event loops: lag", _spread("panda_event_loop_lag_seconds", "instance", "{{instance}}"), "s"),
    _course("Waiting for a database connection", "max by (pool, instance) (panda_pool_waiting)", "{{pool}}"),
    _course("Connections of the database", "max by (state) (panda_database_connections)", "{{state}}"),
    _course("Processor", "rate(panda_process_cpu_seconds_total[$__rate_interval])", "{{process}}", "percentunit"),
    _course("Memory", "panda_process_resident_memory_bytes", "{{process}}", "bytes"),
])  # fmt: skip

FLOW = Board("PanDA: flow", [
    _course("Steps per second", _rate("panda_transitions_total", "from, to"), "{{from}} → {{to}}"),
    _course("Time before a step, p95", _p95("panda_transition_seconds", "from, to"), "{{from}} → {{to}}", "s"),
    Panel("Defined → activated", _spread("panda_transition_seconds", "from, to", "", '{to="activated"}'), "s"),
    Panel("Holding and on", _spread("panda_transition_seconds", "from, to", "{{from}} → {{to}}",
                                    '{from=~"holding|transferring|merging"}'), "s"),
    _course("Messages per second", _rate("panda_messages_total", "queue", '{outcome="handled"}'), "{{queue}}"),
    _course("Put off or buried per second", _rate("panda_messages_total", "queue, outcome", '{outcome!="handled"}'),
            "{{queue}} {{outcome}}"),
    _course("Late or again per second", _rate("panda_ignored_total", "queue"), "{{queue}}"),
    _course("Messages in a batch", _share("panda_batch_messages_sum", "panda_batch_messages_count", "queue"),
            "{{queue}}"),
    _course("Waiting in queues", "max by (queue) (panda_queue_messages)", "{{queue}}"),
    _course("Age of the oldest message", "max by (queue) (panda_queue_oldest_seconds)", "{{queue}}", "s"),
    _course("Time of a batch, p95", _p95("panda_batch_seconds", "queue"), "{{queue}}", "s"),
    _course("Time of duties, p95", _p95("panda_duty_seconds", "duty"), "{{duty}}", "s"),
    _course("Duties not done for", "min by (duty) (panda_duty_silent_seconds)", "{{duty}}", "s"),
])  # fmt: skip

SITES = Board("PanDA: sites", [
    _course("Jobs", f"sum by (state) (max by (state, site) (panda_jobs{_OF_SITE}))", "{{state}}"),
    _course("Activated", 'max by (site) (panda_jobs{site=~"$site", state="activated"})', "{{site}}"),
    _course("Running", 'max by (site) (panda_jobs{site=~"$site", state="running"})', "{{site}}"),
    _course("Pilots that ask, per second", _rate("panda_acquires_total", "site, answer", _OF_SITE),
            "{{site}} {{answer}}"),
    _course("Ended per second", _rate("panda_jobs_ended_total", "site, state", _OF_SITE), "{{site}} {{state}}"),
    _course("Failed", _share('panda_jobs_ended_total{site=~"$site", state="failed"}',
                             'panda_jobs_ended_total{site=~"$site", state=~"finished|failed"}', "site"),
            "{{site}}", "percentunit"),
    _course("Stuck", f"max by (rule, site) (panda_stuck_jobs{_OF_SITE})", "{{site}} {{rule}}"),
], by_site=True)  # fmt: skip

BROKER_LINK = Board("PanDA: link to the broker", [
    _course("Published per second", _rate("panda_published_total", "connection, outcome"),
            "{{connection}} {{outcome}}"),
    _course("Not confirmed yet", "max by (connection, instance) (panda_confirms_waiting)", "{{connection}}"),
    _course("Connections made", "sum by (connection) (increase(panda_broker_connects_total[$__rate_interval]))",
            "{{connection}}", about="More than at a start: somebody loses the broker again and again."),
    _course("Batches tried again per second", _rate("panda_batch_retries_total", "queue"), "{{queue}}"),
    _course("Breakers", "max by (queue) (panda_breaker_open)", "{{queue}}"),
    _course("In trouble", "max by (process, part) (panda_in_trouble) > 0", "{{process}}: {{part}}"),
    _course("Left to the relay per second", _rate("panda_outbox_left_total", "service"), "{{service}}"),
    _course("Relayed per second", _rate("panda_outbox_relayed_total", "source"), "{{source}}"),
    Panel("What waits in the database", [
        ("max(panda_outbox_messages)", "outbox"), ("max(panda_outbox_put_off)", "put off"),
        ("max(panda_kept_requests)", "requests"), ("max(panda_jedi_untold_messages)", "for JEDI"),
    ]),
    Panel("For how long", [
        ("max(panda_outbox_oldest_seconds)", "outbox"), ("max(panda_kept_requests_oldest_seconds)", "requests"),
        ("max(panda_jedi_untold_oldest_seconds)", "for JEDI"),
    ], "s"),
])  # fmt: skip

BOARDS = {"overview": OVERVIEW, "flow": FLOW, "sites": SITES, "broker-link": BROKER_LINK}
"""By the name of the file."""


def board(name: str) -> Part:
    """A board as Grafana imports it."""
    one = BOARDS[name]
    return {
        "uid": f"panda-fsm-{name}", "title": one.title, "tags": ["panda-fsm"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "utc",
        "templating": {"list": list(_variables(one))}, "links": list(_links()), "panels": list(_panels(one)),
        "annotations": {"list": []},
    }  # fmt: skip


def _variables(one: Board) -> Iterator[Part]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    if one.by_site:
        yield {
            "name": "site", "type": "query", "label": "Site", "datasource": _SOURCE, "includeAll": True, "multi": True,
            "allValue": ".*", "query": "label_values(panda_jobs, site)", "refresh": 2, "sort": 1,
            "current": {"text": ["All"], "value": ["$__all"]},
        }  # fmt: skip


def _links() -> Iterator[Part]:
    yield {"title": "PanDA", "type": "dashboards", "tags": ["panda-fsm"], "asDropdown": True, "includeVars": False}
    for title, url in _BROKERS:
        yield {"title": title, "type": "link", "url": url, "targetBlank": True}


def _panels(one: Board) -> Iterator[Part]:
    """From left to right, line by line."""
    x = y = 0
    for number, panel in enumerate(one.panels, 1):
        height = _LOW if panel.is_figure else _HEIGHT
        yield {
            "id": number, "type": "stat" if panel.is_figure else "timeseries", "title": panel.title,
            "description": panel.about, "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {} if panel.is_figure else {"legend": {"displayMode": "table", "calcs": ["lastNotNull", "max"]}},
            "targets": [
                {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
                for index, (expression, legend) in enumerate(panel.drawn)
            ],
        }  # fmt: skip
        x += panel.width
        if x >= _COLUMNS:
            x, y = 0, y + height
