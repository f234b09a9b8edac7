"""The bodies of what JEDI is told: each field of the contract, of each kind of job, as the models describe them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from jedi.bodies import DatasetClosed, FinalJobStatus, JobStatus, SiteActivity
from jedi.status import body
from panda_fsm.descriptions import FileRow
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.statuses import JobNow, Untold

MSG_ID = "00000000-0000-0000-0000-000000000001"
JOB = JobNow(
    11, "running", 2, "lab", 4711, "LAB_A", "managed", 900, 8, 5, "tq=1", "node-1", 100.0, None,
    {"job_sub_status": "slow", "node": "wn7", "core_count": 4}, {},
)  # fmt: skip
TOLD = Untold(77, MSG_ID, "job_status", "lab", 4711, 11, "running", "starting", "watcher.heartbeats", 123.5, None, JOB)
IDS = {"file_ids": {"0": [4711, 21, 301, 1], "2": [4711, 22, 302, 0]}}


def file(seq: int, kind: str, lfn: str, status: str, **fields: Any) -> FileRow:
    values: dict[str, Any] = {"scope": "", "dataset": "", "destination_block": "", "destination": "", "token": ""}
    rest: dict[str, Any] = {"guid": "", "size": 0, "checksum": ""} | fields
    return FileRow(seq, kind, lfn, status=status, **values, **rest)


def ended(state: State, *files: FileRow, **fields: Any) -> dict[str, Any]:
    """What is told of a job that ends so."""
    job = replace(JOB, state=state.value, ended_at=200.0, spec=IDS, files=files, **fields)
    return body(replace(TOLD, state=state.value, prev="holding", job=job))


def test_each_field_of_a_step() -> None:
    assert body(TOLD) == {
        "msg_type": "job_status", "msg_id": MSG_ID, "schema": 1, "seq": 77, "taskid": 4711, "jobid": 11,
        "status": "running", "prev_status": "starting", "jobsubstatus": "slow", "timestamp": 123.5, "attemptnr": 2,
        "computingsite": "LAB_A", "prodsourcelabel": "managed", "modificationhost": "wn7", "source": "watcher",
        "currentpriority": 900,
    }  # fmt: skip


def test_another_share_is_told_as_the_state_it_is_in() -> None:
    told = body(replace(TOLD, prev="running", body={"gshare": "Upgrade"}))
    assert (told["status"], told["prev_status"], told["gshare"]) == ("running", "running", "Upgrade")


def test_a_job_of_which_there_is_nothing_any_more_has_its_status_all_the_same() -> None:
    told = body(replace(TOLD, state="finished", job=None))
    assert (told["jobid"], told["taskid"], told["status"], "computingsite" in told) == (11, 4711, "finished", False)


def test_each_field_of_the_end() -> None:
    pilot = {
        "start_time": "1970-01-01T00:01:30+00:00", "n_events": 10, "hs06sec": 40, "max_pss": 5, "tot_rbytes": 2048,
        "cpu_consumption_time": 30, "core_count": 4, "memory_leak": 3, "job_metrics": "nEvents=10", "node": "wn7",
        "events_of_files": {"2": 10},
    }  # fmt: skip
    told = ended(
        State.FINISHED,
        file(0, "input", "in", "ready", size=7),
        file(1, "input", "a.lib.tgz", "ready", size=100),
        file(2, "output", "out", "ready", size=9, guid="G", checksum="ad:1"),
        file(3, "log", "log", "ready", size=1),
        pilot=pilot,
    )
    assert {key: told[key] for key in told if key.startswith("job_")} == {
        "job_nevents": 10, "job_ninputfiles": 2, "job_ninputdatafiles": 1, "job_noutputdatafiles": 1,
        "job_inputfilebytes": 7, "job_outputfilebytes": 9, "job_hs06sec": 40,
    }  # fmt: skip
    assert (told["final"], told["starttime"], told["endtime"], told["transexitcode"]) == (True, 90.0, 200.0, 0)
    assert told["inputs"] == ["in", "a.lib.tgz"]
    assert told["metrics"] == {
        "cpuConsumptionTime": 30, "actualCoreCount": 4, "nEvents": 10, "jobMetrics": "nEvents=10", "maxPSS": 5,
        "memory_leak": 3, "hs06sec": 40, "totRBYTES": 2, "jobsetID": 5, "jobStatus": "finished", "coreCount": 8,
        "computingSite": "LAB_A", "specialHandling": "tq=1", "inputFileBytes": 7, "outputFileBytes": 9,
        "startTime": 90.0, "endTime": 200.0, "modificationHost": "wn7",
    }  # fmt: skip
    assert told["files"][2] == {
        "fileid": 302, "datasetid": 22, "jeditaskid": 4711, "attemptnr": 0, "lfn": "out", "type": "output",
        "status": "finished", "guid": "G", "fsize": 9, "checksum": "ad:1", "nevents": 10, "lumiblocknr": None,
    }  # fmt: skip
    assert [(one["fileid"], one["attemptnr"]) for one in told["files"]] == [
        (301, 1),
        (None, None),
        (302, 0),
        (None, None),
    ]


def test_errors_of_all_components_are_told_and_none_is_zero() -> None:
    told = ended(State.FAILED, errors={
        "pilot": {"code": 1150, "diag": "looping"}, "exe": {"code": 65, "diag": ""}, "sup": {"code": 1, "diag": "s"},
        "ddm": {"code": 200, "diag": "d"}, "brokerage": {"code": 2, "diag": "b"}, "trans": {"code": 134, "diag": ""},
        "job_dispatcher": {"code": 102, "diag": "j"},
    })  # fmt: skip
    codes = {key.removesuffix("errorcode"): told[key] for key in told if key.endswith("errorcode")}
    assert codes == {
        "pilot": 1150, "exe": 65, "sup": 1, "ddm": 200, "brokerage": 2, "jobdispatcher": 102, "taskbuffer": 0,
    }  # fmt: skip
    assert (told["piloterrordiag"], told["exeerrordiag"], told["taskbuffererrordiag"]) == ("looping", None, None)
    assert told["transexitcode"] == 134


@pytest.mark.parametrize(("state", "code"), [(State.CANCELLED, 100), (State.CLOSED, 100), (State.FINISHED, 0)])
def test_a_kill_is_the_error_of_the_job_that_ended_by_it(state: State, code: int) -> None:
    told = ended(state, errors={"kill": {"code": 100, "diag": "killed by jedi"}})
    assert (told["taskbuffererrorcode"], told["taskbuffererrordiag"]) == (code, "killed by jedi")


OUTCOMES = [
    ("finished", "input", "ready", "finished"), ("finished", "pseudo_input", "unknown", "finished"),
    ("finished", "input", "skipped", "skipped"), ("failed", "input", "ready", "ready"),
    ("cancelled", "pseudo_input", "unknown", "ready"), ("closed", "input", "missing", "ready"),
    ("failed", "input", "skipped", "ready"), ("finished", "output", "ready", "finished"),
    ("finished", "output", "nooutput", "nooutput"), ("finished", "output", "failed", "failed"),
    ("finished", "output", "merging", "merging"), ("failed", "output", "failed", "failed"),
    ("failed", "log", "ready", "finished"), ("cancelled", "log", "unknown", "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "kind", "status", "outcome"), OUTCOMES)
def test_what_became_of_a_file_in_jedis_words(state: str, kind: str, status: str, outcome: str) -> None:
    (told,) = ended(State(state), file(0, kind, "f", status))["files"]
    assert told["status"] == outcome


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("pilot", [{}, {"start_time": "yesterday", "end_time": 7, "tot_rchar": "many", "n_events": 3}])
def test_bodies_are_what_their_models_say(state: State, pilot: dict[str, Any]) -> None:
    """Nothing more and nothing else: the contract is written from these."""
    files = [file(n, kind, "f", status) for n, (_, kind, status, _) in enumerate(OUTCOMES)]
    told = ended(state, *files, pilot=pilot)
    model = FinalJobStatus if state in FINAL else JobStatus
    model.model_validate_json(orjson.dumps(told), strict=True)
    assert b'"NULL"' not in orjson.dumps(told)


def test_a_closed_dataset_is_what_its_model_says() -> None:
    of_dataset = {"dataset": "top", "datasetid": 33, "block": "top_sub1", "number_files": 3}
    told = body(replace(TOLD, kind="dataset_closed", job_id=None, state=None, prev=None, service="closer", job=None,
                        body=of_dataset))  # fmt: skip
    DatasetClosed.model_validate_json(orjson.dumps(told), strict=True)
    assert told == of_dataset | {
        "msg_type": "dataset_closed", "msg_id": MSG_ID, "schema": 1, "seq": 77, "taskid": 4711, "timestamp": 123.5,
        "source": "closer",
    }  # fmt: skip


def test_site_activity_is_what_its_model_says() -> None:
    counts = {"site": "LAB_A", "getjob": 3, "updatejob": 2, "running": 1, "activated": 0}
    of_site = replace(TOLD, kind="site_activity", task_id=0, job_id=None, state=None, prev=None, job=None, body=counts)
    told = body(of_site)
    SiteActivity.model_validate_json(orjson.dumps(told), strict=True)
    assert counts.items() <= told.items()


def test_sizes_that_nobody_believes_are_told_as_far_as_numbers_go() -> None:
    huge = [file(seq, "output", f"out.{seq}", "ready", size=2**62) for seq in range(5)]
    told = orjson.loads(orjson.dumps(ended(State.FINISHED, *huge)))
    assert told["job_outputfilebytes"] == told["metrics"]["outputFileBytes"] == 2**63 - 1
