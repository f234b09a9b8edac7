"""The job as the real pilot reads it: getJob, key by key (docs/dialect.md)."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.api.pilots import acquire
from gateway.http.answers import json_response
from gateway.wire.description import describe
from gateway.wire.pilot_job import pilot_job
from gateway.wire.pilot_requests import AcquireRequest
from panda_fsm.descriptions import JobDescription
from panda_fsm.information.models import Queue, Storage
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.sites import Sites
from tests.wire import described, drafted, file_spec, job_spec, whole_job

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the pilot's, not ours
    from pilot.info.jobdata import JobData


def as_the_pilot_reads(job: JobDraft) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """The real pilot's view of the job, of its inputs, outputs and logs."""
    data = json.loads(json.dumps(pilot_job(described(job), "STORAGE")))
    read = JobData(data)
    return read, read.prepare_infiles(data), *read.prepare_outfiles(data)


def test_the_real_pilot_reads_the_job_dict() -> None:
    job, inputs, outputs, logs = as_the_pilot_reads(whole_job())
    assert int(job.jobid) == 42
    assert [(file.lfn, file.guid, file.scope, file.filesize, file.ddmendpoint) for file in inputs] == [
        ("in.1", "G-1", "s1", 10, "STORAGE"),
        ("in.2", "G-2", "s2", 10, "STORAGE"),
    ]
    assert inputs[0].checksum == {"adler32": "00000001"}
    assert [(file.lfn, file.scope, file.dataset, file.ddmendpoint) for file in outputs] == [
        ("out.1", "user.lab", "user.lab.out", "STORAGE"),
        ("out.2", "s9", "user.lab.out", "STORAGE"),
    ]
    assert [(file.lfn, file.scope, file.guid != "") for file in logs] == [("log.tgz", "user.log", True)]
    assert job.allownooutput == "out.2"
    assert job.transformation == "http://x/trf/user/run"


def test_a_job_without_files_is_readable_too() -> None:
    _job, inputs, outputs, logs = as_the_pilot_reads(drafted(job_spec()))
    assert (inputs, outputs, logs) == ([], [], [])


TAGS = {
    "": {}, "lc": {"loopingCheck": "False"}, "nc": {"noExecStrCnv": "True"}, "dm": {"debug": "True"},
    "debug": {"debug": "True"}, "ao:on": {"altStageOut": "on"}, "po": {"putLogToOS": "True"},
    "if": {"inFilePosEvtNum": "True"}, "up": {"usePrefetcher": "True"}, "ho": {"isHPO": "True"},
    "om": {"onSiteMerging": "True"}, "wf": {"writeToFile": "tmpin_user.lab.in:in.1,in.2"}, "us,pc,sj,dd": {},
    "lc, nc,dd": {"loopingCheck": "False", "noExecStrCnv": "True"},
}  # fmt: skip


@pytest.mark.parametrize("tags", TAGS)
def test_special_handling_reaches_the_pilot(tags: str) -> None:
    plain = pilot_job(described(whole_job()), "S")
    data = pilot_job(described(whole_job(specialHandling=tags)), "S") | {"logGUID": plain["logGUID"]}
    assert dict(data.items() - plain.items()) == TAGS[tags]


def test_an_image_reaches_the_pilot() -> None:
    assert pilot_job(described(whole_job(container_name="image:1")), "S")["container_name"] == "image:1"


def steps(written: str) -> dict[str, Any]:
    """What the pilot gets of a job with such steps, as it comes over the network."""
    job = whole_job()
    job.spec["job_parameters"] = f"-i in<MULTI_STEP_EXEC>{written}</MULTI_STEP_EXEC>"
    read: dict[str, Any] = json.loads(bytes(json_response(pilot_job(described(job), "S")).body))
    return read


