"""Names, submissions, reports and the job dict: the wire as the real client and the real pilot have it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from gateway.http.refusal import RefusalError
from gateway.wire.description import describe
from gateway.wire.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, snake
from gateway.wire.pilot_job import pilot_job
from gateway.wire.pilot_report import pilot_report
from gateway.wire.pilot_requests import UpdateRequest
from gateway.wire.submission import draft, read_jobs
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.jobs.drafts import JobDraft

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the pilot's, not ours
    from pilot.info.jobdata import JobData

DATA = Path(__file__).resolve().parent.parent / "data"
QUEUES = {"LAB_B"}


def job_spec(**attributes: Any) -> JobSpec:
    """A job as a user's script makes it."""
    job = JobSpec()
    values = {"computingSite": "LAB_B", "VO": "lab", "transformation": "http://x/trf/user/run"} | attributes
    for name, value in values.items():
        setattr(job, name, value)
    return job


def file_spec(**attributes: Any) -> FileSpec:
    """A file of it."""
    file = FileSpec()
    for name, value in ({"type": "output", "lfn": "out.root", "scope": "user.lab"} | attributes).items():
        setattr(file, name, value)
    return file


def drafted(job: JobSpec, job_id: int = 42) -> JobDraft:
    """The draft of a job that went over the wire."""
    sent = json.loads(json.dumps([job.dump_to_json_serializable()], default=str))
    return draft(sent[0], 0, job_id, 77, "Lab User", QUEUES)


def described(job: JobDraft, **columns: Any) -> JobDescription:
    """The draft as it comes back from the database."""
    files = [
        FileRow(seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block, f.destination, f.token, f.guid, f.size,
                f.checksum, f.status)
        for seq, f in enumerate(job.files)
    ]  # fmt: skip
    values = job.model_dump(exclude={"spec", "files", "user"}) | {"user_name": job.user, "state": "sent"} | columns
    return JobDescription(job.job_id, values, job.spec, files)


def test_names_are_the_clients() -> None:
    assert (JobSpec._attributes, FileSpec._attributes) == (JOB_ATTRIBUTES, FILE_ATTRIBUTES)


def test_names_inside_are_distinct_and_stay() -> None:
    assert len(set(SNAKE_JOB_ATTRIBUTES)) == len(JOB_ATTRIBUTES)
    assert all(snake(name) == name for name in SNAKE_JOB_ATTRIBUTES)
    names = {"PandaID": "panda_id", "jediTaskID": "jedi_task_id", "maxRSS": "max_rss", "metaData": "meta_data"}
    assert {name: snake(name) for name in names} == names


def test_recorded_submission_becomes_drafts() -> None:
    sent = read_jobs(json.loads((DATA / "submit-2.2.0.json").read_text())["jobs"])
    jobs = [draft(one, index, 100 + index, 1, "u", QUEUES) for index, one in enumerate(sent)]
    first = jobs[0]
    assert (first.site, first.vo, first.label, first.priority, first.min_ram) == ("LAB_B", "lab", "user", 1000, 100)
    assert [file.type for file in first.files] == ["input", "output", "log"]
    assert first.files[0].checksum.startswith("ad:")
    assert first.files[0].size > 0
    assert first.files[2].guid, "the log's GUID is made if missing"
    assert "NULL" not in json.dumps(first.model_dump())


def test_placeholders_are_filled() -> None:
    job = job_spec(jobParameters="-o $PANDAID.$JOBSETID.$JEDITASKID", jobName="a.$ORIGINPANDAID", jediTaskID=9)
    job.addFile(file_spec(lfn="out.$PANDAID._$JOBSETID.root"))
    result = drafted(job)
    assert result.spec["job_parameters"] == "-o 00042.000077.9"
    assert result.name == "a.42"
    assert result.files[0].lfn == "out.00042._000077.root"


def test_older_clients_send_fewer_attributes() -> None:
    sent = job_spec().dump_to_json_serializable()
    assert draft([*sent[:122], []], 0, 1, 1, "u", QUEUES).site == "LAB_B"


def test_what_the_server_decides_is_not_taken_from_the_client() -> None:
    result = drafted(job_spec(PandaID=1, jobStatus="finished", jobsetID=5))
    assert (result.job_id, result.jobset_id) == (42, 5)
    assert not {"panda_id", "job_status"} & result.spec.keys()


