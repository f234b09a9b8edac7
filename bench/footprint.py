"""Measure 6: the memory of each process and the number of database connections, after all that work."""

from collections import defaultdict
from typing import Any

from bench import processes
from bench.plant import Plant


def measure(plant: Plant) -> dict[str, Any]:
    """Memory by process name, the greatest first, and connections by service."""
    memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pid, name in plant.names().items():
        # One server to whoever looks at memory; only CPU time is worth telling apart by service.
        memory[name.split()[0] if name.startswith("postgres ") else name].append(processes.memory_mb(pid))
    connections = dict(
        plant.rows(
            "SELECT application_name, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1"
            " ORDER BY 1"
        )
    )
    by_name = {
        name: {
            "processes": len(used),
            "rss_mb": round(sum(rss for rss, _ in used)),
            "pss_mb": round(sum(pss for _, pss in used)),
        }
        for name, used in memory.items()
    }
    return {
        "memory": dict(sorted(by_name.items(), key=lambda one: -one[1]["pss_mb"])),
        "database_connections": connections,
        "database_connections_total": sum(connections.values()),
    }
