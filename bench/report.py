"""What the benchmark says: one table for people, one JSON file for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, JustifyMethod
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `aim` is the least, or of a cost the greatest, value that is wanted.

    `of` names what a percentile belongs to, where the line stands alone.
    """

    key: str
    what: str
    unit: str
    aim: float | None = None
    of: str = ""

    @property
    def name(self) -> str:
        """What it is, wherever it stands."""
        return f"{self.of}, {self.what}" if self.of else self.what

    @property
    def is_cost(self) -> bool:
        """Whether less is better."""
        return self.unit in ("ms", "s", "µs")

    def verdict(self, value: float) -> str:
        """Whether the aim is reached, in words and colour."""
        if self.aim is None:
            return ""
        reached = value <= self.aim if self.is_cost else value >= self.aim
        return "[green]reached[/green]" if reached else "[red]missed[/red]"

    def wanted(self) -> str:
        """The aim, in words."""
        return "" if self.aim is None else f"{'≤' if self.is_cost else '≥'} {self.aim:g}"


LINES = (
    Line("lifecycles_per_s", "whole lifecycles, server side", "jobs/s", 600),
    Line("transitions_per_s", "their transitions", "/s"),
    Line("moving_lifecycles_per_s", "the same, inputs and outputs really moved", "jobs/s"),
    Line("lone_p50_ms", "a lone job, submit to finished, p50", "ms", 80),
    Line("lone_p95_ms", "p95", "ms", of="a lone job"),
    Line("acquires_per_s", "HTTP acquires, 1,000 waiting", "/s", 700),
    Line("acquire_p99_ms", "p99", "ms", 100, of="HTTP acquires, 1,000 waiting"),
    Line("updates_per_s", "HTTP updates, 1,000 waiting", "/s", 1500),
    Line("update_p99_ms", "p99", "ms", 100, of="HTTP updates, 1,000 waiting"),
    Line("acquires_per_s_100k", "HTTP acquires, 100,000 waiting", "/s"),
    Line("updates_per_s_100k", "HTTP updates, 100,000 waiting", "/s"),
    Line("acquires_100k_to_1k", "acquires with 100,000 to 1,000 waiting", "", 0.9),
    Line("empty_claim_p50_ms", "an acquire that nothing fits, 1,000 waiting, p50", "ms", 5),
    Line("empty_claim_p99_ms", "p99", "ms", of="an acquire that nothing fits, 1,000 waiting"),
    Line("empty_claim_p50_ms_100k", "an acquire that nothing fits, 100,000 waiting, p50", "ms", 5),
    Line("empty_claim_p99_ms_100k", "p99", "ms", of="an acquire that nothing fits, 100,000 waiting"),
    Line("packed_updates_per_s", "HTTP updates packed by gzip", "/s"),
    Line("http_lifecycles_per_s", "whole lifecycles over HTTP, 32 pilots", "jobs/s", 250),
    Line("http_few_lifecycles_per_s", "the same, 2 pilots", "jobs/s", 180),
    Line("http_anew_lifecycles_per_s", "the same, 32 pilots, a connection for each request", "jobs/s", 280),
    Line("described_lifecycles_to_usual", "the same while 5,000 jobs are described, to usual", ""),
    Line("describe_p50_ms", "describing 5,000 jobs meanwhile, p50", "ms"),
    Line("burst_shed_share", "2,000 connections ask at once, share turned away", ""),
    Line("burst_served_p99_ms", "p99 of the served", "ms", of="2,000 connections ask at once"),
    Line("burst_recovered_s", "a lone request as quick as before after", "s", of="2,000 connections ask at once"),
    Line("jedi_submit_per_s", "jobs of JEDI's stored and answered, bunches of 500", "jobs/s", 1000),
    Line("jedi_lifecycles_to_usual", "server side with JEDI told of each step, to without", "", 0.85),
    Line("information_followed_s", "one of 500 queues shut, until its pilots are told, at most", "s", 2),
    Line("sql_lifecycles_per_s", "the same rows by plain SQL, one process", "jobs/s"),
    Line("ratio_to_sql", "server side to plain SQL", ""),
    Line("broker_messages_per_s", "the same messages, bare broker", "/s"),
    Line("ratio_to_broker", "server side to bare broker", ""),
    Line("steady_offered_per_s", "steady load with archiving on", "jobs/s"),
    Line("steady_last_to_first", "its rate in the last fifth to that in the first", "", 0.95),
    Line("steady_p95_s", "a lifecycle in its last fifth, p95", "s"),
    Line("steady_deadline_late_s", "the latest deadline, late by", "s", 2),
    Line("steady_outbox_row_s", "the oldest row of the outbox", "s", 10),
    Line("steady_archive_late_s", "the archive, late by at most", "s"),
    Line("history_all_to_none", "lifecycles with 5 million archived, 100,000 waiting, to none", "", 0.9),
    Line("history_describe_p95_ms", "describing an archived job, p95", "ms", 50),
    Line("history_task_p95_ms", "an archived task, p95", "ms", 50),
    Line("history_history_p95_ms", "the history of an archived job, p95", "ms", 50),
    Line("dashboard_claims_to_without", "acquires while ten screens of dashboards are open, to without", "", 0.95),
    Line("dashboard_clicks_to_without", "acquires while ten people open a page a second each, to without", ""),
    Line("dashboard_page_p95_ms", "the slowest page of the dashboards, p95", "ms", 100),
    Line("history_list_p95_ms", "a page of the jobs of a task or a user, p95", "ms"),
)


