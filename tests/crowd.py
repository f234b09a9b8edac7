"""A user and pilots over HTTP who note what they were told: what was promised must be found in the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg

from lab.site import unsigned_token
from panda_fsm.jobs.facts import FINAL
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES
from tests import factories
from tests.driver import Database
from tests.polling import wait_until

_PAUSE_S = 0.05
_BETWEEN_S = 0.2
_TRIES = 500
_PATIENCE_S = 60.0
_STATES = ("starting", "running")


@dataclass
class Journal:
    """What the crowd was told. A name belongs to one job; the same name is never sent again after no answer."""

    accepted: dict[str, int] = field(default_factory=dict)
    """Jobs by name, answered with a PandaID."""
    refused: set[str] = field(default_factory=set)
    """Answered with an error, and not accepted later: these must not be there."""
    unanswered: set[str] = field(default_factory=set)
    """The answer never came: these may or may not be there."""
    ended: dict[int, str] = field(default_factory=dict)
    """Jobs whose last report was accepted, and what it said."""
    answers: dict[int, int] = field(default_factory=dict)
    """How many answers of each HTTP status; 0: none."""
    slowest_s: float = 0.0
    """How long somebody waited for an answer."""


class Crowd:
    """`submit` is the user; `with crowd:` runs pilots, who repeat each report until it is accepted."""

    def __init__(self, gateway_url: str, database_url: str, queue_storage: Path, pilots: int = 4) -> None:
        self.journal = Journal()
        self.database_url = database_url
        self._url = gateway_url
        self._storage = queue_storage
        self._names = [f"pilot-{number}" for number in range(pilots)]
        self._noting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._trouble: list[BaseException] = []
        self._numbers = 0

    def submit(self, count: int, *, destination: str = "", tries: int = 1) -> None:
        """One submission; repeated after an error, up to so many times, but never after no answer."""
        names = [f"crowd.{number}" for number in range(self._numbers, self._numbers + count)]
        self._numbers += count
        body = {"jobs": json.dumps([_as_sent(name, destination) for name in names])}
        with _client(self._url, "crowd-user") as user:
            for _ in range(tries):
                status, answer = self._ask(user, "/api/v1/job/submit", body)
                if status != 503:
                    break
                self._stop.wait(_PAUSE_S)
        if status == 200:
            job_ids = [job_id for job_id, _definition, _jobset in answer["data"]]
            self.journal.accepted |= dict(zip(names, job_ids, strict=True))
        elif status == 503:
            self.journal.refused |= set(names)
        elif status == 0:
            self.journal.unanswered |= set(names)
        else:
            raise AssertionError(f"a submission was answered {status}: {answer}")

    def get_going(self, count: int) -> None:
        """Submit, and return once a further job has come to its end: then others are at every stage."""
        before = len(self.journal.ended)
        self.submit(count)
        wait_until(lambda: len(self.journal.ended) > before, "jobs in mid-flow", _PATIENCE_S)

    def during(self, trouble: Callable[[], object], bunch: int = 2) -> None:
        """Submit for as long as `trouble` takes, and once before and after it."""
        with ThreadPoolExecutor(1, "trouble") as pool:
            self.submit(bunch)
            happening = pool.submit(trouble)
            while not happening.done():
                self.submit(bunch)
                self._stop.wait(_BETWEEN_S)
            happening.result()
        self.submit(bunch, tries=_TRIES)

    def wait_for_end(self, database: Database, timeout_s: float = 60.0) -> None:
        """Return when all that was accepted has come to its end, and nothing else is under way either."""

        def is_over() -> bool:
            states = dict(database.rows("SELECT job_id, state FROM job"))
            live = {job_id for job_id, state in states.items() if state not in FINAL}
            return not live and set(self.journal.accepted.values()) <= states.keys()

        try:
            wait_until(is_over, "all jobs ended", timeout_s)
        except AssertionError as error:
            there = database.rows("SELECT state, count(*), max(waits_for) FROM job GROUP BY state")
            raise AssertionError(f"{error}: {there}, {len(self.journal.accepted)} accepted") from None

    def expected(self, database: Database) -> dict[int, str]:
        """The right end of every job that is there, after a look at whether the right jobs are there."""
        there = dict(database.rows("SELECT name, job_id FROM job"))
        jobs = database.value("SELECT count(*) FROM job")
        assert len(there) == jobs, "a job was made twice"
        lost = {name: job_id for name, job_id in self.journal.accepted.items() if there.get(name) != job_id}
        assert not lost, f"accepted and lost: {lost}"
        unasked = there.keys() - self.journal.accepted.keys() - self.journal.unanswered
        assert not unasked, f"refused, and done after all: {unasked}"
        ends = {job_id: outcome(job_id) for job_id in there.values()}
        assert self.journal.ended == ends, "pilots told something else"
        return ends

    def __enter__(self) -> Self:
        self._stop.clear()
        self._threads = [threading.Thread(target=self._pilot, args=(name,), name=name) for name in self._names]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Pilots finish what they hold."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S + 30)
        if self._trouble:
            raise AssertionError(f"the pilots failed: {self._trouble}") from self._trouble[0]

    def _pilot(self, name: str) -> None:
        held: set[int] = set()
        database = Database(self.database_url)
        client = _client(self._url, name)
        try:
            while not self._stop.is_set():
                job = self._acquire(client, name) or _forgotten(database, name, held)
                if job is None:
                    self._stop.wait(_PAUSE_S)
                    continue
                held.add(job[0])
                self._run(client, *job)
        except BaseException as error:
            self._trouble.append(error)
        finally:
            client.close()
            database.close()

    def _acquire(self, client: httpx.Client, name: str) -> tuple[int, int] | None:
        asked = {"site_name": factories.QUEUE, "prod_source_label": "user", "node": name}
        status, answer = self._ask(client, "/api/v1/pilot/acquire_jobs", asked)
        assert status in (0, 200, 503), (status, answer)
        if status != 200 or not answer["success"]:
            return None
        job = answer["data"]["jobs"][0]
        return job["PandaID"], job["attemptNr"]

    def _run(self, client: httpx.Client, job_id: int, attempt_nr: int) -> None:
        last = "failed" if outcome(job_id) == "failed" else "finished"
        for lfn in factories.output_lfns(job_id):
            factories.store_file(self._storage, lfn)
        for state in (*_STATES, last):
            report = factories.report(job_id, state)
            body = {"job_id": job_id, "attempt_nr": attempt_nr, "job_status": state, **report.attributes}
            self._report(client, body | {"job_output_report": report.output_report or ""})
        self.journal.ended[job_id] = last

    def _report(self, client: httpx.Client, body: dict[str, Any]) -> None:
        def accepted() -> bool:
            status, answer = self._ask(client, "/api/v1/pilot/update_job", body)
            assert status in (0, 200, 503), (status, answer)
            if status == 200:
                assert answer["data"] == {"StatusCode": 0, "command": "NULL"}, (body, answer)
            return status == 200

        wait_until(accepted, f"a report accepted: {body}", _PATIENCE_S)

    def _ask(self, client: httpx.Client, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and answer; status 0 means that none came."""
        began = time.monotonic()
        try:
            answer = client.post(path, json=body)
            status, content = answer.status_code, answer.json()
        except httpx.TransportError as error:
            status, content = 0, repr(error)
        with self._noting:
            self.journal.answers[status] = self.journal.answers.get(status, 0) + 1
            self.journal.slowest_s = max(self.journal.slowest_s, time.monotonic() - began)
        return status, content


