"""Sandboxes over HTTP: one's own only, never replaced silently, whole or nothing, bounded, shared between gateways."""

from __future__ import annotations

import gzip
import hashlib
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.driver import Database
from tests.gateway_http import Caller
from tests.polling import wait_until
from tests.processes import Processes

UPLOAD, VALIDATE = "/api/v1/file_server/upload_cache_file", "/api/v1/file_server/validate_cache_file"
NOT_FOUND = "not found: please upload"


def upload(who: Caller, name: str, content: bytes) -> httpx.Response:
    return who.http.post(UPLOAD, files={"file": (f"/home/somebody/{name}", content)})


def validate(who: Caller, content: bytes) -> Any:
    """What a client is told that asks for this content, as panda-client asks."""
    checksum = struct.unpack("<II", content[-8:])[0]
    return who.post(VALIDATE, {"file_size": len(content), "checksum": checksum})["message"]


def sandbox(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def twin(content: bytes) -> bytes:
    """Another file of the same size and with the same last eight bytes."""
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def cache(processes: Processes) -> Path:
    return Path(processes.environment["PANDA_FSM_CACHE_DIR"])


def names(processes: Processes) -> list[str]:
    """Everything that is in the cache."""
    return sorted(path.name for path in cache(processes).iterdir())


def test_nobody_is_given_the_sandbox_of_somebody_else(user: Caller, pilot: Caller) -> None:
    """Nor a file of one's own that only looks like what is wanted."""
    wanted = sandbox("my analysis")
    assert upload(pilot, "sources.theirs.tar.gz", wanted).status_code == 200
    assert validate(pilot, wanted) == "FOUND:127.0.0.1:sources.theirs.tar.gz"
    assert validate(user, wanted) == NOT_FOUND
    assert upload(user, "sources.twin.tar.gz", twin(wanted)).status_code == 200
    assert validate(user, wanted) == NOT_FOUND, "the footer of the twin is not believed"
    assert upload(user, "sources.mine.tar.gz", wanted).status_code == 200
    assert validate(user, wanted) == "FOUND:127.0.0.1:sources.mine.tar.gz"


def test_what_is_no_gzip_file_is_uploaded_again_each_time(user: Caller) -> None:
    assert upload(user, "script.sh", b"#!/bin/sh and so on").status_code == 200
    assert validate(user, b"#!/bin/sh and so on") == NOT_FOUND
    assert upload(user, "script.sh", b"#!/bin/sh and so on").status_code == 200


def test_a_sandbox_is_offered_for_three_days(user: Caller, database: Database) -> None:
    content = sandbox("old")
    upload(user, "sources.old.tar.gz", content)
    for age, found in (("2 days 23 hours", True), ("3 days 1 hour", False)):
        database.execute("UPDATE cache_file SET uploaded_at = now() - %s::interval", (age,))
        assert (validate(user, content) != NOT_FOUND) == found
    upload(user, "sources.old.tar.gz", content)
    assert validate(user, content) != NOT_FOUND, "it came again"


def test_what_the_release_before_recorded_is_offered_to_nobody(user: Caller, database: Database) -> None:
    content = sandbox("before")
    upload(user, "sources.before.tar.gz", content)
    database.execute("UPDATE cache_file SET digest = NULL")
    assert validate(user, content) == NOT_FOUND
    assert upload(user, "sources.before.tar.gz", sandbox("other!")).status_code == 409
    assert upload(user, "sources.before.tar.gz", content).status_code == 200, "the same content, as the file shows"
    assert validate(user, content) != NOT_FOUND


def test_a_name_keeps_its_content(user: Caller, pilot: Caller, gateway: Processes) -> None:
    assert upload(user, "jobO.1.tar.gz", b"one").status_code == 200
    refused = upload(user, "jobO.1.tar.gz", b"two")
    assert refused.status_code == 409
    assert "cannot overwrite" in refused.json()["message"]
    assert "somebody else" in upload(pilot, "jobO.1.tar.gz", b"two").json()["message"]
    assert upload(user, "jobO.1.tar.gz", b"one").status_code == 200, "the same again"
    assert upload(pilot, "jobO.1.tar.gz", b"one").status_code == 200, "the same content harms nobody"
    answer = pilot.http.post("/cache/jobO.1.tar.gz")
    assert answer.content == b"one"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="jobO.1.tar.gz"'
    assert names(gateway) == ["jobO.1.tar.gz"]


def test_a_name_that_says_so_may_be_replaced_by_its_owner_alone(user: Caller, pilot: Caller) -> None:
    name = "jobO.1.__ow__"
    assert [upload(user, name, content).status_code for content in (b"one", b"two")] == [200, 200]
    assert user.http.get(f"/cache/{name}").content == b"two"
    assert [upload(pilot, name, content).status_code for content in (b"two", b"three")] == [409, 409]
    assert user.http.get(f"/cache/{name}").content == b"two"


def test_each_change_of_a_name_is_written_down_with_it(user: Caller, pilot: Caller, database: Database) -> None:
    name = "jobO.2.__ow__"
    for who, content in ((user, b"one"), (user, b"one"), (user, b"two!"), (pilot, b"three")):
        upload(who, name, content)
    one, two = (hashlib.sha256(content).hexdigest() for content in (b"one", b"two!"))
    assert database.rows("SELECT actor, action, object, detail FROM audit ORDER BY audit_id") == [
        (user.key, "sandbox_uploaded", f"file {name}", {"name": "user-1", "size": 3, "digest": one}),
        (user.key, "sandbox_uploaded", f"file {name}", {"name": "user-1", "size": 4, "digest": two, "replaced": one}),
    ]


def test_a_file_that_was_lost_can_be_brought_again(user: Caller, gateway: Processes) -> None:
    content = sandbox("lost")
    upload(user, "sources.lost.tar.gz", content)
    (cache(gateway) / "sources.lost.tar.gz").unlink()
    assert validate(user, content) == NOT_FOUND
    assert user.http.get("/cache/sources.lost.tar.gz").status_code == 404
    assert upload(user, "sources.lost.tar.gz", sandbox("other")).status_code == 200
    assert user.http.get("/cache/sources.lost.tar.gz").content == sandbox("other")


def test_one_user_cannot_fill_the_disk(processes: Processes) -> None:
    processes.start("gateway", PANDA_FSM_SANDBOX_QUOTA_MB="1")
    processes.wait_until_ready()
    most = b"x" * 600_000
    with closing(Caller(processes.gateway_url, "jane")) as jane, closing(Caller(processes.gateway_url, "john")) as john:
        assert upload(jane, "a.__ow__", most).status_code == 200
        refused = upload(jane, "b", most)
        assert (refused.status_code, "1 MB" in refused.json()["message"]) == (413, True)
        assert upload(jane, "a.__ow__", b"y" * 1_000_000).status_code == 200, "what it replaces does not count"
        assert upload(john, "b", most).status_code == 200
        assert upload(jane, "b", most).status_code == 200, "the same content is lent"
    assert names(processes) == ["a.__ow__", "b"]


def test_a_full_disk_refuses_and_stays_as_it_was(user: Caller, gateway: Processes) -> None:
    """The limit on the size of files stands for the disk's."""
    pid, before = gateway.pid("gateway"), resource.prlimit(gateway.pid("gateway"), resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    refused = upload(user, "sources.1.tar.gz", b"x" * 3_000_000)
    assert (refused.status_code, refused.json()["success"]) == (507, False)
    assert names(gateway) == []
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert upload(user, "sources.1.tar.gz", b"x" * 3_000_000).status_code == 200
    assert "request_failed" not in gateway.log("gateway")


@pytest.fixture
def second(gateway: Processes, tmp_path: Path) -> Iterator[Processes]:
    """Another gateway on the same database and cache."""
    other = Processes(
        tmp_path, gateway.environment["PANDA_FSM_DATABASE_URL"], gateway.environment["PANDA_FSM_BROKER_URL"]
    )
    other.environment["PANDA_FSM_CACHE_DIR"] = gateway.environment["PANDA_FSM_CACHE_DIR"]
    other.start("gateway")
    other.wait_until_ready()
    yield other
    other.close()


def test_gateways_share_the_cache(gateway: Processes, second: Processes, user: Caller) -> None:
    content = sandbox("shared")
    assert upload(user, "sources.1.tar.gz", content).status_code == 200
    with closing(Caller(second.gateway_url, "user-1")) as there:
        there.http.headers["Authorization"] = user.http.headers["Authorization"]
        assert there.http.get("/cache/sources.1.tar.gz").content == content
        assert validate(there, content) == "FOUND:127.0.0.1:sources.1.tar.gz"
        # Two contents of one name at the same time: one of them is told no, and the file is the other's.
        for number in range(10):
            name, start = f"sources.race-{number}.tar.gz", threading.Barrier(2)

            def race(who: Caller, name: str = name, start: threading.Barrier = start) -> int:
                start.wait()
                return upload(who, name, f"from {who.http.base_url}".encode()).status_code

            with ThreadPoolExecutor(2) as pool:
                statuses = list(pool.map(race, (user, there)))
            assert sorted(statuses) == [200, 409]
            winner = (user, there)[statuses.index(200)]
            assert user.http.get(f"/cache/{name}").content == f"from {winner.http.base_url}".encode()


def test_what_a_killed_gateway_left_is_swept_and_what_another_receives_is_not(
    gateway: Processes, second: Processes, user: Caller
) -> None:
    def coming(count: int) -> bool:
        return len(list(cache(gateway).glob(".upload-*"))) == count

    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="sources.1"\r\n\r\n' + b"x" * 500_000
    said = f"POST {UPLOAD} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    request = said.encode() + f"Content-Length: {len(head) + 9}\r\n\r\n".encode() + head
    with (
        socket.create_connection(("127.0.0.1", gateway.gateway_port)) as dying,
        socket.create_connection(("127.0.0.1", second.gateway_port)) as living,
    ):
        for client in (dying, living):
            client.sendall(request)
        wait_until(lambda: coming(2), "both are on their way")
        gateway.kill("gateway")
        gateway.restart("gateway")
        gateway.wait_until_ready()
        assert coming(1)
        living.sendall(b"\r\n--B--\r\n")
        assert living.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert names(gateway) == ["sources.1"]


def test_unusual_bodies_and_names_are_refused(user: Caller, gateway: Processes) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
    for content, boundary in ((body, "B"), (body + b"\r\n--B--\r\n", "B" * 300)):
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        assert user.http.post(UPLOAD, content=content, headers=headers).status_code == 400
    for name in ("a b", "ddmendpoints.json", "a%2Fb", "ä"):
        assert upload(user, name, b"x").status_code == 400
    assert names(gateway) == []
    for path in ("/trf/user/" + "a" * 300, "/cache/" + "a" * 300, "/trf/user/%00", "/cache/%ff", "/trf/user/.x"):
        assert user.http.get(path).status_code == 404
    assert user.http.get("/trf/user/pair_mass.py").headers["X-Content-Type-Options"] == "nosniff"