BAD_JOBS: dict[str, tuple[Any, str]] = {
    "no job": (5, "job 3: must be an array"),
    "an object": ({"PandaID": 1}, "job 3: must be an array"),
    "no list of files": (["NULL"] * 126, "job 3: must be an array"),
    "a file that is none": ([*["NULL"] * 126, [5]], "job 3: file 0: must be an array"),
    "unknown queue": (job_spec(computingSite="NOWHERE"), "job 3: computingSite: unknown queue 'NOWHERE'"),
    "no queue": (job_spec(computingSite=None), "job 3: computingSite: is missing"),
    "queue with a slash": (job_spec(computingSite="../x"), "job 3: site: "),
    "negative memory": (job_spec(minRamCount=-1), "job 3: minRamCount: must not be negative"),
    "negative task": (job_spec(taskID=-5), "job 3: taskID: must not be negative"),
    "cores that are no number": (job_spec(coreCount="many"), "job 3: coreCount: is not a number"),
    "attempt out of range": (job_spec(attemptNr=40000), "job 3: attempt_nr"),
    "memory out of range": (job_spec(minRamCount=10**12), "job 3: min_ram"),
    "a number beyond 64 bits": (job_spec(nEvents=10**30), "job 3: nEvents: is out of range"),
    "NUL in a name": (job_spec(jobName="a\x00b"), "job 3: jobName: contains control characters"),
    "control character in a user": (job_spec(prodUserID="a\x1bb"), "job 3: prodUserID: contains control characters"),
    "NUL in the parameters": (job_spec(jobParameters="a\x00b"), "job 3: jobParameters: contains NUL"),
    "a nested value": (job_spec(cloud=["x"]), "job 3: cloud: must be a text or a number"),
}  # fmt: skip

BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "path in a name": ({"lfn": "a/b"}, "job 3: file 0: lfn"),
    "the way up": ({"lfn": "../../etc/passwd"}, "job 3: file 0: lfn"),
    "a backslash": ({"lfn": "a\\b"}, "job 3: file 0: lfn"),
    "dots only": ({"lfn": ".."}, "job 3: file 0: lfn"),
    "no name": ({"lfn": None}, "job 3: file 0: lfn"),
    "NUL in a name": ({"lfn": "a\x00"}, "job 3: file 0: lfn: contains control characters"),
    "comma in a name": ({"lfn": "a,b"}, "job 3: file 0: lfn: must not contain a comma"),
    "unknown type": ({"type": "zipinput"}, "job 3: file 0: type"),
    "negative size": ({"fsize": -1}, "job 3: file 0: size"),
    "size that is no number": ({"fsize": "big"}, "job 3: file 0: fsize: is not a number"),
    "scope with a path": ({"scope": "../x"}, "job 3: file 0: scope"),
    "checksum of no kind": ({"checksum": "xx:12"}, "job 3: file 0: checksum"),
}


@pytest.mark.parametrize("case", BAD_JOBS)
def test_bad_job_is_refused_by_index_and_field(case: str) -> None:
    sent, reason = BAD_JOBS[case]
    sent = sent.dump_to_json_serializable() if isinstance(sent, JobSpec) else sent
    with pytest.raises(RefusalError) as refused:
        draft(sent, 3, 1, 1, "u", QUEUES)
    assert refused.value.message.startswith(reason)


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused_by_index_and_field(case: str) -> None:
    attributes, reason = BAD_FILES[case]
    job = job_spec()
    job.addFile(file_spec(**attributes))
    with pytest.raises(RefusalError) as refused:
        draft(job.dump_to_json_serializable(), 3, 1, 1, "u", QUEUES)
    assert refused.value.message.startswith(reason)


def test_two_outputs_of_one_name_are_refused() -> None:
    job = job_spec()
    job.addFile(file_spec())
    job.addFile(file_spec())
    with pytest.raises(RefusalError, match=r"job 0: two output files are called 'out\.root'"):
        drafted(job)


@pytest.mark.parametrize("sent", ["", "nonsense", "{}", "[]", [], "[" * 10_000, "null"])
def test_a_submission_that_is_no_list_of_jobs_is_refused(sent: Any) -> None:
    with pytest.raises(RefusalError):
        read_jobs(sent)


