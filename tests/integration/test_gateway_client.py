"""The real panda-clients against a real gateway, with the services that make jobs of what they submit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lab.services import Services
from lab.site import QUEUE, unsigned_token
from tests.clockwork import Clock
from tests.driver import Database
from tests.gateway_http import Caller
from tests.isolation import Databases, VirtualHosts
from tests.panda_clients import RELEASES, Release, panda_client
from tests.polling import wait_until
from tests.processes import Processes

JOBS = f"""
def job(number, files=("output", "log"), **values):
    job = JobSpec()
    job.computingSite, job.VO, job.jobName = {QUEUE!r}, "lab", f"job.{{number}}.$ORIGINPANDAID"
    job.jobParameters, job.transformation = "-o out.$PANDAID", "http://x/trf/user/run"
    for name, value in values.items():
        setattr(job, name, value)
    for kind in files:
        file = FileSpec()
        file.type, file.lfn, file.scope, file.destinationDBlock = kind, f"{{kind}}.$PANDAID", "user.lab", "user.lab.set"
        job.addFile(file)
    return job
"""


Ask = Callable[[str], Any]
SERVICES = ("gateway", "setupper.submissions", "setupper", "activator", "watcher", "adder", "finisher")
UPDATE = "/api/v1/pilot/update_job"
ACCEPTED = "SELECT count(*) FROM audit"
COUNT = "SELECT count(*) FROM job WHERE job_id = ANY(%s) AND state = %s"


@pytest.fixture(scope="module")
def running(
    session_dir: Path, private_services: Services, databases: Databases, virtual_hosts: VirtualHosts
) -> Iterator[Processes]:
    """A gateway with the services that a job meets, all but Closer and DDM."""
    with databases.fresh() as database_url:
        processes = Processes(session_dir / "client", database_url, virtual_hosts.fresh())
        for service in SERVICES:
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


@pytest.fixture(params=RELEASES, ids=str)
def release(request: pytest.FixtureRequest) -> Release:
    """Each release of the client, the older ones also by their other way to speak HTTP."""
    chosen: Release = request.param
    return chosen


@pytest.fixture
def client(running: Processes, release: Release) -> Ask:
    """Runs a script in the client's process."""
    return lambda script: panda_client(running, script, release)


def test_hello_and_who_am_i(running: Processes, client: Ask, release: Release) -> None:
    answer = client(
        "from pandaclient.PandaToolsPkgInfo import release_version\n"
        "answer = [Client.hello(), Client.get_cert_attributes(), release_version]"
    )
    assert answer[0] == [0, ""]
    assert f"panda-client-{answer[2]}" == (release.older or f"panda-client-{version('panda-client')}")
    with closing(Caller(running.gateway_url, "jane")) as jane:
        environment = jane.get("/api/v1/system/get_attributes")["data"]["environment"]
    assert environment == {"issuer": running.gateway_url, "subject": "jane", "name": "jane", "roles": ""}
    # The newer one shows only what it knows of certificates.
    theirs = {"environment": environment | {"subject": "lab-user", "name": "lab-user"}} if release.older else {}
    assert answer[1] == [0, theirs]


def test_submit_describe_kill(running: Processes, client: Ask, database: Database) -> None:
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
    answer = client(script)
    ids = answer["ids"]
    expected = [[i, f"job.{n}.{i}", f"-o out.{i:05d}", [f"output.{i:05d}", f"log.{i:05d}"]] for n, i in enumerate(ids)]
    assert answer["described"] == [*expected, None]
    assert answer["full"] == expected
    assert answer["kills"] == [0, [True, False]]
    assert "datetime" in answer["created"]
    owner, user = database.rows("SELECT DISTINCT owner, user_name FROM job WHERE task_id = 88")[0]
    with closing(Caller(running.gateway_url)) as caller:
        assert (owner, user) == (caller.key, "lab-user")


def test_refusals_reach_the_user(client: Ask, database: Database) -> None:
    before = database.value(ACCEPTED)
    script = (
        JOBS
        + """
nowhere, managed = job(1, computingSite="NOWHERE"), job(1, prodSourceLabel="managed")
answer = [Client.submitJobs([job(0), wrong]) for wrong in (nowhere, managed)] + [Client.killJobs([-1])]
"""
    )
    assert client(script) == [[255, None]] * 3
    assert database.value(ACCEPTED) == before


def test_sandbox(running: Processes, client: Ask, release: Release) -> None:
    content = gzip.compress(str(release).encode() * 1000)
    folder, name = running.directory / "users" / str(release), f"sources.{release}.tar.gz"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (folder / "same.tar.gz").write_bytes(content)
    script = f"""
first = Client.putFile({str(folder / name)!r}, reuseSandbox=True)
again = Client.putFile({str(folder / "same.tar.gz")!r}, reuseSandbox=True)
got = Client.getFile({name!r}, output_path={str(folder / "back")!r})
missing = Client.getFile("nothing.tar.gz", output_path={str(folder / "missing")!r})
answer = [first, again, got, missing[0]]
"""
    first, again, got, missing = client(script)
    assert first == [0, "True"]
    assert again == [0, f"NewFileName:{name}"]
    assert got == [0, True]
    assert missing == (1 if release.older else 404)
    assert (folder / "back").read_bytes() == content