def outcome(job_id: int) -> str:
    """Every 25th job's payload fails."""
    return "failed" if job_id % 25 == 0 else "finished"


def _client(url: str, subject: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {unsigned_token(subject, url)}"}
    return httpx.Client(base_url=url, headers=headers, timeout=_PATIENCE_S, trust_env=False)


def _forgotten(database: Database, node: str, held: set[int]) -> tuple[int, int] | None:
    """A job of a claim whose answer was lost on its way to the pilot of this node."""
    try:
        found = database.rows("SELECT job_id, attempt_nr FROM job WHERE state = 'sent' AND node = %s", (node,))
    except psycopg.OperationalError:
        return None  # the database is away: a pilot asks again
    return next(((job_id, attempt_nr) for job_id, attempt_nr in found if job_id not in held), None)


def _as_sent(name: str, destination: str) -> list[Any]:
    """A job as panda-client sends it: positional arrays."""
    block = {"scope": factories.SCOPE, "dataset": "user.lab.out", "destinationSE": destination or "NULL"}
    files = [
        {"type": "input", "lfn": factories.INPUT, "scope": factories.SCOPE, "dataset": "user.lab.in"},
        {"type": "output", "lfn": "out.$PANDAID.root", "destinationDBlock": "user.lab.output.block", **block},
        {"type": "log", "lfn": "log.$PANDAID.tgz", "destinationDBlock": "user.lab.log.block", **block},
    ]
    job = {
        "jobName": name, "computingSite": factories.QUEUE, "VO": factories.VO, "prodSourceLabel": "user", "taskID": 7,
        "transformation": "http://here/run", "jobParameters": "-p x", "destinationSE": destination or "NULL",
    }  # fmt: skip
    values = [job.get(attribute, "NULL") for attribute in JOB_ATTRIBUTES]
    return [*values, [[file.get(attribute, "NULL") for attribute in FILE_ATTRIBUTES] for file in files]]
