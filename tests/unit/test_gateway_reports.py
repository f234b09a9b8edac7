"""Reports: what pilots of all generations send, what refuses a report and what never does, and all of it read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pandaclient.JobSpec import JobSpec
from pydantic import ValidationError

from consumers.watcher import Watcher
from gateway.wire.description import describe
from gateway.wire.pilot_report import MAX_METADATA, pilot_report
from gateway.wire.pilot_requests import UpdateRequest
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.metadata import Written, written
from panda_fsm.jobs.states import State
from panda_fsm.messages import LARGEST_BODY, PilotReport, decode
from panda_fsm.outcomes import Advance
from tests import factories
from tests.wire import described, drafted, job_spec, whole_job

DATA = Path(__file__).resolve().parent.parent / "data"


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


KNOWN_TO_PANDA = {
    "avgRSS": 1, "avgVMEM": 2, "avgSWAP": 3, "avgPSS": 4, "maxRSS": 5, "maxVMEM": 6, "maxSWAP": 7, "maxPSS": 8,
    "jobSubStatus": "sub", "sourceSite": "A", "destinationSite": "B",
    "cpuConsumptionTime": 17, "cpuConsumptionUnit": "s+cpu", "cpu_architecture_level": "x86_64-v3", "nEvents": 18,
    "nInputFiles": 19, "batchID": "b", "schedulerID": "s", "pilotID": "p", "pilotTiming": "1|2", "grid": "g",
    "computingElement": "ce", "transExitCode": 0,
}  # fmt: skip
"""What a pilot reports and a job has under the same name."""


def read_back(sent: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """What the reader of a job sees of a report, as the Watcher keeps it."""
    report = pilot_report(UpdateRequest.model_validate({"jobId": 42, "state": "finished"} | sent))
    changes = Watcher(TableLimits({}, {})).decide(factories.item(report, factories.job(State.RUNNING)))
    assert isinstance(changes, Advance)
    errors = {e.component.value: {"code": e.code, "diag": e.diagnostic} for e in changes.changes.errors}
    metadata = report.attributes.get("metadata")
    values = {"state": "finished", "pilot": changes.changes.pilot, "errors": errors, "metadata": metadata} | columns
    return describe(described(whole_job(), **values))


@pytest.mark.parametrize("as_text", [False, True])
def test_all_that_is_known_is_readable(as_text: bool) -> None:
    sent = {name: str(value) for name, value in KNOWN_TO_PANDA.items()} if as_text else KNOWN_TO_PANDA
    read = read_back(sent)
    assert {name: read[name] for name in KNOWN_TO_PANDA} == KNOWN_TO_PANDA


def test_bytes_are_read_back_as_kilobytes() -> None:
    names = ["totRCHAR", "totWCHAR", "totRBYTES", "totWBYTES", "rateRCHAR", "rateWCHAR", "rateRBYTES", "rateWBYTES"]
    read = read_back({name: 2048 + number for number, name in enumerate(names)})
    assert [read[name] for name in names] == [2] * 8
    assert read_back({"totRCHAR": "10240"})["totRCHAR"] == 10


def test_what_pilots_call_differently_is_readable() -> None:
    metrics = "nEvents=5 leak=1234.56 chi2=0.25 " + "x" * 600
    read = read_back({"coreCount": 8, "cpuConversionFactor": 1.5, "node": "wn7", "metaData": {"a": 1},
                      "jobMetrics": metrics})  # fmt: skip
    assert (read["actualCoreCount"], read["coreCount"], read["cpuConversion"]) == (8, 1, 1.5)
    assert (read["modificationHost"], read["metadata"]) == ("wn7", '{"a":1}')
    assert (read["jobMetrics"], read["memory_leak"], read["memory_leak_x2"]) == (metrics[:500], 1234, 0.25)


def test_dates_are_as_reported_and_dates() -> None:
    arrival = datetime(2026, 11, 23, tzinfo=UTC)
    for start, end in (("2026-11-22 23:11:57", "2026-11-22 23:12:00"), ("1795389117.5", 1795389120)):
        read = read_back({"startTime": start, "endTime": end}, ended_at=arrival, started_at=arrival)
        assert read["startTime"]["__datetime__"].startswith("2026-11-22T23:11:57")
        assert read["endTime"] == {"__datetime__": "2026-11-22T23:12:00"}
    assert read_back({}, ended_at=arrival)["endTime"] == {"__datetime__": "2026-11-23T00:00:00"}


@pytest.mark.parametrize("component", ["pilot", "exe", "sup", "ddm", "brokerage", "jobDispatcher", "taskBuffer"])
def test_errors_of_all_components_are_readable(component: str) -> None:
    read = read_back({f"{component}ErrorCode": "7", f"{component}ErrorDiag": "why", "state": "failed"})
    assert (read[f"{component}ErrorCode"], read[f"{component}ErrorDiag"]) == (7, "why")


def test_a_finished_job_ended_well_unless_its_pilot_knows_better() -> None:
    assert read_back({"transExitCode": "NULL"})["transExitCode"] == 0
    assert read_back({"transExitCode": 3})["transExitCode"] == 3
    assert read_back({"state": "failed"}, state="failed")["transExitCode"] is None


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("failed", 0), ("cancelled", 100)])
def test_a_kill_is_the_error_of_a_job_that_ended_by_it(state: str, code: int) -> None:
    read = read_back({}, state=state, errors={"kill": {"code": 100, "diag": "killed by me"}})
    assert (read["taskBufferErrorCode"], read["taskBufferErrorDiag"]) == (code, "killed by me")


def test_what_was_not_said_is_read_back_as_nothing() -> None:
    """Whether it is absent in the specification or stands empty in a column."""
    read = describe(described(drafted(job_spec(VO="NULL"))))
    assert {name for name, value in read.items() if value == ""} == set()
    assert (read["destinationSE"], read["jobName"], read["VO"], read["attemptNr"]) == (None, None, None, 0)


@pytest.mark.parametrize(("holder", "read"), [(None, 1), ("iss|pilot", 0)])
def test_a_background_job_is_one_until_a_pilot_has_it(holder: str | None, read: int) -> None:
    """And again when it waits again."""
    assert describe(described(whole_job(jobExecutionID=1), holder=holder))["jobExecutionID"] == read


def test_files_add_up() -> None:
    read = describe(described(whole_job()))
    assert (read["nInputDataFiles"], read["inputFileBytes"], read["nOutputDataFiles"]) == (2, 20, 0)


UNREADABLE: tuple[Any, ...] = (
    None, "", "NULL", "\udcff", "a\x00b", [1], {"a": "\ud800"}, True, float("inf"), 10**40, "1_0", "x" * 20_000_000,
)  # fmt: skip
SIDE_FIELDS = sorted(KNOWN_TO_PANDA.keys() | {"metaData", "stdout", "pilotLog", "startTime", "pilotErrorDiag", "node",
                     "pilotErrorCode", "jobMetrics", "coreCount", "timestamp", "siteName", "unheardOf"})  # fmt: skip


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: ascii(value)[:12])
def test_no_side_field_costs_a_report(value: Any) -> None:
    sent = {"jobId": 1, "state": "failed"} | dict.fromkeys(SIDE_FIELDS, value)
    message = pilot_report(UpdateRequest.model_validate(sent))
    body = message.encode()
    assert len(body) < LARGEST_BODY
    assert isinstance(decode(body), PilotReport)


@pytest.mark.parametrize("name", ["metaData", "metadata", "meta_data"])
def test_metadata_that_are_too_long_still_say_what_the_payload_wrote(name: str) -> None:
    files = {"output": [{"subFiles": [{"name": "out.root", "file_guid": "G", "nentries": 1}]}]}
    metadata = json.dumps({"executor": "x" * MAX_METADATA, "files": files})
    for sent in (metadata, json.loads(metadata)):
        report = pilot_report(UpdateRequest.model_validate({"jobId": 1, "state": "finished", name: sent}))
        assert written(str(report.attributes["metadata"])) == {"out.root": Written("G", 1)}
    failed = pilot_report(UpdateRequest.model_validate({"jobId": 1, "state": "failed", name: metadata}))
    assert failed.attributes["metadata"] == metadata[:MAX_METADATA], "of these people read the beginning"


@pytest.mark.parametrize("value", [None, "", "NULL"])
def test_what_is_absent_becomes_no_value(value: Any) -> None:
    report = pilot_report(UpdateRequest.model_validate(
        {"jobId": 1, "state": "running", "attemptNr": value, "xml": value} | dict.fromkeys(SIDE_FIELDS, value)
    ))  # fmt: skip
    assert (report.attempt_nr, report.output_report, report.attributes) == (None, None, {})


@pytest.mark.parametrize(
    "sent", [{"jobId": "NULL"}, {"jobId": "1_0"}, {"jobId": 1.5}, {"attemptNr": "x"}, {"attemptNr": 40000}]
)
def test_job_and_attempt_can_refuse_a_report(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UpdateRequest.model_validate({"jobId": 1, "state": "running"} | sent)


def test_an_output_report_may_come_as_an_object() -> None:
    sent = {"job_id": 1, "job_status": "finished", "job_output_report": {"a": {"fsize": 1}}}
    assert pilot_report(UpdateRequest.model_validate(sent)).output_report == '{"a":{"fsize":1}}'