def whole_job(**attributes: Any) -> JobDraft:
    """A job with two inputs, two outputs and a log."""
    job = job_spec(jobParameters="-i in", prodSourceLabel="user", prodUserID="Lab User", taskID=5, **attributes)
    for number in (1, 2):
        job.addFile(file_spec(type="input", lfn=f"in.{number}", GUID=f"G-{number}", fsize=10, checksum="ad:00000001",
                              dataset="user.lab.in", scope=f"s{number}"))  # fmt: skip
    job.addFile(file_spec(lfn="out.1", destinationDBlock="user.lab.out", dataset="user.lab.out"))
    job.addFile(file_spec(type="log", lfn="log.tgz", scope="user.log", destinationDBlock="user.lab.log"))
    job.addFile(file_spec(lfn="out.2", scope="s9", destinationDBlock="user.lab.out", dispatchDBlockToken="an"))
    return drafted(job)


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


def test_special_handling_reaches_the_pilot() -> None:
    data = pilot_job(described(whole_job(specialHandling="lc,nc,dd", container_name="image:1")), "S")
    assert (data["loopingCheck"], data["noExecStrCnv"], data["container_name"]) == ("False", "True", "image:1")


def test_description_round_trip_through_the_real_client() -> None:
    errors = {"pilot": {"code": 1305, "diag": "payload failed"}, "trans": {"code": 7, "diag": ""}}
    pilot = {"core_count": 8, "pilot_id": "x|PR"}
    answer = describe(described(whole_job(nEvents=3), state="failed", errors=errors, pilot=pilot, command=None))
    job = JobSpec()
    job.load_from_dict(json.loads(json.dumps(answer)))
    assert (job.PandaID, job.jobStatus, job.taskID, job.computingSite) == (42, "failed", 5, "LAB_B")
    assert (job.pilotErrorCode, job.pilotErrorDiag, job.transExitCode) == (1305, "payload failed", 7)
    assert (job.coreCount, job.actualCoreCount, job.pilotID, job.commandToPilot) == (1, 8, "x|PR", "NULL")
    assert [file.lfn for file in job.Files] == ["in.1", "in.2", "out.1", "log.tgz", "out.2"]
    assert job.Files[0].PandaID == 42


def test_recorded_updates_of_the_real_pilot_become_reports() -> None:
    calls = json.loads((DATA / "pilot-3.7.0.36.json").read_text())
    bodies = [dict(parse_qsl(call["body"])) for call in calls if call["path"].endswith("updateJob")]
    reports = [pilot_report(UpdateRequest.model_validate(body)) for body in bodies]
    assert [report.state for report in reports][:1] == ["starting"]
    assert reports[-1].state in ("finished", "failed")
    assert reports[-1].output_report is not None
    assert all(isinstance(report.job_id, int) for report in reports)


NEW_NAMES = {
    "job_id": 7, "job_status": "failed", "attempt_nr": 2, "pilot_error_code": 1305, "job_output_report": "{}",
    "start_time": "2026-11-22 23:11:57", "max_rss": 5, "cpu_conversion_factor": 1.5, "meta_data": "m",
}  # fmt: skip
OLD_NAMES = {
    "jobId": "7", "state": "failed", "attemptNr": "2", "pilotErrorCode": "1305", "startTime": 1795389117.0,
    "xml": "{}", "maxRSS": "5", "cpuConversionFactor": "1.5", "metaData": "m",
}  # fmt: skip


def test_both_generations_of_names_make_the_same_report() -> None:
    old, new = (pilot_report(UpdateRequest.model_validate(sent)) for sent in (OLD_NAMES, NEW_NAMES))
    assert old.model_dump(exclude={"message_id"}) == new.model_dump(exclude={"message_id"})
    assert new.attributes["pilot_error_code"] == 1305
    assert new.attributes["start_time"] == "2026-11-22T23:11:57+00:00"


def test_a_garbled_extra_costs_no_report() -> None:
    sent = {"jobId": 1, "state": "running", "maxRSS": "lots", "pilotErrorCode": [1], "startTime": "soon",
            "nEvents": float("nan"), "pilotLog": "a\x00b\x1b[31m" + "x" * 9999, "unheardOf": {"a": 1}}  # fmt: skip
    report = pilot_report(UpdateRequest.model_validate(sent))
    assert set(report.attributes) == {"pilot_log"}
    assert str(report.attributes["pilot_log"]).startswith("ab[31mx")
    assert len(str(report.attributes["pilot_log"])) == 4096
