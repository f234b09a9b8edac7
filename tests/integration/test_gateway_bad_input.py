"""Whatever is sent to the gateway: a refusal that says what is wrong, nothing stored, never a 5xx or a traceback."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.services import Services
from tests.api_document import conforms
from tests.driver import Database
from tests.isolation import Databases, VirtualHosts
from tests.processes import Processes

LEGACY, NEW = "/server/panda/", "/api/v1/"
STORED = ("job", "request", "outbox", "worker", "worker_node", "cache_file", "dead_letter")


@pytest.fixture(scope="module")
def running(
    session_dir: Path, private_services: Services, databases: Databases, virtual_hosts: VirtualHosts
) -> Iterator[Processes]:
    """One gateway for all bad requests: it must survive them all."""
    with databases.fresh() as database_url, virtual_hosts.kept() as broker_url:
        processes = Processes(session_dir / "bad-input", database_url, broker_url)
        processes.start("gateway")
        try:
            processes.wait_until_ready()
            yield processes
        finally:
            print(processes.log_tails())
            processes.close()


@pytest.fixture
def http(running: Processes) -> Iterator[httpx.Client]:
    """A caller; afterwards nothing is stored, and the gateway has nothing to complain of."""
    hooks = {"response": [conforms]}
    with httpx.Client(base_url=running.gateway_url, timeout=30, trust_env=False, event_hooks=hooks) as client:
        yield client
    database = Database(running.environment["PANDA_FSM_DATABASE_URL"])
    assert not [row for table in STORED for row in database.rows(f"TABLE {table}")]
    database.close()
    log = running.log("gateway")
    assert "Traceback" not in log
    assert "request_failed" not in log


def job(index: int = 0, **values: Any) -> list[Any]:
    """A positional array with some values by number."""
    attributes: list[Any] = ["NULL"] * 126
    attributes[47] = "LAB_B"
    for name, value in values.items():
        attributes[int(name.lstrip("a"))] = value
    return [*attributes, []]


def jobs(*sent: Any) -> dict[str, Any]:
    """The body of a submission."""
    return {"jobs": json.dumps(list(sent))}


USER_CASES: dict[str, tuple[str, Any, int, str]] = {
    "no jobs field": ("job/submit", {}, 400, "jobs: "),
    "jobs that are no list": ("job/submit", {"jobs": "5"}, 400, "jobs: must be a list"),
    "jobs that are no JSON": ("job/submit", {"jobs": "[["}, 400, "not valid JSON"),
    "no jobs at all": ("job/submit", {"jobs": "[]"}, 400, "jobs: is empty"),
    "10,001 jobs": ("job/submit", jobs(*[[]] * 10_001), 413, "10001 jobs, more than 10000"),
    "the last of many is bad": ("job/submit", jobs(*[job()] * 20, job(a47="NOWHERE")), 400, "job 20: computingSite"),
    "unknown queue": ("job/submit", jobs(job(a47="NOWHERE")), 400, "job 0: computingSite: unknown queue"),
    "negative memory": ("job/submit", jobs(job(a25=-1)), 400, "job 0: minRamCount: must not be negative"),
    "NUL in a name": ("job/submit", jobs(job(a19="a\x00b")), 400, "job 0: jobName: contains control characters"),
    "path in a file name": ("job/submit", jobs([*job()[:-1], [["NULL"] * 3 + ["../x", "output"]]]), 400, "file 0: lfn"),
    "name of no catalogue": ("job/submit", jobs([*job()[:-1], [["NULL"] * 3 + ["a+b", "output"]]]), 400,
                             "job 0: file 0: lfn: 'a+b' cannot be registered"),
    "no ids": ("job/get_description", {}, 400, "job_ids: "),
    "ids that are none": ("job/get_description", {"job_ids": ["a"]}, 400, "job_ids.0: "),
    "negative id": ("job/kill", {"job_ids": [-5]}, 400, "job_ids.0: "),
    "id beyond 64 bits": ("job/kill", {"job_ids": [2**70]}, 400, "job_ids.0: "),
    "5,501 ids": ("job/get_description", {"job_ids": list(range(1, 5502))}, 413, "job_ids: "),
    "kill code of words": ("job/kill", {"job_ids": [1], "code": "all"}, 400, "code: "),
    "kill code out of range": ("job/kill", {"job_ids": [1], "code": 10**6}, 400, "code: "),
    "size of words": ("file_server/validate_cache_file", {"file_size": "x", "checksum": 1}, 400, "file_size: "),
}  # fmt: skip


@pytest.mark.parametrize("case", USER_CASES)
def test_user_is_told_by_status_and_sentence(http: httpx.Client, case: str) -> None:
    path, body, status, sentence = USER_CASES[case]
    answer = http.post(NEW + path, json=body)
    assert (answer.status_code, answer.json()["success"], answer.json()["data"]) == (status, False, None)
    assert sentence in answer.json()["message"]


@cache
def bomb() -> bytes:
    """Made when it is needed: every process that collects tests would make it."""
    return gzip.compress(b" " * 300_000_000)


BODIES: dict[str, tuple[bytes | Callable[[], bytes], int]] = {
    "json cut short": (b'{"jobId": "1", "sta', 400),
    "no body language": (b"\xff\xfe\x00", 400),
    "gzip cut short": (gzip.compress(b'{"jobId": 1}')[:-6], 400),
    "gzip nonsense": (b"\x1f\x8bxxxxxxxxxxxx", 400),
    "a list": (b"[1]", 400),
    "zip bomb": (bomb, 413),
    "nested deeply": (b'{"a":' * 100_000, 400),
}
POSTS = [
    LEGACY + "getJob",
    LEGACY + "updateJob",
    NEW + "pilot/acquire_jobs",
    NEW + "pilot/update_job",
    NEW + "job/submit",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("case", BODIES)
def test_undecodable_bodies(http: httpx.Client, case: str, path: str) -> None:
    body, status = BODIES[case]
    answer = http.post(
        path, content=body if isinstance(body, bytes) else body(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.json()["message"].startswith("the ")


def test_oversized_body_is_refused_while_it_comes(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024 * 1024

    try:
        answer = http.post(LEGACY + "updateJob", content=endless())
    except httpx.WriteError:
        return  # the gateway stopped listening, which is as good
    assert answer.status_code == 413


PILOT_CASES: dict[str, tuple[str, str, Any, str]] = {
    "unknown queue": ("getJob", "pilot/acquire_jobs", {"siteName": "NOWHERE", "site_name": "NOWHERE"}, "unknown queue"),
    "no queue": ("getJob", "pilot/acquire_jobs", {}, "site_name"),
    "no job": ("updateJob", "pilot/update_job", {"state": "running"}, "job_id"),
    "a job of words": ("updateJob", "pilot/update_job", {"jobId": "one", "state": "running"}, "jobId"),
    "job 0": ("updateJob", "pilot/update_job", {"jobId": 0, "state": "running"}, "jobId"),
    "no state": ("updateJob", "pilot/update_job", {"jobId": 1}, "state"),
    "unknown state": ("updateJob", "pilot/update_job", {"jobId": 1, "state": "flying"}, "state: 'flying' is none of"),
    "a state that is a list": ("updateJob", "pilot/update_job", {"jobId": 1, "state": ["running"]}, "state"),
    "negative attempt": ("updateJob", "pilot/update_job", {"jobId": 1, "state": "running", "attemptNr": -1}, "attempt"),
    "huge attempt": ("updateJob", "pilot/update_job", {"jobId": 1, "state": "running", "attemptNr": 99999}, "attempt"),
    "half a worker": ("updateWorkerPilotStatus", "pilot/update_worker_status", {"workerID": 5}, "worker_id"),
    "unknown worker state": ("updateWorkerPilotStatus", "pilot/update_worker_status",
                             {"workerID": 5, "harvesterID": "h", "status": "lost"}, "status"),
}  # fmt: skip


@pytest.mark.parametrize("case", PILOT_CASES)
def test_pilot_is_told_in_its_own_convention(http: httpx.Client, case: str) -> None:
    old, new, ask, sentence = PILOT_CASES[case]
    answer = http.post(LEGACY + old, json=ask)
    assert answer.status_code == 200
    assert answer.json()["StatusCode"] in (30, 50)
    assert sentence in answer.json()["errorDialog"]
    answer = http.post(NEW + new, json=ask)
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert answer.json()["data"]["StatusCode"] == 50
    assert sentence in answer.json()["message"]


def test_unknown_job_must_be_killed(http: httpx.Client) -> None:
    answer = http.post(LEGACY + "updateJob", json={"jobId": "99", "state": "running"})
    assert answer.json() == {"StatusCode": 0, "command": "tobekilled"}


OUTSIDE = [
    "/cache/..%2f..%2fetc%2fpasswd", "/cache/%2e%2e%2fx", "/cache/.hidden", "/cache/a%00b", "/cache/none",
    "/cache/schedconfig/..%2fsites.json", "/cache/schedconfig/NOWHERE.all.json", "/cache/schedconfig/LAB_B",
    "/trf/user/..%2fsite.py", "/trf/user/%2e%2e%2f%2e%2e%2fpyproject.toml", "/trf/user/nothing", "/trf/user/a%00",
    "/docs/..%2f..%2f__init__.py", "/docs/nothing.js", "/api/v1/no/such", "/server/panda/datasetCompleted", "/nothing",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_lead_nowhere_else(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (400, 404)
    assert answer.json()["success"] is False


@pytest.mark.parametrize("host", ["[", "a b", "x" * 5000, "[::1]:99999999", ""])
@pytest.mark.parametrize("path", ["/nothing", "/", "/api/v1/job/kill", "/cache/schedconfig/LAB_B.all.json"])
def test_strange_host_header(http: httpx.Client, host: str, path: str) -> None:
    assert http.get(path, headers={"Host": host}).status_code in (400, 421)


def test_parts_that_are_asked_for_in_another_unit_are_all_of_it(http: httpx.Client) -> None:
    whole = http.get("/docs/start.js")
    for unit in ("lines=1", "bytes", "bytes=a-b", "x"):
        answer = http.get("/docs/start.js", headers={"Range": unit})
        assert (answer.status_code, answer.content) == (200, whole.content), unit
    part = http.get("/docs/start.js", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, whole.content[2:5])


def test_a_refusal_in_a_pilots_convention_is_written_down(http: httpx.Client, running: Processes) -> None:
    for path in (NEW + "pilot/set_debug_mode", LEGACY + "setDebugMode"):
        http.post(path, json={"job_id": 10**12, "mode": True})
        line = [json.loads(line) for line in running.log("gateway").splitlines()][-1]
        assert (line["path"], line["reason"]) == (path, f"job {10**12} is not known")


def test_kill_options_without_end(http: httpx.Client) -> None:
    ask = {"job_ids": [10**12], "kill_options": ["x" * 256] * 20}
    assert http.post(NEW + "job/kill", json=ask).json()["data"] == [False]
    assert http.post(NEW + "job/kill", json=ask | {"kill_options": ["x"] * 21}).status_code == 413


def test_a_node_that_describes_itself_strangely(http: httpx.Client) -> None:
    body = b'{"site": "LAB_B", "host_name": "vm", "a": NaN, "b": 123456789012345678901, "c": "' + b"x" * 20_000 + b'"}'
    answer = http.post(NEW + "pilot/update_worker_node", content=body.replace(b'"LAB_B"', b'""')).json()
    assert (answer["success"], answer["data"]) == (False, {"StatusCode": 50})


def test_wrong_method_is_refused_without_redirect(http: httpx.Client) -> None:
    refused = http.get(NEW + "job/kill")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert http.post(NEW + "system/is_alive/").status_code == 404


def multipart(name: str, content: bytes = b"x", field: str = "file") -> tuple[bytes, str]:
    """A body as clients send it, with any file name."""
    head = f'--B\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--B--\r\n", "multipart/form-data; boundary=B"


UPLOADS: dict[str, tuple[bytes, str, int]] = {
    "no multipart": (b"x", "application/octet-stream", 400),
    "no boundary": (b"x", "multipart/form-data", 400),
    "no file": (*multipart("a", field="other"), 400),
    "cut short": (multipart("a")[0][:40], "multipart/form-data; boundary=B", 400),
    "nonsense": (b"\x00\xff" * 100, "multipart/form-data; boundary=B", 400),
    "hidden name": (*multipart(".bashrc"), 400),
    "the way up": (*multipart(".."), 400),
    "a folder": (*multipart("a/"), 400),
    "no name": (*multipart(""), 400),
    "control characters": (*multipart("a\x1bb"), 400),
    "a long name": (*multipart("a" * 300), 400),
    "two files": (
        multipart("a.gz")[0].replace(b"--B--\r\n", b"") + multipart("b.gz")[0],
        "multipart/form-data; boundary=B",
        400,
    ),
    "11 MB": (*multipart("jobO.tgz", b"x" * 11 * 1024 * 1024), 413),
}


@pytest.mark.parametrize("case", UPLOADS)
def test_bad_uploads(http: httpx.Client, running: Processes, case: str) -> None:
    body, content_type, status = UPLOADS[case]
    answer = http.post(NEW + "file_server/upload_cache_file", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["message"]
    cache = Path(running.environment["PANDA_FSM_CACHE_DIR"])
    assert not list(cache.glob("*")) + list(cache.glob(".upload-*"))


def test_bulk_report_has_an_answer_for_each(http: httpx.Client, running: Processes) -> None:
    reports = [{"job_id": 99, "job_status": "running"}, {"job_id": "x", "job_status": "running"}, {"job_id": 1}]
    answer = http.post(NEW + "pilot/update_jobs_bulk", json={"job_list": reports}).json()
    assert [one["success"] for one in answer["data"]] == [True, False, False]
    assert answer["data"][0]["data"]["command"] == "tobekilled"
    lines = [json.loads(line) for line in running.log("gateway").splitlines() if "update_jobs_bulk" in line]
    assert [(line["status"], line["reason"]) for line in lines[-2:]] == [
        (200, answer["data"][1]["message"]), (200, answer["data"][2]["message"])
    ]  # fmt: skip
    nothing = http.post(NEW + "pilot/update_jobs_bulk", json={"job_list": [None]}).json()["data"][0]
    assert nothing["message"].startswith("Input should be")
    too_many = http.post(NEW + "pilot/update_jobs_bulk", json={"job_list": [{}] * 1001}).json()
    assert (too_many["success"], too_many["data"]) == (False, {"StatusCode": 50})
