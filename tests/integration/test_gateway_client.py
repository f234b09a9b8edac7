"""The real panda-client against a real gateway, with the services that make jobs of what it submits."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lab.services import Services
from lab.site import QUEUE
from tests.driver import Database
from tests.gateway_http import Caller, panda_client
from tests.isolation import Databases, VirtualHosts
from tests.processes import Processes

JOBS = f"""
def job(number, **values):
    job = JobSpec()
    job.computingSite, job.VO, job.jobName = {QUEUE!r}, "lab", f"job.{{number}}.$ORIGINPANDAID"
    job.jobParameters, job.transformation = "-o out.$PANDAID", "http://x/trf/user/run"
    for name, value in values.items():
        setattr(job, name, value)
    for kind in ("output", "log"):
        file = FileSpec()
        file.type, file.lfn, file.scope, file.destinationDBlock = kind, f"{{kind}}.$PANDAID", "user.lab", "user.lab.set"
        job.addFile(file)
    return job
"""


@pytest.fixture(scope="module")
def running(
    session_dir: Path, private_services: Services, databases: Databases, virtual_hosts: VirtualHosts
) -> Iterator[Processes]:
    """A gateway with Setupper and Watcher."""
    with databases.fresh() as database_url:
        processes = Processes(session_dir / "client", database_url, virtual_hosts.fresh())
        for service in ("gateway", "setupper.submissions", "watcher"):
            processes.start(service)
        try:
            processes.wait_until_ready()
            yield processes
        finally:
            print(processes.log_tails())
            processes.close()


@pytest.fixture
def database(running: Processes) -> Iterator[Database]:
    """A connection to look with."""
    connection = Database(running.environment["PANDA_FSM_DATABASE_URL"])
    yield connection
    connection.close()


def test_hello_and_who_am_i(running: Processes) -> None:
    answer = panda_client(running, "answer = [Client.hello(), Client.get_cert_attributes()]")
    assert answer == [[0, ""], [0, {}]]
    with closing(Caller(running.gateway_url, "jane")) as jane:
        environment = jane.get("/api/v1/system/get_attributes")["data"]["environment"]
    assert environment == {"issuer": running.gateway_url, "subject": "jane", "name": "jane", "roles": ""}


def test_submit_describe_kill(running: Processes, database: Database) -> None:
    script = (
        JOBS
        + """
status, ids = Client.submitJobs([job(n, taskID=88) for n in range(3)])
assert status == 0, (status, ids)
ids = [entry[0] for entry in ids]
status, described = Client.getJobStatus([*ids, 10**12])
full_status, full = Client.getFullJobStatus(ids)
kills = Client.killJobs([ids[0], 10**12])
facts = lambda jobs: [j and [j.PandaID, j.jobName, j.jobParameters, [f.lfn for f in j.Files]] for j in jobs]
created = str(type(described[0].creationTime))
answer = {"ids": ids, "described": facts(described), "full": facts(full), "kills": kills, "created": created}
"""
    )
    answer = panda_client(running, script)
    ids = answer["ids"]
    expected = [[i, f"job.{n}.{i}", f"-o out.{i:05d}", [f"output.{i:05d}", f"log.{i:05d}"]] for n, i in enumerate(ids)]
    assert answer["described"] == [*expected, None]
    assert answer["full"] == expected
    assert answer["kills"] == [0, [True, False]]
    assert "datetime" in answer["created"]
    owner, user = database.rows("SELECT DISTINCT owner, user_name FROM job WHERE task_id = 88")[0]
    with closing(Caller(running.gateway_url)) as caller:
        assert (owner, user) == (caller.key, "lab-user")


def test_refusals_reach_the_user(running: Processes, database: Database) -> None:
    before = database.value("SELECT count(*) FROM job")
    script = (
        JOBS
        + """
answer = [Client.submitJobs([job(0), job(1, computingSite="NOWHERE")]), Client.killJobs([-1])]
"""
    )
    submitted, killed = panda_client(running, script)
    assert (submitted, killed) == ([255, None], [255, None])
    assert database.value("SELECT count(*) FROM job") == before


def test_sandbox(running: Processes) -> None:
    content = gzip.compress(b"a user's code" * 1000)
    folder = running.directory / "users" / "jane"
    folder.mkdir(parents=True)
    (folder / "sources.abc.tar.gz").write_bytes(content)
    (folder / "same.tar.gz").write_bytes(content)
    script = f"""
first = Client.putFile({str(folder / "sources.abc.tar.gz")!r}, reuseSandbox=True)
again = Client.putFile({str(folder / "same.tar.gz")!r}, reuseSandbox=True)
got = Client.getFile("sources.abc.tar.gz", output_path={str(folder / "back")!r})
missing = Client.getFile("nothing.tar.gz", output_path={str(folder / "missing")!r})
answer = [first, again, got, missing[0]]
"""
    first, again, got, missing = panda_client(running, script)
    assert first == [0, "True"]
    assert again == [0, "NewFileName:sources.abc.tar.gz"]
    assert got == [0, True]
    assert missing == 404
    assert (folder / "back").read_bytes() == content
