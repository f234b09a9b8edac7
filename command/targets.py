"""`panda-fsm metrics`: what this process counts, and where all of them show it, as Prometheus finds its targets."""

import json
from typing import Any

import typer

from command.settings import settings

app = typer.Typer(help="Metrics: where they are shown.", no_args_is_help=True)


@app.callback()
def metrics() -> None:
    """Keeps `targets` a command of its own."""


@app.command()
def targets() -> None:
    """Print where every live process shows its metrics, as JSON for Prometheus' file_sd_configs or http_sd_configs."""
    from sql.presence import metrics_addresses

    typer.echo(json.dumps([_target(*one) for one in metrics_addresses(settings().database_url)], indent=1))


def _target(service: str, host: str, address: str) -> dict[str, Any]:
    """`process`, for metrics have a label `service` of their own."""
    return {"targets": [address], "labels": {"job": "panda-fsm", "process": service, "machine": host}}
