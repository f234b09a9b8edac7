"""Measure 15: JEDI hands over jobs by message and waits for the answers."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from bench import waiting
from bench.plant import BenchError, Plant
from bench.processes import Cost, together
from broker.connection import parameters
from lab.site import QUEUE, VO
from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.messages import new_message_id

BUNCH = 500
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of each round, the seconds from the first request until the last answer."""

    jobs: int
    walls_s: list[float]
    cost: Cost
    bytes_per_job: float

    @property
    def jobs_per_s(self) -> float:
        return self.jobs / median(self.walls_s)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        rates = [round(self.jobs / wall_s, 1) for wall_s in self.walls_s]
        packed = {"bytes_per_job": round(self.bytes_per_job), "jobs_per_s": rates}
        return {"jobs": self.jobs, **packed, **self.cost.as_json(self.jobs * len(self.walls_s))}


def measure(plant: Plant, count: int, rounds: int, task_id: int) -> Outcome:
    """`count` jobs in bunches, `rounds` times after a bunch that warms up; what waits afterwards is taken away."""
    walls_s: list[float] = []
    costs: list[Cost] = []
    sent = 0
    with _door(plant) as door:
        for number in range(rounds + 1):
            requests = _requests(door, count if number else BUNCH, task_id + number)
            with plant.metered() as cost:
                started = time.monotonic()
                replies = door.ask(requests)
                walls_s.append(time.monotonic() - started)
            costs += cost
            sent += sum(map(len, requests)) if number else 0
            _check(plant, replies, count if number else BUNCH, task_id + number)
    waiting.leave(plant, 0)
    return Outcome(count, walls_s[1:], together(costs[1:]), sent / (count * rounds))


@contextmanager
def _door(plant: Plant) -> Iterator[_Door]:
    connection = pika.BlockingConnection(parameters(plant.broker_url, "bench.jedi"))
    try:
        yield _Door(connection.channel())
    finally:
        connection.close()


class _Door:
    """JEDI's way to us over AMQP, with a queue of its own for the answers."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self.replies = str(channel.queue_declare("", exclusive=True).method.queue)

    def ask(self, requests: Sequence[bytes]) -> list[dict[str, Any]]:
        """All at once; their answers."""
        for body in requests:
            properties = pika.BasicProperties(
                delivery_mode=2, content_type="application/json", content_encoding="gzip", reply_to=self.replies
            )
            self._channel.basic_publish(JEDI_REQUESTS, JEDI_REQUESTS, body, properties)
        found: list[dict[str, Any]] = []
        for method, _, reply in self._channel.consume(self.replies, inactivity_timeout=_WAIT_S):
            if method is None or reply is None:
                raise BenchError(f"{len(found)} of {len(requests)} requests of JEDI's were answered")
            self._channel.basic_ack(method.delivery_tag or 0)
            found.append(json.loads(reply))
            if len(found) == len(requests):
                break
        self._channel.cancel()
        return found


def _requests(door: _Door, count: int, task_id: int) -> list[bytes]:
    """Bunches of jobs with granted PandaIDs, packed."""
    granted = door.ask([_request("reserve_ids", count=count)])[0]
    ids = range(granted["first"], granted["last"] + 1)
    return [
        _request(
            "submit_jobs", taskid=task_id, user="bench",
            jobs=[_job(job_id, task_id) for job_id in ids[begin : begin + BUNCH]],
        )
        for begin in range(0, count, BUNCH)
    ]  # fmt: skip


def _request(msg_type: str, **fields: Any) -> bytes:
    sent = {"msg_type": msg_type, "schema": 1, "msg_id": new_message_id(), "vo": VO, **fields}
    return gzip.compress(json.dumps(sent).encode(), compresslevel=1)


def _job(job_id: int, task_id: int) -> dict[str, Any]:
    """What the real JEDI says of a job of a task without input; nulls are left out."""
    written, logged = f"bench.{job_id}.pool.root", f"bench.{job_id}.log.tgz"
    return {
        "PandaID": job_id, "jobDefinitionID": 0, "AtlasRelease": "", "transformation": "https://127.0.0.1/trf/runGen",
        "homepackage": "", "prodSeriesLabel": "pandatest", "prodSourceLabel": "managed", "assignedPriority": 900,
        "currentPriority": 900, "attemptNr": 1, "maxAttempt": 1, "jobName": f"bench.t{task_id}.$ORIGINPANDAID",
        "maxCpuCount": 601, "maxDiskCount": 310, "maxDiskUnit": "MB", "ipConnectivity": "yes", "minRamCount": 900,
        "minRamUnit": "MB", "computingSite": QUEUE, "metadata": "", "cloud": "LAB", "taskID": task_id, "cmtConfig": "",
        "jobParameters": f"--maxEvents=10 --seed=${{RNDMSEED:100}} --outputFile={written}", "lockedby": "jedi",
        "destinationDBlock": f"bench.t{task_id}.out", "jobExecutionID": 0, "VO": VO, "workingGroup": "lab",
        "processingType": "simul", "specialHandling": "pc,tq=1795631375.344564", "jobsetID": task_id, "coreCount": 1,
        "workQueue_ID": 2, "jediTaskID": task_id, "reqID": task_id, "maxWalltime": 601, "failedAttempt": 0,
        "gshare": "Lab share", "hs06": 10, "resource_type": "Undefined", "job_label": "managed",
        "Files": [
            _file(job_id, task_id, 0, "pseudo_input", "pseudo_lfn", prodDBlock="pseudo_dataset"),
            _file(job_id, task_id, 1, "output", written, destinationDBlock=f"bench.t{task_id}.out",
                  destinationDBlockToken="local", destinationSE="local"),
            _file(job_id, task_id, 2, "log", logged, destinationDBlock=f"bench.t{task_id}.log",
                  destinationDBlockToken="local", destinationSE="local"),
        ],
    }  # fmt: skip


def _file(job_id: int, task_id: int, seq: int, kind: str, lfn: str, **more: Any) -> dict[str, Any]:
    dataset = more.get("destinationDBlock") or more.get("prodDBlock")
    ids = {"jediTaskID": task_id, "datasetID": 3 * task_id + seq, "fileID": 3 * job_id + seq, "attemptNr": 0}
    return {"lfn": lfn, "type": kind, "fsize": 0, "dataset": dataset, **ids, **more}


def _check(plant: Plant, replies: Sequence[dict[str, Any]], count: int, task_id: int) -> None:
    """Raises BenchError unless all jobs were answered for and stored; returns once they all wait for pilots."""
    results = [result for reply in replies for result in reply.get("results", ())]
    wrong = next((result for result in results if "error" in result), None) or replies[0].get("error")
    if wrong or len(results) != count:
        raise BenchError(f"{len(results)} of {count} jobs of JEDI's were answered for: {wrong}")
    deadline = time.monotonic() + _WAIT_S
    stored = plant.value("SELECT count(*) FROM job WHERE task_id = %(task_id)s", task_id=task_id)
    if stored != count:
        raise BenchError(f"{stored} of {count} jobs of JEDI's are stored")
    while plant.value("SELECT count(*) FROM job WHERE task_id = %(task_id)s AND state <> 'activated'", task_id=task_id):
        if time.monotonic() > deadline:
            raise BenchError(f"the jobs of JEDI's task {task_id} were not activated")
        time.sleep(0.05)
