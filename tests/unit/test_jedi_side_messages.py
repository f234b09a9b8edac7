"""JEDI's side: bunches that the server takes, what is newer, what is kept, and the command line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from panda_fsm_jedi import queues
from panda_fsm_jedi.__main__ import parse, spec_of
from panda_fsm_jedi.bunches import MOST_BYTES, bunches, decode, encode, pack
from panda_fsm_jedi.messages import JobStatus, told
from panda_fsm_jedi.picture import Picture

from panda_fsm import status_queues as server

ENVELOPE = 300


def status(jobid: int, seq: int, state: str = "running", **fields: Any) -> JobStatus:
    return JobStatus(jobid=jobid, seq=seq, status=state, taskid=3, **fields)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([10] * 500, [500]),
        ([10] * 501, [500, 1]),
        ([400_000] * 5, [2, 2, 1]),
        ([900_000, 10, 200_000], [2, 1]),
    ],
)
def test_a_bunch_has_at_most_500_jobs_and_one_mebibyte(sizes: list[int], expected: list[int]) -> None:
    jobs = [{"PandaID": number, "jobParameters": "x" * size} for number, size in enumerate(sizes)]
    found = list(bunches(jobs, ENVELOPE))
    assert [len(bunch) for bunch in found] == expected
    assert [job for bunch in found for job in bunch] == jobs
    assert all(len(encode({"jobs": bunch})) + ENVELOPE <= MOST_BYTES + len('{"jobs":[]}') for bunch in found)


def test_a_job_that_fits_into_no_message_is_named() -> None:
    jobs: list[dict[str, Any]] = [{"PandaID": 1}, {"PandaID": 2, "jobParameters": "x" * MOST_BYTES}]
    with pytest.raises(ValueError, match="job 2 takes"):
        list(bunches(jobs, ENVELOPE))


def test_nulls_are_left_out_at_any_depth_and_large_bodies_are_packed() -> None:
    body = encode({"a": None, "jobs": [{"PandaID": 1, "cloud": None, "Files": [{"lfn": "f", "GUID": None}]}], "b": 0})
    assert json.loads(body) == {"jobs": [{"PandaID": 1, "Files": [{"lfn": "f"}]}], "b": 0}
    assert pack(body) == (body, None)
    packed, encoding = pack(b'{"a":"' + b"x" * 5000 + b'"}')
    assert encoding == "gzip"
    assert decode(packed) == {"a": "x" * 5000}


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff", gzip.compress(b"{}", mtime=0)[:8]])
def test_a_body_that_cannot_be_read_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


def test_what_is_told_has_types_and_keeps_what_is_new_to_us() -> None:
    message = told({"msg_type": "job_status", "schema": 1, "seq": 4, "jobid": 7, "status": "running", "later": [1]})
    assert isinstance(message, JobStatus)
    assert (message.jobid, message.model_dump()["later"]) == (7, [1])
    assert told({"msg_type": "of_tomorrow"}) is None
    with pytest.raises(ValueError, match="job_status of job 7: status: Field required"):
        told({"msg_type": "job_status", "seq": 4, "jobid": 7})


def test_a_picture_takes_what_is_newer_whatever_the_order() -> None:
    picture = Picture()
    steps = [(1, 5, True), (1, 5, False), (1, 4, False), (2, 3, True), (1, 6, True)]
    assert [picture.take(status(jobid, seq)) for jobid, seq, _ in steps] == [is_news for *_, is_news in steps]
    assert (picture.seqs, picture.since) == ({1: 6, 2: 3}, 6)


def test_a_job_that_has_ended_in_a_picture_has_ended() -> None:
    """A replay tells the end with the number of an earlier step, and then the steps between come."""
    picture = Picture()
    steps = [(5, "finished", True), (6, "transferring", False), (7, "finished", True)]
    assert [picture.take(status(1, seq, state, final=final)) for seq, state, final in steps] == [True, False, True]
    assert (picture.jobs[1].status, picture.jobs[1].seq) == ("finished", 7)


def test_a_picture_is_kept_and_found_again(tmp_path: Path) -> None:
    picture, file = Picture(), tmp_path / "picture.json"
    picture.take(
        status(1, 5, "finished", final=True, files=[{"fileid": 9, "lfn": "a", "type": "output", "status": "x"}])
    )
    picture.take(status(2, 6))
    picture.save(file)
    again = Picture.load(file)
    assert again.jobs == picture.jobs
    assert [again.is_final(jobid) for jobid in (1, 2, 3)] == [True, False, False]


@pytest.mark.parametrize("vo", ["lab", "vo.some.org", "#", "", "x" * 200])
def test_queues_have_the_names_that_the_server_gives_them(vo: str) -> None:
    assert queues.status_queues(vo, 3) == list(server.status_queues(vo, 3))
    assert queues.replies_queue(vo) == server.replies_queue(vo)


def test_the_command_line_describes_a_task(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"taskid": 9, "jobs": 5, "site": "A", "transformation": "t", "priority": 7}))
    spec = spec_of(parse(["--url", "amqp://", "--vo", "lab", "--task", str(file), "--site", "B"]))
    assert (spec.taskid, spec.jobs, spec.site, spec.priority, spec.name) == (9, 5, "B", 7, "lab.jedi")
    with pytest.raises(ValueError, match=r"site: .*; transformation: "):
        spec_of(parse(["--url", "amqp://", "--vo", "lab"]))
