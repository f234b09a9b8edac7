"""JEDI's side in the tests: a player in a thread with all it was told, and its picture beside the database."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, Self

from panda_fsm_jedi.messages import JobStatus, Told
from panda_fsm_jedi.picture import Picture
from panda_fsm_jedi.player import Player
from panda_fsm_jedi.task import Task
from panda_fsm_jedi.templates import TaskSpec

from lab.services import Services
from tests import factories
from tests.driver import Database
from tests.quick_pilots import SPOILT

JEDI = "jedi"
_JOBS = "SELECT job_id, state, attempt_nr, site, label, priority FROM job"
_FILES = """
SELECT f.job_id, (i.ids ->> 2)::bigint, f.lfn, f.type, f.status, f.guid, f.size, f.checksum,
    (i.ids ->> 1)::bigint, (i.ids ->> 3)::int
FROM job_file f JOIN job_spec s USING (job_id),
    LATERAL (SELECT s.spec -> 'file_ids' -> f.seq::text AS ids) i"""
_STEPS = """
SELECT h.job_id, t.source, t.destination FROM job_history h JOIN job_transition t USING (transition_id)
ORDER BY h.job_id, h.version"""
_IN_JEDIS_WORDS = {("output", "ready"): "finished", ("log", "ready"): "finished"}


def jedi_url(services: Services, broker_url: str) -> str:
    """The test's virtual host as JEDI's user."""
    return services.rabbitmq.url_of(broker_url.rsplit("/", 1)[1], JEDI)


def spec(taskid: int, jobs: int, **fields: Any) -> TaskSpec:
    """A task whose every tenth job fails at first."""
    values: dict[str, Any] = {
        "vo": factories.VO, "user": factories.OWNER, "name": "lab.jedi", "site": factories.QUEUE,
        "scope": factories.SCOPE, "transformation": "http://here/run", "parameters": "-o {output}",
        "spoil_every": 10, "spoil_with": SPOILT,
    }  # fmt: skip
    return TaskSpec(taskid=taskid, jobs=jobs, **(values | fields))


class Jedi:
    """`with Jedi(url):` a player at work; `told` has every message in the order in which it came."""

    def __init__(self, url: str, picture: Picture | None = None) -> None:
        self.told: list[Told] = []
        self.player = Player(url, factories.VO, picture=picture, told=self.told.append)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="jedi")
        self._failed: BaseException | None = None

    def is_over(self) -> bool:
        """Whether all work is done; fails with what is wrong."""
        if self._failed is not None:
            raise AssertionError(f"JEDI has ended: {self._failed!r}") from self._failed
        return self.player.is_over

    def statuses(self) -> dict[int, list[JobStatus]]:
        """What was told of each job, repetitions left out."""
        found: dict[int, list[JobStatus]] = defaultdict(list)
        for message in self.told:
            if isinstance(message, JobStatus):
                found[message.jobid].append(message)
        return found

    def __enter__(self) -> Self:
        self.player.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.player.wake()
        self.player.__exit__()
        self._thread.join(30)

    def _play(self) -> None:
        try:
            self.player.play(until=self._over.is_set)
        except BaseException as error:
            self._failed = error


def has_heard_all(jedi: Jedi, database: Database) -> bool:
    """Whether all that was to be told was told, and has come."""
    if database.rows("SELECT FROM jedi_message"):
        return False
    last = {jobid: statuses[-1].seq for jobid, statuses in jedi.statuses().items()}
    return dict(database.rows("SELECT job_id, seq FROM jedi_job")) == last


def check_picture(jedi: Jedi, database: Database, *tasks: Task) -> None:
    """JEDI's picture is the database, job for job and file for file; nobody knows a job that the other does not."""
    assert jedi.player.problems == []
    picture = jedi.player.picture.jobs
    ours = {jobid for task in tasks for jobid in task.tries}
    rows = {row[0]: row[1:] for row in database.rows(_JOBS)}
    assert rows.keys() == picture.keys() == ours
    for jobid, known in picture.items():
        told = (known.status, known.attemptnr, known.computingsite, known.prodsourcelabel, known.currentpriority)
        assert told == rows[jobid], (jobid, known)
    found: dict[int, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for jobid, fileid, lfn, kind, status, *rest in database.rows(_FILES):
        said = _said_of_input(picture[jobid].status) if "input" in kind else _IN_JEDIS_WORDS.get((kind, status), status)
        found[jobid][fileid] = (lfn, kind, said, *rest)
    for jobid, known in picture.items():
        files = {file.fileid: _as_kept(file) for file in known.files}
        assert files == found[jobid], (jobid, known, jedi.statuses()[jobid][-1])


def check_lineage(database: Database, *tasks: Task) -> None:
    """Who follows whom is kept as JEDI knows it."""
    known = {(one.previous, one.jobid, one.origin, "retry") for task in tasks for one in task.retries}
    kept = database.rows("SELECT old_job_id, new_job_id, origin_job_id, relation FROM job_retry")
    assert set(kept) == known
    assert len(kept) == len(known)


def check_steps(jedi: Jedi, database: Database) -> None:
    """Every step of every job was told, once, in order, and nothing else."""
    steps: dict[int, list[tuple[str | None, str]]] = defaultdict(list)
    for jobid, source, destination in database.rows(_STEPS):
        steps[jobid].append((source, destination))
    for jobid, statuses in jedi.statuses().items():
        told = [(status.prev_status, status.status) for status in statuses]
        assert told == steps[jobid], jobid
        seqs = [status.seq for status in statuses]
        assert seqs == sorted(set(seqs)), jobid
    assert jedi.statuses().keys() == steps.keys()


def _said_of_input(state: str) -> str:
    return "finished" if state == "finished" else "ready"


def _as_kept(file: Any) -> tuple[Any, ...]:
    kept = (file.guid or "", file.fsize or 0, file.checksum or "", file.datasetid, file.attemptnr)
    return (file.lfn, file.type, file.status, *kept)
