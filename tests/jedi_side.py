"""JEDI's side: jobs as the real one hands them over, and its requests given by hand to the service behind them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jedi.handlers import handlers
from jedi.replaying import Replayer
from jedi.service import RequestService
from jedi.specs import Rules
from panda_fsm.handler import Delivery
from panda_fsm.sites import Queue, Sites
from plugins.experiments.generic import GenericPlugin
from sql.jedi_requests import JediRequests
from sql.jedi_statuses import Replays
from tests import factories
from tests.inprocess import InProcess, Outlet

VO = "wlcg"
TASK = 3
REPLIES = f"jedi.replies.{VO}"
_NUMBERS = itertools.count(1)


def _file(kind: str, lfn: str, file_id: int, dataset_id: int, **more: Any) -> dict[str, Any]:
    return {
        "row_ID": None, "PandaID": None, "GUID": None, "lfn": lfn, "type": kind, "status": None, "prodDBlock": None,
        "prodDBlockToken": None, "dispatchDBlock": None, "dispatchDBlockToken": None, "destinationDBlock": None,
        "destinationDBlockToken": None, "destinationSE": None, "fsize": 0, "md5sum": None, "checksum": None,
        "scope": None, "jediTaskID": TASK, "datasetID": dataset_id, "fileID": file_id, "attemptNr": 0,
    } | more  # fmt: skip


def _output(kind: str, lfn: str, file_id: int, dataset_id: int) -> dict[str, Any]:
    dataset = f"lab.lab.t{TASK}.{'out' if kind == 'output' else kind}.{dataset_id}"
    places = {"destinationDBlock": dataset, "destinationDBlockToken": "local", "destinationSE": "local"}
    return _file(kind, lfn, file_id, dataset_id, dataset=dataset, **places)


def job(number: int = 1, **attributes: Any) -> dict[str, Any]:
    """Job `number` of a task without input, with the values that the real JEDI gave it."""
    files = [
        _file(
            "pseudo_input", "pseudo_lfn", 200 + number, 9, GUID="709534d4-7839-4ff7-ba17-e0421607db0c",
            dataset="pseudo_dataset", prodDBlock="pseudo_dataset",
        ),
        _output("output", f"lab.t{TASK}.{number:06d}.pool.root", 300 + number, 12),
        _output("log", f"lab.t{TASK}.$JEDITASKID.{number:06d}.log.tgz", 400 + number, 13),
    ]  # fmt: skip
    return {
        "PandaID": None, "jobDefinitionID": 0, "schedulerID": None, "creationTime": None, "AtlasRelease": "",
        "transformation": "https://127.0.0.1/trf/runGen", "homepackage": "", "prodSeriesLabel": "pandatest",
        "prodSourceLabel": "managed", "prodUserID": None, "assignedPriority": 900, "currentPriority": 900,
        "attemptNr": 1, "maxAttempt": 1, "jobStatus": None, "jobName": f"lab.t{TASK}.$ORIGINPANDAID",
        "maxCpuCount": 601, "maxDiskCount": 310, "maxDiskUnit": "MB", "ipConnectivity": "yes", "minRamCount": 900,
        "minRamUnit": "MB", "startTime": None, "computingSite": factories.QUEUE,
        "jobParameters": f"--maxEvents=10 --seed=${{RNDMSEED:100}} --outputFile=lab.t{TASK}.{number:06d}.pool.root",
        "metadata": "", "destinationDBlock": f"lab.lab.t{TASK}.out.12", "destinationSE": None, "cloud": "LAB",
        "taskID": TASK, "cmtConfig": "", "lockedby": "jedi", "relocationFlag": None, "jobExecutionID": 0, "VO": VO,
        "workingGroup": "lab", "processingType": "simul", "prodUserName": None,
        "specialHandling": "NULL,pc,tq=1795631375.344564", "jobsetID": TASK, "coreCount": 1, "workQueue_ID": 2,
        "jediTaskID": TASK, "reqID": TASK, "maxWalltime": 601, "failedAttempt": 0, "gshare": "Lab share", "hs06": 10,
        "resource_type": "Undefined", "job_label": "managed", "Files": files,
    } | attributes  # fmt: skip


def without_nulls(value: Any) -> Any:
    """The same, as it is sent to be shorter."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def request(msg_type: str, **fields: Any) -> dict[str, Any]:
    """A request with an id of its own, to be answered in the VO's queue."""
    envelope = {"msg_type": msg_type, "schema": 1, "msg_id": f"m{next(_NUMBERS)}", "reply_to": REPLIES, "vo": VO}
    return envelope | fields


def submission(*jobs: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A bunch of the task."""
    return request("submit_jobs", **({"taskid": TASK, "user": "Jane Doe", "jobs": list(jobs)} | fields))


class Door:
    """The service of JEDI's requests with a store of its own, as a process has it."""

    def __init__(self, database_url: str, outlet: Outlet | None = None, vo: str = VO) -> None:
        store = JediRequests(database_url, 30)
        rules = Rules(
            Sites(queues={factories.QUEUE: Queue(site="S", storage="D")}),
            lambda _vo, lfn: GenericPlugin.names.refusal(lfn),
        )
        pages = Replays(database_url, 30)
        self.service = RequestService(store, pages, handlers(store, rules, Replayer(pages, [vo])))
        self.inside = InProcess(database_url, self.service, outlet)

    def put(self, body: bytes, **fields: Any) -> dict[str, Any] | None:
        """Handle one message; its reply, if there was one."""
        before = len(self.inside.outlet.taken)
        self.inside.processor.handle([Delivery(1, body, "jedi.requests", "jedi.requests", **fields)])
        sent = [one for one in self.inside.outlet.taken[before:] if one.exchange == ""]
        assert len(sent) <= 1
        return json.loads(sent[0].body) if sent else None

    def ask(self, asked: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """Handle one request; its reply."""
        reply = self.put(json.dumps(asked).encode(), **fields)
        assert reply is not None, "no reply"
        assert reply["in_reply_to"] == asked["msg_id"]
        assert reply["schema"] == 1
        return reply

    def results(self, asked: Mapping[str, Any], **fields: Any) -> list[dict[str, Any]]:
        """The result of each job."""
        reply = self.ask(asked, **fields)
        assert reply["ok"], reply
        results: list[dict[str, Any]] = reply["results"]
        return results

    def submit(self, jobs: Sequence[Mapping[str, Any]], **fields: Any) -> list[int]:
        """Submit jobs that are taken; their PandaIDs."""
        return [result["pandaid"] for result in self.results(submission(*jobs, **fields))]

    def close(self) -> None:
        """Give the connections back."""
        self.service.close()
        self.inside.close()
