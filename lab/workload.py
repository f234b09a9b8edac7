"""The demo's workload: input files in storage A, and a task of jobs that the real panda-client submits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from lab.event_file import event_file
from panda_fsm.jobs.states import FileType, State
from plugins.ddm.storage import replica_path

SCOPE = "user.lab"
FAILING_EXIT_CODE = 7
CHECKOUT = Path(__file__).resolve().parents[1]


class ClientError(RuntimeError):
    """panda-client did not succeed."""


Role = Literal["alone", "build", "part", "merge"]


@dataclass(frozen=True)
class JobPlan:
    """One job of a task, as plain data that crosses the border to the client's process.

    A `part` reads what the `build` job makes, and makes what the `merge` job merges; `parts` are the numbers of those.
    """

    task_id: int
    number: int
    input_lfn: str
    input_guid: str
    input_size: int
    input_checksum: str
    exit_code: int
    role: Role = "alone"
    is_killed: bool = False
    parts: tuple[int, ...] = ()

    @property
    def expected_state(self) -> State:
        """Where the job must end."""
        if self.is_killed:
            return State.CANCELLED
        return State.FAILED if self.exit_code else State.FINISHED

    @property
    def library(self) -> str:
        """Logical name of what the build job of the task makes."""
        return f"{SCOPE}.{self.task_id}.lib.tgz"

    @property
    def output(self) -> str:
        """Logical name of what the job makes."""
        return self.library if self.role == "build" else self.lfn("spectrum.json")

    def stays(self, kind: FileType) -> bool:
        """Whether what it makes stays where it is made: outputs that other jobs of the task read, a build's log too."""
        return self.role == "build" or (self.role == "part" and kind is FileType.OUTPUT)

    def lfn(self, suffix: str) -> str:
        """Logical name of one of the job's files."""
        return f"{SCOPE}.{self.task_id}._{self.number:06d}.{suffix}"

    def dataset(self, kind: str) -> str:
        """Name of the task's data block of that kind."""
        return f"{SCOPE}.{self.task_id}.{kind}"


def prepare_inputs(source_storage: Path, task_id: int, jobs: int, failing: int = 0) -> list[JobPlan]:
    """Writes one input file per job into storage A; the last `failing` jobs end with a non-zero exit code."""
    return [
        _prepare_one(source_storage, task_id, number, FAILING_EXIT_CODE if number > jobs - failing else 0)
        for number in range(1, jobs + 1)
    ]


def _prepare_one(source_storage: Path, task_id: int, number: int, exit_code: int) -> JobPlan:
    # The task is part of the name, so that a second task finds no replica of its inputs at storage B.
    lfn = f"{SCOPE}.{task_id}._{number:06d}.events.csv"
    content = event_file(seed=number)
    path = replica_path(source_storage, SCOPE, lfn)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    guid = str(uuid.uuid5(uuid.NAMESPACE_URL, lfn)).upper()
    return JobPlan(task_id, number, lfn, guid, len(content), f"ad:{zlib.adler32(content):08x}", exit_code)


class Source(Protocol):
    """Who hands over the jobs of the demo, and says in the end what became of them."""

    name: str

    def submit(self, plans: Sequence[JobPlan]) -> list[int]:
        """PandaIDs of the jobs, in the same order."""

    def kill(self, panda_ids: Sequence[int]) -> None:
        """Kill some of them."""

    def describe(self, panda_ids: Sequence[int]) -> list[dict[str, Any] | None]:
        """State, error codes and files of each, None for one the server does not know."""

    def again(self, plans: Sequence[JobPlan]) -> int:
        """How many jobs there will be more than plans: those that fail, and are done again."""

    def ends(self, plans: Sequence[JobPlan]) -> Sequence[JobPlan]:
        """The plans as they must end when that is over."""

    def problems(self, described: Sequence[dict[str, Any] | None]) -> Iterable[str]:
        """What else is wrong with these jobs."""


class Client:
    """The real panda-client in processes of its own, because it reads its configuration when imported."""

    name = "panda-client"

    def __init__(self, env: dict[str, str]) -> None:
        path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
        self._env = os.environ | env | {"PYTHONPATH": path}

    def submit(self, plans: Sequence[JobPlan]) -> list[int]:
        """Submits the jobs in bunches and returns their PandaIDs in the same order."""
        reply: list[int] = self._call("submit", [asdict(plan) for plan in plans])
        return reply

    def kill(self, panda_ids: Sequence[int]) -> None:
        """Kills jobs, as their owner."""
        self._call("kill", list(panda_ids))

    def describe(self, panda_ids: Sequence[int]) -> list[dict[str, Any] | None]:
        """State, error codes and files of each job, None for one the server does not know."""
        reply: list[dict[str, Any] | None] = self._call("describe", list(panda_ids))
        return reply

    def again(self, _plans: Sequence[JobPlan]) -> int:
        """None: users submit anew."""
        return 0

    def ends(self, plans: Sequence[JobPlan]) -> Sequence[JobPlan]:
        """As they are."""
        return plans

    def problems(self, _described: Sequence[dict[str, Any] | None]) -> Iterable[str]:
        """It knows no more than it described."""
        return ()

    def _call(self, verb: str, argument: object) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "lab.client_process", verb],
            input=json.dumps(argument),
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClientError(f"panda-client {verb}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout.splitlines()[-1])
