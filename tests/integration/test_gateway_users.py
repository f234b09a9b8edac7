"""The gateway as users meet it: submit, describe, kill, counts, files, the API document."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from lab.site import QUEUE
from panda_fsm.messages import KillJob, SubmitJobs
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ACQUIRE, UPDATE = "/api/v1/pilot/acquire_jobs", "/api/v1/pilot/update_job"
ASK = {"siteName": QUEUE, "prodSourceLabel": "user", "mem": 24105.56, "diskSpace": 20000, "node": "vm"}
UNKNOWN = 10**12
NEW_ASK = {"site_name": QUEUE, "prod_source_label": "user"}


def test_users_jobs(user: Caller, gateway: Processes, database_url: str, broker_url: str) -> None:
    add_jobs(database_url, range(1, 3), owner=user.key, state="running")
    add_jobs(database_url, range(3, 4), owner=user.key, state="finished")
    add_jobs(database_url, range(4, 5), owner="somebody|else")
    ask = {"job_ids": [1, UNKNOWN, 2, 3, 4], "code": 9, "kill_options": ["keepUnmerged"]}
    assert user.post("/api/v1/job/kill", ask)["data"] == [True, False, True, False, False]
    kills = received(broker_url, "watcher", 2)
    assert {type(kill) for kill in kills} == {KillJob}
    assert sorted((k.job_id, k.code, k.actor, k.forced, k.reason) for k in kills) == [
        (1, 9, "user-1", False, ""), (2, 9, "user-1", False, ""),
    ]  # fmt: skip
    assert user.get("/api/v1/job/get_status", job_ids=[3, UNKNOWN])["data"] == [
        {"status": "finished", "command": "NULL"}, {"status": "unknown", "command": "tobekilled"},
    ]  # fmt: skip
    described = user.post("/api/v1/job/get_description", {"job_ids": [UNKNOWN, 1]})["data"]
    assert described[0] is None
    assert (described[1]["PandaID"], described[1]["jobStatus"], len(described[1])) == (1, "running", 127)
    assert set(described[1]["creationTime"]) == {"__datetime__"}


def test_archived_jobs_are_described_and_known(
    user: Caller, pilot: Caller, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="finished", holder=pilot.key, has_report=True)
    with psycopg.connect(database_url) as connection:
        for statement in (
            "UPDATE job SET ended_at = now()",
            "INSERT INTO job_ended SELECT job_id, ended_at FROM job",
            "INSERT INTO job_archive SELECT * FROM job",
            "INSERT INTO job_spec_archive SELECT s.*, now() FROM job_spec s",
            "INSERT INTO job_file_archive SELECT (jsonb_populate_record(NULL::job_file_archive,"
            " to_jsonb(f) || jsonb_build_object('ended_at', now()))).* FROM job_file f",
            "TRUNCATE job, job_spec, job_file",
        ):
            connection.execute(statement.encode())
    job = user.post("/api/v1/job/get_description_incl_archive", {"job_ids": [1]})["data"][0]
    assert (job["jobStatus"], [file["lfn"] for file in job["Files"]]) == ("finished", ["input.1", "output.1", "log.1"])
    assert user.post("/api/v1/job/kill", {"job_ids": [1]})["data"] == [False]
    # A repeated last report is no reason to stop the pilot; anything else is.
    report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
    assert pilot.post(UPDATE_JOB, report)["command"] == "NULL"
    assert pilot.post(UPDATE_JOB, report | {"state": "running"})["command"] == "tobekilled"


def test_submission_is_kept_and_published_with_ids_in_order(user: Caller, broker_url: str, database: Database) -> None:
    jobs: list[Any] = [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]] for _ in range(1200)]
    answer = user.post("/api/v1/job/submit", {"jobs": json.dumps(jobs)})
    ids = [job_id for job_id, _definition, _jobset in answer["data"]]
    assert ids == sorted(set(ids))
    assert len({jobset["jobsetID"] for _, _, jobset in answer["data"]}) == 1
    messages = received(broker_url, "setupper.submissions", 12)
    assert {type(message) for message in messages} == {SubmitJobs}
    assert {message.owner for message in messages} == {user.key}
    assert sorted(job.job_id for message in messages for job in message.jobs) == ids
    kept = database.rows("SELECT message_id::text, routing_key FROM request")
    assert sorted(kept) == sorted((message.message_id, "submit") for message in messages)


def test_a_run_job_is_told_which_build_job_it_waits_for(user: Caller, broker_url: str) -> None:
    def job(label: str, kind: str) -> list[Any]:
        values = {"computingSite": QUEUE, "prodSourceLabel": label}
        file = {"lfn": "lib.tgz", "type": kind, "scope": "user.me"}
        files = [[file.get(name, "NULL") for name in FILE_ATTRIBUTES]]
        return [*(values.get(name, "NULL") for name in JOB_ATTRIBUTES), files]

    jobs = [job("panda", "output"), job("user", "input"), job("user", "output")]
    built, *others = (one[0] for one in user.post("/api/v1/job/submit", {"jobs": json.dumps(jobs)})["data"])
    (message,) = received(broker_url, "setupper.submissions", 1)
    assert isinstance(message, SubmitJobs)
    waits = {draft.job_id: draft.upstream for draft in message.jobs}
    assert waits == {built: None, others[0]: [built], others[1]: None}


def test_a_job_submitted_a_moment_ago_is_waited_for(user: Caller, database: Database, database_url: str) -> None:
    jobs: list[Any] = [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]]]
    ((job_id, _, _),) = user.post("/api/v1/job/submit", {"jobs": json.dumps(jobs)})["data"]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(user.post, "/api/v1/job/get_description", {"job_ids": [job_id]})
        wait_until(
            lambda: database.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%LEFT JOIN job_spec p%%'"),
            "asked",
        )
        add_jobs(database_url, range(job_id, job_id + 1))
        assert asked.result()["data"][0]["PandaID"] == job_id
    assert user.post("/api/v1/job/get_description", {"job_ids": [UNKNOWN]})["data"] == [None]


def test_static_files(pilot: Caller) -> None:
    assert pilot.get(f"/cache/schedconfig/{QUEUE}.all.json")["panda_resource"] == QUEUE
    endpoint = pilot.get("/cache/ddmendpoints.json")["LAB_B_DATADISK"]
    assert endpoint["arprotocols"]["write_lan"][0]["path"].endswith("LAB_B_DATADISK")
    assert "def main" in pilot.http.get("/trf/user/pair_mass.py").text


def test_statistics_and_pages(pilot: Caller, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 3))
    database.rows(
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('activated', %s, 'lab', 3),"
        " ('activated', %s, 'lab', -1), ('finished', %s, 'lab', 5) RETURNING 1", (QUEUE, QUEUE, QUEUE)
    )  # fmt: skip
    pilot.post(GET_JOB, ASK)
    assert pilot.get("/api/v1/statistics/active_job_stats_by_site")["data"] == {QUEUE: {"activated": 1, "sent": 1}}
    assert pilot.get("/api/v1/statistics/job_states", task_id=7)["data"]["states"] == {"activated": 1, "sent": 1}
    assert pilot.get("/api/v1/statistics/job_states", task_id=0)["data"]["states"] == {}, "that is no task, not all"
    assert pilot.get("/api/v1/statistics/job_states")["data"]["states"]["finished"] == 5
    for empty in ("", "NULL"):
        refused = pilot.http.get("/api/v1/statistics/job_states", params={"task_id": empty})
        assert (refused.status_code, refused.json()["success"]) == (400, False)
    assert re.search(r"finished</span><strong>5</strong>", pilot.http.get("/").text)


def test_the_api_document_and_its_reader(pilot: Caller) -> None:
    document = pilot.get("/openapi.json")
    assert document["openapi"].startswith("3.")
    acquire = document["paths"][ACQUIRE]["post"]
    reference = acquire["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "site_name" in document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    page = pilot.http.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js", "favicon-32x32.png"):
        assert asset in page
        assert pilot.http.get(f"/docs/{asset}").status_code == 200


def test_hops_of_a_task(pilot: Caller, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 2))
    database.rows("UPDATE job SET created_at = now() - interval '1 minute' RETURNING 1")
    database.rows(
        "INSERT INTO job_history (job_id, version, transition_id, service, host, at)"
        " SELECT 1, 3, transition_id, 'activator', 'h', now() - interval '1 second' FROM job_transition"
        " WHERE destination = 'activated' AND source = 'defined' LIMIT 1 RETURNING 1"
    )
    pilot.post(GET_JOB, ASK)
    hops = pilot.get("/api/v1/statistics/job_states", task_id=7)["data"]["hops"]
    assert list(hops) == ["activated→sent"]
    assert hops["activated→sent"]["n"] == 1
    assert 900 < hops["activated→sent"]["p50_ms"] < 30_000