def test_sandboxes_are_ones_own_and_are_not_replaced(running: Processes, client: Ask, release: Release) -> None:
    folder = running.directory / "own" / str(release)
    folder.mkdir(parents=True)
    script = f"""
import gzip
import json
from pathlib import Path

def put(name, content, **how):
    file = Path({str(folder)!r}, f"{{name}}.{release}.tar.gz")
    file.write_bytes(gzip.compress(content, mtime=0))
    return Client.putFile(str(file), **how)

tokens = {[unsigned_token(name, running.gateway_url) for name in ("mary", "john")]!r}
os.environ["PANDA_AUTH_ID_TOKEN"] = tokens[0]
marys = put("sources.marys", b"{release}", reuseSandbox=True)
os.environ["PANDA_AUTH_ID_TOKEN"] = tokens[1]
johns = put("sources.johns", b"{release}", reuseSandbox=True)
other = put("sources.johns", b"other content", reuseSandbox=True)
answer = [marys, johns, other]
"""
    marys, johns, other = client(script)
    assert (marys, johns) == ([0, "True"], [0, "True"])
    assert "cannot overwrite" in other[1]


def test_large_and_odd_texts_come_back_as_they_were(client: Ask) -> None:
    """Above one megabyte the program curl waits to be told to go on."""
    script = """
odd = "100% %20+a&b=\u00fc\u20ac'\\"<>" * 2500
ids = [entry[0] for entry in Client.submitJobs([job(n, files=(), jobParameters=odd) for n in range(40)])[1]]
answer = [len(ids), {spec.jobParameters == odd for spec in Client.getFullJobStatus(ids)[1]} == {True}]
"""
    assert client(JOBS + script) == [40, True]


def test_jobs_are_described_from_the_archive(running: Processes, client: Ask, database: Database) -> None:
    # Without files: no block keeps them from being archived.
    submit = "answer = [entry[0] for entry in Client.submitJobs([job(n, files=()) for n in range(2)])[1]]"
    ids = client(JOBS + submit)
    wait_until(lambda: database.value(COUNT, (ids, "activated")) == 2, "activated")
    client(f"answer = Client.killJobs({ids})")
    wait_until(lambda: database.value(COUNT, (ids, "cancelled")) == 2, "cancelled")
    for table in ("job", "job_deadline"):
        database.execute(f"UPDATE {table} SET deadline_at = now() WHERE job_id = ANY(%s)", (ids,))  # noqa: S608
    with closing(Clock(running.environment["PANDA_FSM_DATABASE_URL"])) as clock:
        clock.round("archive")
    assert database.value("SELECT count(*) FROM job WHERE job_id = ANY(%s)", (ids,)) == 0
    script = f"""
asked = {[*ids, 10**12]}
facts = lambda jobs: [j and [j.PandaID, j.jobStatus] for j in jobs]
answer = [facts(Client.getJobStatus(asked)[1]), facts(Client.getFullJobStatus(asked)[1])]
"""
    assert client(script) == [[*([i, "cancelled"] for i in ids), None]] * 2


def test_what_the_pilot_said_is_read_by_the_user(running: Processes, client: Ask, database: Database) -> None:
    (job_id,) = client(JOBS + "answer = [entry[0] for entry in Client.submitJobs([job(1, taskID=77)])[1]]")
    wait_until(lambda: database.value(COUNT, ([job_id], "activated")) == 1, "activated")
    with closing(Caller(running.gateway_url, "client-pilot")) as pilot:
        asked = {"site_name": QUEUE, "prod_source_label": "user", "task_id": 77}
        (given,) = pilot.post("/api/v1/pilot/acquire_jobs", asked)["data"]["jobs"]
        report = {"job_id": job_id, "attempt_nr": given["attemptNr"], "job_status": "running"}
        pilot.post(UPDATE, report)
        wait_until(lambda: database.value(COUNT, ([job_id], "running")) == 1, "running")
        assert client(f"answer = Client.killJobs([{job_id}])") == [0, [True]]
        wait_until(lambda: database.value("SELECT command FROM job WHERE job_id = %s", (job_id,)), "the pilot is told")
        files = {lfn: {"guid": "", "fsize": 1, "adler32": "00000001"} for lfn in given["outFiles"].split(",")}
        said = {"job_status": "finished", "job_output_report": json.dumps(files), "meta_data": '{"events": 12}'}
        pilot.post(UPDATE, report | said)
    wait_until(lambda: database.value(COUNT, ([job_id], "finished")) == 1, "finished")
    names = ("jobStatus", "transExitCode", "taskBufferErrorCode", "metadata")
    script = f"(job,) = Client.getFullJobStatus([{job_id}])[1]; answer = [getattr(job, name) for name in {names}]"
    assert client(script) == ["finished", 0, 0, '{"events": 12}']


def test_prun_gets_as_far_as_tasks(running: Processes, release: Release) -> None:
    """Its sandbox is taken; tasks are not served, and its user reads so."""
    folder = running.directory / "prun" / str(release)
    folder.mkdir(parents=True)
    program = f"import os; os.chdir({str(folder)!r}); from pandaclient.PrunScript import main; main()"
    arguments = ("--exec", "echo", "--outDS", "user.lab-user.prun", "--outputs", "out.txt", "--noBuild")
    done = release.run(running, program, *arguments)
    assert done.returncode != 0
    assert "is not served here" in done.stdout + done.stderr
