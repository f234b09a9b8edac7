"""What people look at in a large system, in a minute: 200 queues with 20,000 nodes, and what has been counted of them.

As the daemon, gateways and operators would have written it: errors and ends of two weeks, steps of a day, asks of a
day, dead letters of fifty causes, deeds.
"""

from __future__ import annotations

import re
from pathlib import Path

from psycopg import sql as statements

from bench.plant import Plant
from sql.queries import load

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_ROLLED = {"error_rollup": "roll_up_errors", "ended_rollup": "roll_up_ends"}


def plant_rollups(plant: Plant) -> None:
    """Write all of it, and add up what is over as the daemon would."""
    _, *parts = _NAME.split((Path(__file__).parent / "rollups.sql").read_text())
    for table, statement in zip(parts[::2], parts[1::2], strict=True):
        plant.database.execute(statement.encode())
        _settle(plant, table)
    for table, query in _ROLLED.items():
        plant.database.execute(load("flow")[query], {"until": plant.value("SELECT now()")})
        _settle(plant, table)


def _settle(plant: Plant, table: str) -> None:
    """Or autovacuum would do it while we measure."""
    plant.database.execute(statements.SQL("VACUUM (ANALYZE) {}").format(statements.Identifier(table)))
