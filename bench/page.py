"""docs/figures.md, written from results: no number in it was typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import LINES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "figures.md"
_VERSIONS = {"postgresql": "PostgreSQL", "rabbitmq": "RabbitMQ", "python": "Python"}
_HEAD = """\
# Figures

What `make bench` measured, on one machine with everything on it: PostgreSQL, RabbitMQ, all services, the gateway and \
the load. Durability is on. On a shared machine one minute is not like the next; believe the ratios, which come from \
the same minutes.

Each run writes all its figures to `bench/results.json`, with the machine and the versions; that file is not kept in \
git. This page was written of it by `python -m bench docs`, not by hand.
"""


def page(runs: Sequence[dict[str, Any]]) -> str:
    """The page of these runs, a table each."""
    return "\n".join([_HEAD, *(_run(results) for results in runs)])


def _run(results: dict[str, Any]) -> str:
    details = results["details"]
    machine, versions = details["machine"], details["versions"]
    what = ", ".join(f"{title} {versions[name]}" for name, title in _VERSIONS.items())
    strangers = [part["cores_taken_by_strangers"] for part in details.values() if _was_metered(part)]
    where = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB"
    lines = [
        f"**{details['began_at'][:10]}, {where}, {what}**",
        "",
        f"Strangers took {max(strangers):.2f} of the cores at most." if strangers else "",
        "",
        "| measure | figure | aim |",
        "|---|---|---|",
    ]
    for line in LINES:
        if (value := results.get(line.key)) is not None:
            lines.append(f"| {line.name} | {value:,.4g} {line.unit}".rstrip() + f" | {line.wanted()} |")
    return "\n".join([*lines, ""])


def _was_metered(part: object) -> bool:
    return isinstance(part, dict) and "cores_taken_by_strangers" in part
