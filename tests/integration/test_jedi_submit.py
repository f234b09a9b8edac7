"""JEDI's jobs by message: as the real one hands them over; a wrong one is answered and spoils no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.setupper import Setupper
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.driver import Database
from tests.inprocess import Serve
from tests.jedi_side import TASK, Door, job, request, submission, without_nulls
from tests.polling import wait_until

COLUMNS = """SELECT task_id, vo, site, label, user_name, priority, name, attempt_nr, resource_type, is_jedis, owner,
             state, special_handling FROM job"""


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    one = Door(database_url)
    yield one
    one.close()


def reserved(door: Door, count: int = 10, **fields: Any) -> range:
    reply = door.ask(request("reserve_ids", count=count), **fields)
    assert reply["last"] - reply["first"] == count - 1
    return range(reply["first"], reply["last"] + 1)


def errors(results: list[dict[str, Any]]) -> list[str | None]:
    return [result.get("error") for result in results]


@pytest.mark.parametrize("sent", [job(), without_nulls(job())], ids=["with nulls", "without"])
def test_the_payload_of_the_real_jedi_goes_through(
    door: Door, serve: Serve, database: Database, registry: IsolatedExperiments, sent: dict[str, Any]
) -> None:
    (result,) = door.results(submission(sent))
    job_id = result["pandaid"]
    assert result == {
        "pandaid": job_id, "jobdefinitionid": 0, "jobsetid": TASK, "jobname": f"lab.t{TASK}.{job_id}", "lfns": {}
    }  # fmt: skip
    assert database.rows(COLUMNS) == [
        (TASK, "wlcg", factories.QUEUE, "managed", "Jane Doe", 900, f"lab.t{TASK}.{job_id}", 1, "SCORE", True,
         "jedi:jedi", "defined", "NULL,pc,tq=1795631375.344564")
    ]  # fmt: skip
    (spec,) = database.rows("SELECT spec FROM job_spec")[0]
    said = {name: spec[name] for name in ("metadata", "software_release", "gshare", "hs06", "lockedby", "max_attempt")}
    assert said == {
        "metadata": "", "software_release": "", "gshare": "Lab share", "hs06": 10, "lockedby": "jedi", "max_attempt": 1
    }  # fmt: skip
    assert (spec["prod_user_id"], spec["prod_user_name"]) == ("Jane Doe", "Jane Doe")
    assert "start_time" not in spec
    assert spec["file_ids"] == {"0": [TASK, 9, 201, 0], "1": [TASK, 12, 301, 0], "2": [TASK, 13, 401, 0]}
    assert database.rows("SELECT type, lfn, dataset, place_token FROM job_file ORDER BY seq") == [
        ("pseudo_input", "pseudo_lfn", "pseudo_dataset", ""),
        ("output", f"lab.t{TASK}.000001.pool.root", f"lab.lab.t{TASK}.out.12", "local"),
        ("log", f"lab.t{TASK}.$JEDITASKID.000001.log.tgz", f"lab.lab.t{TASK}.log.13", "local"),
    ]
    serve(Setupper(registry)).handle(*door.inside.outlet.messages("job.defined"))
    assert database.states() == {"activated": 1}, "a pseudo input is never waited for"


def test_a_users_jobs_get_what_the_server_gives_them(door: Door, database: Database) -> None:
    sent = job(prodSourceLabel="user", jobsetID=None, maxAttempt=3, jobName="lab.$PANDAID")
    (result,) = door.results(submission(sent, user="/DC=lab/CN=Jane Doe/CN=1234"))
    job_id, log = result["pandaid"], f"lab.t{TASK}.$JEDITASKID.000001.log.tgz"
    assert result["lfns"] == {log: f"lab.t{TASK}.{TASK}.000001.log.tgz"}
    assert result["jobsetid"] == result["jobdefinitionid"] > 0
    found = database.rows("SELECT priority, user_name, spec ->> 'prod_user_id' FROM job JOIN job_spec USING (job_id)")
    assert found == [(1000, "Jane Doe", "/DC=lab/CN=Jane Doe/CN=1234")]
    assert job_id == database.value("SELECT job_id FROM job")


def test_jobs_wait_until_they_are_released_where_jedi_says_so(door: Door, database: Database) -> None:
    (job_id,) = door.submit([job()], to_pending=True)
    assert database.states() == {"pending": 1}
    results = door.results(request("release_jobs", jobids=[job_id, job_id + 1]))
    assert results == [{"jobid": job_id, "result": "released"}, {"jobid": job_id + 1, "result": "not_found"}]
    (release,) = [one for one in door.inside.outlet.taken if one.routing_key == "release"]
    assert database.rows("SELECT message_id::text, routing_key FROM request") == [(release.message_id, "release")]


def test_granted_ids_are_the_jobs_for_ever(door: Door, database: Database) -> None:
    ids = reserved(door)
    bunch = [job(n, PandaID=ids[n], jobsetID=None) for n in (1, 2)]
    first = door.results(submission(*bunch))
    assert [one["pandaid"] for one in first] == [ids[1], ids[2]]
    assert door.results(submission(*bunch)) == first, "another message with the same jobs, one of which is archived"
    database.execute("UPDATE job SET state = 'finished', ended_at = now() WHERE job_id = %s", (ids[1],))
    (third,) = door.results(submission(job(3, PandaID=ids[3])))
    assert third["pandaid"] == ids[3]
    assert database.value("SELECT count(*) FROM job") == 3
    assert database.value("SELECT count(*) FROM audit WHERE action = 'jobs_submitted'") == 2


def test_what_is_wrong_with_a_job_is_answered_and_the_others_are_stored(door: Door, database: Database) -> None:
    ids = reserved(door)
    others = reserved(door, user_id="somebody")
    door.submit([job(1, PandaID=ids[0], jediTaskID=4, taskID=4)], taskid=4)
    wrong: list[tuple[Any, str]] = [
        (job(PandaID=ids[9] + 1_000_000), "in no block that was granted to you"),
        (job(PandaID=others[0]), "in no block that was granted to you"),
        (job(PandaID=ids[0]), "is a job of another task"),
        (job(PandaID=ids[1]), "is that of a job before it"),
        (job(PandaID="x"), "PandaID: is not a number"),
        (job(computingSite="NOWHERE"), "computingSite: unknown queue 'NOWHERE'"),
        (job(computingSite=None), "computingSite: is missing"),
        (job(jediTaskID=5), "jediTaskID: is 5 in a request of task 3"),
        (job(coreCount="many"), "coreCount: is not a number"),
        (job(nEvents=float("nan")), "nEvents: is out of range"),
        (job(minRamCount=10**30), "minRamCount: is out of range"),
        (job(transformation="a\x00b"), "transformation: contains control characters"),
        (job(Files="none"), "Files: must be a list of objects"),
        (job(Files={}), "Files: must be a list of objects"),
        (job(Files=False), "Files: must be a list of objects"),
        (job(oldpandaids=""), "oldpandaids: must be a list"),
        (job(Files=[{"lfn": "x", "type": "strange"}]), "file 0: type"),
        (job(Files=[job()["Files"][1] | {"fileID": "x"}]), "file 0: one of jediTaskID"),
        (job(Files=[job()["Files"][1] | {"lfn": "a b"}]), "cannot be registered"),
        (job(oldpandaids=5), "oldpandaids: must be a list"),
        ("no object", "must be an object"),
    ]
    good = job(7, PandaID=ids[1], unknownAttribute={"a": 1})
    results = door.results(submission(good, *(one for one, _ in wrong), job(8)))
    found = errors(results)
    assert found[0] is found[-1] is None
    told = list(zip((part for _, part in wrong), found[1:-1], strict=True))
    assert not [(part, error) for part, error in told if part not in str(error)]
    assert database.value("SELECT count(*) FROM job WHERE task_id = 3") == 2
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_a_job_that_is_done_again_keeps_the_name_of_the_first(door: Door, database: Database) -> None:
    (first,) = door.submit([job()])
    (second,) = door.submit([job(attemptNr=2, oldpandaids=[first])], relationtype="retry")
    (third,) = door.results(submission(job(attemptNr=3, oldpandaids=[second]), relationtype="retry"))
    assert third["jobname"] == f"lab.t{TASK}.{first}"
    (merging,) = door.results(submission(job(oldpandaids=[second, third["pandaid"]]), relationtype="merge"))
    assert merging["jobname"] == f"lab.t{TASK}.{merging['pandaid']}"
    assert database.rows("SELECT new_job_id, old_job_id, origin_job_id, relation FROM job_retry ORDER BY 1, 2") == [
        (second, first, first, "retry"), (third["pandaid"], second, first, "retry"),
        (merging["pandaid"], second, first, "merge"), (merging["pandaid"], third["pandaid"], first, "merge"),
    ]  # fmt: skip


def test_blocks_of_ids_follow_each_other_whoever_takes_some_in_between(
    door: Door, database: Database, database_url: str
) -> None:
    theirs: list[int] = []
    over = threading.Event()

    def take() -> None:
        other = Database(database_url)
        while not over.is_set():
            theirs.append(other.value("SELECT nextval('job_id_block')"))
        other.close()

    thread = threading.Thread(target=take)
    thread.start()
    wait_until(lambda: theirs, "somebody takes blocks")
    blocks = [reserved(door, count) for count in (5000, 1, 2500, 5000)]
    over.set()
    thread.join()
    taken = {job_id for block in blocks for job_id in block}
    assert len(taken) == 12_501
    assert not taken & {job_id for first in theirs for job_id in range(first, first + 1000)}
    fresh = door.submit([job(n) for n in range(5)])
    assert not taken & set(fresh)
    assert database.rows("SELECT last - first + 1, actor FROM jedi_grant ORDER BY granted_at") == [
        (5000, "jedi"), (1, "jedi"), (2500, "jedi"), (5000, "jedi")
    ]  # fmt: skip
