"""What every process of the system costs: CPU time and memory from /proc, by a name that people know."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its own CPU time and that of its children that have ended, in seconds."""

    pid: int
    parent: int
    name: str
    cpu_s: float
    ended_children_cpu_s: float


@dataclass(slots=True)
class Sample:
    """CPU seconds used so far: by each named process, by the whole machine, and how long the machine has been on."""

    at: float
    cpu_s: dict[int, tuple[str, float]] = field(default_factory=dict)
    machine_s: float = 0.0
    stolen_s: float = 0.0


@dataclass(slots=True)
class Cost:
    """What was used between two samples. `others_cores` is what strangers took: the noise of the measurement."""

    wall_s: float
    cpu_s: dict[str, float]
    others_cores: float
    stolen_cores: float

    def per_job(self, jobs: int) -> dict[str, int]:
        """CPU microseconds a job by process, the greatest first; below one microsecond is left out."""
        found = {name: round(cpu_s / jobs * 1e6) for name, cpu_s in self.cpu_s.items()}
        return dict(sorted(((name, cost) for name, cost in found.items() if cost > 0), key=lambda one: -one[1]))

    def as_json(self, jobs: int) -> dict[str, object]:
        """For the details of a result."""
        costs = self.per_job(jobs)
        return {
            "cpu_us_per_job": costs,
            "cpu_us_per_job_total": sum(costs.values()),
            "cores_busy": round(sum(self.cpu_s.values()) / self.wall_s, 2),
            "cores_taken_by_strangers": round(self.others_cores, 2),
            "cores_stolen_by_the_host": round(self.stolen_cores, 2),
        }


def family(root: int) -> list[Process]:
    """A process and all its living descendants."""
    children: dict[int, list[Process]] = {}
    known: dict[int, Process] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (process := _read(int(entry.name))) is not None:
            children.setdefault(process.parent, []).append(process)
            known[process.pid] = process
    found, queue = [], [known[root]] if root in known else []
    while queue:
        process = queue.pop()
        found.append(process)
        queue += children.get(process.pid, [])
    return found


def sample(names: Mapping[int, str]) -> Sample:
    """The CPU time of these processes, and of the machine. A name may stand for many processes."""
    taken = Sample(time.monotonic())
    for pid, name in names.items():
        process = _read(pid)
        if process is not None:
            taken.cpu_s[pid] = (name, process.cpu_s + process.ended_children_cpu_s)
    user, nice, system, _idle, _wait, irq, softirq, stolen = _machine_ticks()
    taken.machine_s = (user + nice + system + irq + softirq) / _TICKS
    taken.stolen_s = stolen / _TICKS
    return taken


def cost(before: Sample, after: Sample) -> Cost:
    """What happened between two samples; a process that is new in the second counts from its start."""
    wall_s = after.at - before.at
    used: dict[str, float] = defaultdict(float)
    for pid, (name, cpu_s) in after.cpu_s.items():
        used[name] += cpu_s - before.cpu_s.get(pid, (name, 0.0))[1]
    others_s = max(0.0, after.machine_s - before.machine_s - sum(used.values()))
    return Cost(wall_s, used, others_s / wall_s, (after.stolen_s - before.stolen_s) / wall_s)


def together(costs: Sequence[Cost]) -> Cost:
    """The sum of costs, and the mean of what others took, over time."""
    wall_s = sum(cost.wall_s for cost in costs)
    used: dict[str, float] = defaultdict(float)
    for one in costs:
        for name, cpu_s in one.cpu_s.items():
            used[name] += cpu_s
    others_s = sum(one.others_cores * one.wall_s for one in costs)
    stolen_s = sum(one.stolen_cores * one.wall_s for one in costs)
    return Cost(wall_s, used, others_s / wall_s, stolen_s / wall_s)


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory, and the share of it that is a process's own (PSS), in MB; zeros when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    kilobytes = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return kilobytes.get("Rss", 0.0) / 1024, kilobytes.get("Pss", 0.0) / 1024


def machine() -> dict[str, object]:
    """What this machine is."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    return {"cores": _CORES, "cpu": model, "memory_gb": round(kilobytes / 2**20, 1), "kernel": os.uname().release}


def _machine_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _read(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Process(pid, int(fields[1]), command, own / _TICKS, children / _TICKS)
