"""Who is in the simulated traffic: sites that differ, errors that jobs die of, and the jobs as users send them."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.site import FAILING_QUEUE, SLOW_QUEUE, STEADY_QUEUE, VO, storage_of
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES
from plugins.ddm.storage import replica_path

SCOPE = "user.traffic"
CONTENT = b"what a payload reads or writes\n"
CHECKSUM = f"{zlib.adler32(CONTENT):08x}"
USERS = ("ada", "emmy", "lise", "maria", "chien")
BLACK_HOLE = "wn13.black-hole"
_OUTPUTS = ("spectrum.json", "log.tgz")


@dataclass(frozen=True, slots=True)
class Place:
    """A queue: its share of the jobs, how many run at a time, how long they take, which part of them fails."""

    queue: str
    share: int
    slots: int
    seconds: tuple[float, float]
    failing: float
    nodes: tuple[str, ...]


PLACES = (
    Place(STEADY_QUEUE, 6, 250, (1, 6), 0.02, (*(f"wn{n:02}.steady" for n in range(1, 13)), BLACK_HOLE)),
    Place(FAILING_QUEUE, 3, 150, (1, 4), 0.6, tuple(f"wn{n:02}.failing" for n in range(1, 9))),
    Place(SLOW_QUEUE, 1, 100, (20, 60), 0.02, tuple(f"wn{n:02}.slow" for n in range(1, 5))),
)
ERRORS: Sequence[dict[str, Any]] = (
    {"pilot_error_code": 1099, "pilot_error_diag": "Failed to stage-in file: no route to host se.{queue}.example"},
    {"pilot_error_code": 1137, "pilot_error_diag": "Failed to stage-out file: quota of {user} exceeded"},
    {"pilot_error_code": 1212, "pilot_error_diag": "Payload exceeded maximum allowed memory: 4103 MB > 4000 MB"},
    {"pilot_error_code": 1305, "pilot_error_diag": "Failed to execute payload", "trans_exit_code": 65},
    {"exe_error_code": 68, "exe_error_diag": "libGeometry.so.7: cannot open <shared> object file & no such file"},
)
BROKEN_NODE: dict[str, Any] = {
    "pilot_error_code": 1305, "pilot_error_diag": "Failed to execute payload: No space left on device",
    "trans_exit_code": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """Jobs of one user at one place, which share an input. `moves`: their outputs go to another storage."""

    number: int
    user: str
    place: Place
    destination: str
    has_input: bool = True

    @property
    def input(self) -> str:
        """The LFN that all its jobs read."""
        return f"{SCOPE}.{self.number}.events.csv"

    @property
    def moves(self) -> bool:
        """Whether outputs go elsewhere than to the storage of the queue."""
        return self.destination != storage_of(self.place.queue)

    def lay_input(self, storage: Path) -> None:
        """Put the input on a storage, unless it is to be nowhere."""
        if self.has_input:
            _write(replica_path(storage, SCOPE, self.input))


def outcome(place: Place, node: str, user: str, chance: random.Random) -> dict[str, Any]:
    """What the last words of a job say of it: nothing when all went well."""
    if node == BLACK_HOLE:
        return dict(BROKEN_NODE)
    if chance.random() >= place.failing:
        return {}
    error = ERRORS[0] if place.queue == FAILING_QUEUE and chance.random() < 0.8 else chance.choice(ERRORS)
    known = {"queue": place.queue.lower(), "user": user}
    return {name: value.format(**known) if isinstance(value, str) else value for name, value in error.items()}


def submission(task: Task, numbers: Sequence[int]) -> dict[str, Any]:
    """The body with which a user submits these jobs of a task, as panda-client writes it."""
    return {"jobs": json.dumps([_job(task, number) for number in numbers])}


def _job(task: Task, number: int) -> list[Any]:
    lfns = output_names(task.number, number)
    values: dict[str, Any] = {
        "jobDefinitionID": task.number, "taskID": task.number, "jediTaskID": task.number, "attemptNr": 1,
        "maxAttempt": 1, "jobName": f"{SCOPE}.{task.number}.{number:06d}", "prodSourceLabel": "user", "VO": VO,
        "computingSite": task.place.queue, "currentPriority": 1000, "assignedPriority": 1000, "coreCount": 1,
        "transformation": "http://127.0.0.1/trf/user/pair_mass.py", "processingType": "traffic",
        "jobParameters": f"-i {task.input} -o {lfns[0]}", "destinationSE": task.destination, "maxWalltime": 3600,
        "destinationDBlock": _dataset(task, "spectra"), "prodDBlock": _dataset(task, "events"),
    }  # fmt: skip
    files = [_file("input", task.input, _dataset(task, "events"), prodDBlock=_dataset(task, "events"),
                   fsize=len(CONTENT), checksum=f"ad:{CHECKSUM}")]  # fmt: skip
    for kind, lfn, dataset in (("output", lfns[0], "spectra"), ("log", lfns[1], "logs")):
        block = _dataset(task, dataset)
        files.append(_file(kind, lfn, block, destinationDBlock=block, destinationSE=task.destination))
    return [*(values.get(name, "NULL") for name in JOB_ATTRIBUTES), files]


def _file(kind: str, lfn: str, dataset: str, **further: Any) -> list[Any]:
    values = {"type": kind, "lfn": lfn, "dataset": dataset, "scope": SCOPE, **further}
    return [values.get(name, "NULL") for name in FILE_ATTRIBUTES]


def _dataset(task: Task, kind: str) -> str:
    return f"{SCOPE}.{task.number}.{kind}"


def output_names(task_id: int, number: int) -> tuple[str, str]:
    """LFNs of the output and the log of a job."""
    spectrum, log = (f"{SCOPE}.{task_id}._{number:06d}.{suffix}" for suffix in _OUTPUTS)
    return spectrum, log


def stored(lfns: Sequence[str], job_id: int, queue: str) -> str:
    """What a pilot says of the files it stored, as JSON text."""
    storage = storage_of(queue)
    said = {
        lfn: {
            "guid": f"306CCD0D-397F-4E50-B9A{place}-{job_id % 10**12:012d}", "fsize": len(CONTENT),
            "adler32": CHECKSUM, "surl": f"file://localhost/{lfn}", "endpoint": storage,
        }
        for place, lfn in enumerate(lfns)
    }  # fmt: skip
    return json.dumps(said)


def lay_outputs(storage: Path, lfns: Sequence[str]) -> None:
    """Put outputs on the storage of the queue, for a DDM that is to move them."""
    for lfn in lfns:
        _write(replica_path(storage, SCOPE, lfn))


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