_COLUMNS: tuple[tuple[str, JustifyMethod], ...] = (("value", "right"), ("", "left"), ("aim", "right"), ("", "left"))


def show(results: dict[str, Any]) -> None:
    """Print the figures first, then where the CPU time and the memory go."""
    details = results["details"]
    console = Console(width=100)
    table = Table("measure", title="panda-fsm" + (", a tenth of the jobs" if details["quick"] else ""), box=SIMPLE)
    for column, justify in _COLUMNS:
        table.add_column(column, justify=justify)
    for line in LINES:
        if (value := results.get(line.key)) is not None:
            table.add_row(line.what, f"{value:,.4g}", line.unit, line.wanted(), line.verdict(value))
    console.print(table)
    for name in ("server_side", "http_lifecycles", "steady"):
        if name in details:
            console.print(_costs(name, details[name]))
    for name, side in details.get("jedi_lifecycles", {}).items():
        if isinstance(side, dict):
            console.print(_costs(f"jedi_lifecycles, {name}", side))
    if "footprint" in details:
        console.print(_footprint(details["footprint"]))


def write(results: dict[str, Any], path: Path) -> None:
    """Write the JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """The results of an earlier run."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _costs(name: str, details: dict[str, Any]) -> Table:
    title = (
        f"{name}: {details['cpu_us_per_job_total']:,} µs of CPU time a job;"
        f" {details['cores_busy']} cores busy, {details['cores_taken_by_strangers']} taken by strangers"
    )
    table = Table("process", title=title, title_justify="left", box=SIMPLE, min_width=len(title))
    table.add_column("µs", justify="right")
    for process, cost in details["cpu_us_per_job"].items():
        table.add_row(process, f"{cost:,}")
    return table


def _footprint(footprint: dict[str, Any]) -> Table:
    title = f"memory in MB; {footprint['database_connections_total']} database connections"
    table = Table("process", title=title, title_justify="left", box=SIMPLE, min_width=len(title))
    for column in ("processes", "RSS", "PSS"):
        table.add_column(column, justify="right")
    for process, used in footprint["memory"].items():
        table.add_row(process, str(used["processes"]), f"{used['rss_mb']:,}", f"{used['pss_mb']:,}")
    return table
