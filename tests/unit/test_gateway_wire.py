"""Names and submissions: the wire as the real client has it, and what is derived of what it sends or leaves out."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from gateway.http.refusal import RefusalError
from gateway.wire.submission import draft, read_jobs, refuse_names
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, snake
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.okapi import OkapiPlugin
from tests.wire import QUEUES, drafted, file_spec, job_spec

DATA = Path(__file__).resolve().parent.parent / "data"


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


def test_what_the_rules_of_blocks_read_of_a_job() -> None:
    job = job_spec(processingType="reco", specialHandling="pc", transferType="direct", lockedby="jedi")
    job.addFile(file_spec(destinationDBlockToken="TOMERGE", dispatchDBlockToken="an"))
    job.addFile(file_spec(type="input", lfn="in", destinationDBlockToken="no", dispatchDBlockToken="TOMERGE"))
    result = drafted(job)
    assert (result.processing_type, result.special_handling, result.transfer_type) == ("reco", "pc", "direct")
    assert result.is_jedis
    assert not drafted(job_spec(lockedby="me")).is_jedis
    assert [(file.token, file.place_token) for file in result.files] == [("an", "TOMERGE"), ("", "TOMERGE")]


@pytest.mark.parametrize(
    ("sent", "stays"), [(2, True), ("2", True), (1, False), (3, False), (-2, False), ("NULL", False)]
)
def test_a_job_stays_at_its_queue_where_its_relocation_flag_says_so(sent: Any, stays: bool) -> None:
    assert drafted(job_spec(relocationFlag=sent)).no_reassign is stays


@pytest.mark.parametrize(("sent", "is_background"), [(1, True), ("1", True), (0, False), (77, False), ("NULL", False)])
def test_a_job_is_for_the_background_where_its_execution_id_says_so(sent: Any, is_background: bool) -> None:
    assert drafted(job_spec(jobExecutionID=sent)).is_background is is_background


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
    "queue with a slash": (job_spec(computingSite="../x"), "job 3: computingSite: "),
    "negative memory": (job_spec(minRamCount=-1), "job 3: minRamCount: must not be negative"),
    "negative task": (job_spec(taskID=-5), "job 3: taskID: must not be negative"),
    "cores that are no number": (job_spec(coreCount="many"), "job 3: coreCount: is not a number"),
    "attempt out of range": (job_spec(attemptNr=40000), "job 3: attemptNr: "),
    "memory out of range": (job_spec(minRamCount=10**12), "job 3: minRamCount: "),
    "a number beyond 64 bits": (job_spec(nEvents=10**30), "job 3: nEvents: is out of range"),
    "NUL in a name": (job_spec(jobName="a\x00b"), "job 3: jobName: contains control characters"),
    "control character in a user": (job_spec(prodUserID="a\x1bb"), "job 3: prodUserID: contains control characters"),
    "NUL in the parameters": (job_spec(jobParameters="a\x00b"), "job 3: jobParameters: contains NUL"),
    "a nested value": (job_spec(cloud=["x"]), "job 3: cloud: must be a text or a number"),
}  # fmt: skip

LONG = "x" * 5000
BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "path in a name": ({"lfn": "a/b"}, "job 3: file 0: lfn"),
    "the way up": ({"lfn": "../../etc/passwd"}, "job 3: file 0: lfn"),
    "a backslash": ({"lfn": "a\\b"}, "job 3: file 0: lfn"),
    "dots only": ({"lfn": ".."}, "job 3: file 0: lfn"),
    "no name": ({"lfn": None}, "job 3: file 0: lfn"),
    "NUL in a name": ({"lfn": "a\x00"}, "job 3: file 0: lfn: contains control characters"),
    "comma in a name": ({"lfn": "a,b"}, "job 3: file 0: lfn: must not contain a comma"),
    "comma in a dataset": ({"type": "input", "prodDBlock": "a,b"}, "job 3: file 0: prodDBlock: must not contain"),
    "comma in a block": ({"destinationDBlock": "a,b"}, "job 3: file 0: destinationDBlock: must not contain a comma"),
    "comma in a place": ({"destinationSE": "a,b"}, "job 3: file 0: destinationSE: must not contain a comma"),
    "unknown type": ({"type": "zipinput"}, "job 3: file 0: type"),
    "negative size": ({"fsize": -1}, "job 3: file 0: fsize: "),
    "size that is no number": ({"fsize": "big"}, "job 3: file 0: fsize: is not a number"),
    "scope with a path": ({"scope": "../x"}, "job 3: file 0: scope"),
    "a pattern of inputs": ({"type": "input", "lfn": "regex|a"}, "job 3: file 0: lfn: only an output"),
    "a pattern that is none": ({"lfn": "regex|("}, "job 3: file 0: lfn: is not a regular expression"),
    "checksum of no kind": ({"checksum": "xx:12"}, "job 3: file 0: checksum"),
    "md5 of no kind": ({"md5sum": "xx:12"}, "job 3: file 0: md5sum"),
    "comma in its dataset": ({"dataset": "a,b", "prodDBlock": "a"}, "job 3: file 0: dataset: must not contain a comma"),
    "a long block": ({"type": "input", "prodDBlock": LONG}, "job 3: file 0: prodDBlock: "),
    "a long token": ({"type": "input", "prodDBlockToken": LONG}, "job 3: file 0: prodDBlockToken: "),
    "a long place": ({"type": "input", "dispatchDBlockToken": LONG}, "job 3: file 0: dispatchDBlockToken: "),
    "a long token of an output": ({"dispatchDBlockToken": LONG}, "job 3: file 0: dispatchDBlockToken: "),
    "a long place of an output": ({"destinationDBlockToken": LONG}, "job 3: file 0: destinationDBlockToken: "),
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


@pytest.mark.parametrize(
    ("lfn", "why"),
    [
        ("a+b", "it must be of letters"),
        ("a b", "it must be of letters"),
        ("d\u00fcnn", "it must be of letters"),
        ("-a", "it must be of letters"),
        ("x" * 251, "it is longer than 250 characters"),
        ("regex|a+b", None),
        ("a.b_c-1", None),
    ],
)
@pytest.mark.parametrize("kind", ["output", "log"])
def test_a_name_that_can_never_be_registered_is_refused(kind: str, lfn: str, why: str | None) -> None:
    """By the plugin's rule, naming the file; what is there already is the catalogue's business."""
    job = job_spec()
    job.addFile(file_spec(type="input", lfn="an input+"))
    job.addFile(file_spec(type=kind, lfn=lfn))
    made = drafted(job)
    expected = pytest.raises(RefusalError) if why else nullcontext()
    with expected as refused:
        refuse_names(3, made, lambda _vo, name: GenericPlugin.names.refusal(name))
    if refused is not None:
        assert refused.value.message.startswith(f"job 3: file 1: lfn: {lfn!r:.80} cannot be registered: {why}")


@pytest.mark.parametrize(
    ("kind", "length", "is_taken"), [("output", 244, True), ("output", 245, False), ("log", 250, True)]
)
def test_a_name_leaves_room_for_what_pilots_add(kind: str, length: int, is_taken: bool) -> None:
    """The payload may write an output in parts, and hours later the Adder would refuse `<lfn>._1`."""
    job = job_spec()
    job.addFile(file_spec(type=kind, lfn="x" * length))
    made = drafted(job)
    told = r"job 3: file 0: lfn: 'x+ .* longer than 250 characters, with 6 more for the \._<number>"
    with nullcontext() if is_taken else pytest.raises(RefusalError, match=told):
        refuse_names(3, made, lambda _vo, name: GenericPlugin.names.refusal(name))
    assert (GenericPlugin.names.refusal(f"{'x' * length}._1999") is None) == (is_taken and kind == "output")


def test_an_experiment_may_take_other_names() -> None:
    assert OkapiPlugin.names.refusal("a+b") is None
    assert OkapiPlugin.names.refusal("a b") is not None


def test_two_outputs_of_one_name_are_refused() -> None:
    job = job_spec()
    job.addFile(file_spec())
    job.addFile(file_spec())
    with pytest.raises(RefusalError, match=r"job 0: two output files are called 'out\.root'"):
        drafted(job)


def test_patterns_are_few_and_cost_little_to_look_at() -> None:
    """Such a pattern takes a quarter second to compile, and 2,000 files may have one each."""
    job = job_spec()
    for number in range(20):
        job.addFile(file_spec(lfn=f"regex|(?i){number}" + "[ -\U0010ffff]" * 48))
    began = time.thread_time()
    drafted(job)
    assert time.thread_time() - began < 1
    job.addFile(file_spec(lfn="regex|one more"))
    with pytest.raises(RefusalError, match="job 0: declares more than 20 outputs by patterns"):
        drafted(job)


@pytest.mark.parametrize("sent", ["", "nonsense", "{}", "[]", [], "[" * 10_000, "null"])
def test_a_submission_that_is_no_list_of_jobs_is_refused(sent: Any) -> None:
    with pytest.raises(RefusalError):
        read_jobs(sent)


@pytest.mark.parametrize(
    ("sent", "kept"), [("d" * 32, f"md5:{'d' * 32}"), ("0a2b3c4d", "ad:0a2b3c4d"), ("ad:0a2b3c4d", "ad:0a2b3c4d")]
)
def test_a_checksum_without_its_kind_is_known_by_its_length(sent: str, kept: str) -> None:
    job = job_spec()
    job.addFile(file_spec(type="input", checksum=sent))
    assert drafted(job).files[0].checksum == kept


@pytest.mark.parametrize("kind", ["output", "log", "input"])
def test_what_an_output_will_be_only_its_pilot_says(kind: str) -> None:
    """A job that is submitted again brings what became of its files: that would pass for what a catalogue confirmed."""
    job = job_spec()
    job.addFile(file_spec(type=kind, GUID="G-1", fsize=5, checksum="ad:00000001", status="ready"))
    (file,) = drafted(job).files
    as_sent, to_come = ("G-1", 5, "ad:00000001", "ready"), ("G-1", 0, "", "unknown")
    assert (file.guid, file.size, file.checksum, file.status) == (as_sent if kind == "input" else to_come)


@pytest.mark.parametrize(
    ("cores", "memory", "sent", "derived"),
    [
        (None, None, None, "SCORE"), (1, 2000, None, "SCORE"), (1, 2001, "NULL", "SCORE_HIMEM"),
        (8, 16000, "", "MCORE"), (8, 16005, None, "MCORE_HIMEM"), (0, 1000, None, "MCORE"), (1, 100, "OWN", "OWN"),
    ],
)  # fmt: skip
def test_a_resource_type_is_derived(cores: int | None, memory: int | None, sent: str | None, derived: str) -> None:
    assert drafted(job_spec(coreCount=cores, minRamCount=memory, resource_type=sent)).resource_type == derived


@pytest.mark.parametrize(
    ("attributes", "priority"),
    [
        ({}, 1000), ({"prodSourceLabel": "panda"}, 2000), ({"prodSourceLabel": "managed"}, 0),
        ({"currentPriority": 0}, 0), ({"currentPriority": 5, "assignedPriority": 900}, 900),
        ({"currentPriority": 5, "assignedPriority": "NULL"}, 5), ({"prodSourceLabel": "install"}, 4100),
    ],
)  # fmt: skip
def test_a_priority_is_derived(attributes: dict[str, Any], priority: int) -> None:
    result = drafted(job_spec(**attributes))
    assert (result.priority, result.spec["current_priority"]) == (priority, priority)


def test_users_jobs_are_theirs_and_can_be_tried_again() -> None:
    spec = drafted(job_spec(prodUserID="somebody else", attemptNr=1)).spec
    assert (spec["prod_user_id"], spec["max_attempt"]) == ("Lab User", 3)
    assert drafted(job_spec(maxAttempt=-1)).spec["max_attempt"] == 0
    assert drafted(job_spec(prodSourceLabel="managed", prodUserID="robot")).spec["prod_user_id"] == "robot"


def test_needs_are_rounded_up() -> None:
    job = drafted(job_spec(minRamCount=1999.2, maxDiskCount="10.5", maxWalltime=None))
    assert (job.min_ram, job.max_disk, job.max_walltime) == (2000, 11, 0)


def test_an_output_may_be_declared_by_a_pattern() -> None:
    job = job_spec()
    job.addFile(file_spec(lfn=r"regex|out\.\d+\.root"))
    job.addFile(file_spec(lfn="x+(.root"))
    assert [file.lfn for file in drafted(job).files] == [r"regex|out\.\d+\.root", "x+(.root"]
