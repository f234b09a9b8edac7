"""Everything of one job, for people: what it is, its life, and what keeps it where it is."""

from dataclasses import fields, replace
from typing import Any

from psycopg.rows import dict_row

from panda_fsm.auditing import names_job
from panda_fsm.codes import Verdict
from panda_fsm.descriptions import Shown
from panda_fsm.jobs.facts import Limits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import State
from panda_fsm.offers import offer
from panda_fsm.sites import SitesNow
from panda_fsm.views.audit import AuditEntry
from panda_fsm.views.jobs import (
    LONGEST_STDOUT,
    JobLife,
    JobNow,
    LifeFile,
    LifeReport,
    Places,
    Related,
    Repeated,
    Why,
    errors_of,
)
from panda_fsm.views.life import life_steps
from panda_fsm.views.redaction import shown
from panda_fsm.views.waiting import Waiting, why
from sql.pool import Pool
from sql.queries import load
from sql.reads import ReadStore
from sql.views.around import look_around

_Q = load("views_job")
_MOST_FILES = 500
_MOST_RELATED = 50
_MOST_DEEDS = 50
_OF_JOB = (
    "job_id", "version", "attempt_nr", "vo", "site", "label", "priority", "task_id", "destination", "command",
    "has_report", "deadline_at", "created_at", "heard_at", "waits_for", "returns", "processing_type", "is_jedis",
    "no_reassign",
)  # fmt: skip
_OF_PEOPLE = tuple(one.name for one in fields(JobNow) if one.name not in ("job", "max_attempt"))


class JobViews:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._reads = ReadStore(pool)
        self._limits = limits

    async def life(self, job_id: int, sites: SitesNow) -> JobLife | None:
        """All there is to see of a job; None: nobody knows it. `sites` says what its queue offers."""
        waiting = await self._waiting(job_id, sites)
        if waiting is None:
            return None
        now = waiting.now
        history = [replace(one, detail=shown(one.detail)) for one in await self._reads.history(job_id)]
        repeated = [Repeated(*row) for row in await self._pool.rows(_Q["repeated"], job_id=job_id)]
        told = [LifeReport(*row) for row in await self._pool.rows(_Q["reports"], job_id=job_id)]
        reports = (replace(one, attributes=shown(one.attributes)) for one in told)
        last = await self._reads.stdout(job_id)
        return JobLife(
            now=now,
            places=waiting.places,
            why=why(waiting),
            steps=life_steps(history, now),
            repeated=tuple(repeated),
            files=waiting.files,
            files_in_all=waiting.files_in_all,
            reports=tuple(reports),
            samples=tuple((await self._reads.samples(job_id))[-200:]),
            stdout=last and Shown(last.at, shown(last.stdout[-LONGEST_STDOUT:])),
            errors=errors_of(now.errors),
            deeds=await self._deeds(job_id),
            related=waiting.related,
            as_of=waiting.at,
        )

    async def why(self, job_id: int, sites: SitesNow) -> Why | None:
        """Why it waits; None: it has ended, or nobody knows it."""
        waiting = await self._waiting(job_id, sites)
        return None if waiting is None else why(waiting)

    async def _waiting(self, job_id: int, sites: SitesNow) -> Waiting | None:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(_Q["job"], {"job_id": job_id})).fetchone()
        if row is None:
            return None
        now, at = _now(row), row["as_of"]
        files = await self._pool.rows(_Q["files"], job_id=job_id, most=_MOST_FILES)
        places = await self._places(now)
        around = await look_around(self._pool, now)
        return Waiting(
            now, places, tuple(LifeFile(*row[:-1]) for row in files), files[0][-1] if files else 0,
            await self._related(now), around, self._limits, at, offer(sites, now.job.site, at),
        )  # fmt: skip

    async def _places(self, now: JobNow) -> Places:
        worker = {name: str(now.pilot.get(name) or "") for name in ("harvester_id", "worker_id")}
        job = now.job
        where = {"job_id": job.job_id, "task_id": job.task_id, "state": job.state.value, "site": job.site}
        row = await self._pool.row(_Q["places"], **where, **worker)
        found = Places(*row)
        return replace(found, trouble=shown(found.trouble))

    async def _related(self, now: JobNow) -> tuple[Related, ...]:
        rows = await self._pool.rows(
            _Q["related"], job_id=now.job.job_id, task_id=now.job.task_id, jobset_id=now.jobset_id, most=_MOST_RELATED
        )
        return tuple(replace(one, errors=shown(one.errors)) for one in (Related(*row) for row in rows))

    async def _deeds(self, job_id: int) -> tuple[AuditEntry, ...]:
        """Of rows about a range those count that name the job in it."""
        rows = await self._pool.rows(_Q["deeds"], job_id=job_id, most=_MOST_DEEDS)
        return tuple(
            AuditEntry(number, at, actor, str((detail or {}).get("name") or ""), action, what, detail or {})
            for number, at, actor, action, what, detail in rows
            if names_job(detail, job_id)
        )


def _now(row: dict[str, Any]) -> JobNow:
    """The job as services know it, and the other columns."""
    known = {name: row[name] for name in _OF_JOB} | {"waits_for": shown(row["waits_for"])}
    verdict = None if row["verdict"] is None else Verdict(row["verdict"])
    job = Job(**known, state=State(row["state"]), verdict=verdict, entered_at=row["state_changed_at"])
    most = row["max_attempt"]
    others = {name: row[name] for name in _OF_PEOPLE} | {"errors": shown(row["errors"]), "pilot": shown(row["pilot"])}
    return JobNow(job=job, max_attempt=int(most) if most and most.isdecimal() else None, **others)