def test_parameters_of_several_steps_are_taken_apart() -> None:
    data = steps('{"preprocess": {"command": "x"}, "PandaID": 1, "StatusCode": 20, "debug": "True"}')
    assert (data["jobPars"], data["preprocess"], data["PandaID"]) == ("-i in", {"command": "x"}, 42)
    assert not {"StatusCode", "debug"} & data.keys(), "a user says nothing in the server's name"


@pytest.mark.parametrize("value", ["{", '{"preprocess": NaNa}', f'{{"preprocess": {"[" * 300 + "]" * 300}}}'])
def test_steps_that_cannot_be_read_stay_where_they_are(value: str) -> None:
    data = steps(value)
    assert data["jobPars"] == f"-i in<MULTI_STEP_EXEC>{value}</MULTI_STEP_EXEC>"
    assert "preprocess" not in data


@pytest.mark.parametrize(("value", "read"), [("1" * 30, float("1" * 30)), ('"\\ud800"', "\N{REPLACEMENT CHARACTER}")])
def test_what_a_user_wrote_as_a_step_can_be_sent(value: str, read: Any) -> None:
    assert steps(f'{{"preprocess": {{"a": {value}}}}}')["preprocess"] == {"a": read}


def test_a_job_that_cannot_be_told_keeps_no_other_from_its_pilot() -> None:
    bad, good = replace(described(whole_job()), columns={}), described(whole_job())

    async def claimed(*_: object) -> list[JobDescription]:
        return [bad, good]

    gateway: Any = SimpleNamespace(
        sites=Sites(queues={"Q": Queue(site="Q", storage="S")}, storages={"S": Storage(site="Q")}),
        claims=SimpleNamespace(acquire=claimed),
        activity=SimpleNamespace(asked=lambda _site: None, answered=lambda _filters, _jobs: None),
        paused=frozenset(),
    )
    call: Any = SimpleNamespace(identity=SimpleNamespace(key="pilot"))
    answer = asyncio.run(acquire(gateway, call, AcquireRequest(site_name="Q", n_jobs=2)))
    assert [job["PandaID"] for job in json.loads(bytes(answer.body))["data"]["jobs"]] == [42]


def test_parameters_can_be_encoded() -> None:
    assert pilot_job(described(whole_job(specialHandling="ej")), "S")["jobPars"] == "LWkgaW4="


def test_an_input_of_two_datasets_is_listed_once_and_an_md5_is_called_so() -> None:
    job = job_spec()
    for dataset in ("user.lab.a", "user.lab.b"):
        job.addFile(file_spec(type="input", lfn="in.1", dataset=dataset, md5sum="d" * 32, GUID=f"G{dataset[-1]}"))
    data = pilot_job(described(drafted(job)), "S")
    assert (data["inFiles"], data["realDatasetsIn"], data["GUID"]) == ("in.1", "user.lab.a", "Ga")
    assert data["checksum"] == f"md:{'d' * 32}"


def test_several_tokens_of_a_file_are_one_entry_of_a_list() -> None:
    job = job_spec()
    job.addFile(file_spec(type="input", lfn="in.1", prodDBlockToken="a,b"))
    job.addFile(file_spec(dispatchDBlockToken="x,an"))
    job.addFile(file_spec(lfn="more"))
    data = pilot_job(described(drafted(job)), "S")
    assert (data["prodDBlockToken"], data["dispatchDBlockTokenForOut"]) == ("a", "x,NULL")
    assert data["allowNoOutput"] == "out.root"


def test_destination_tokens_reach_the_pilot_and_the_reader() -> None:
    job = job_spec()
    job.addFile(file_spec(destinationDBlockToken="ddd:PLACE,other"))
    job.addFile(file_spec(lfn="more"))
    assert pilot_job(described(drafted(job)), "S")["destinationDBlockToken"] == "dst:PLACE,NULL"
    files = describe(described(drafted(job)))["Files"]
    assert [file["destinationDBlockToken"] for file in files] == ["ddd:PLACE,other", None]
