"""Live jobs as services decide on them, read from their rows: files, reports, and the jobs that they wait for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from panda_fsm.codes import Verdict
from panda_fsm.jobs.job import File, Job, Upstream
from panda_fsm.jobs.states import FileStatus, FileType, State
from sql import rows
from sql.queries import load

_Q = load("store")
_STATES = {state.value: state for state in State}
_TYPES = {kind.value: kind for kind in FileType}
_STATUSES = {status.value: status for status in FileStatus}
"""Enumerations by their values: six times faster than a call, which still says best what is wrong with a stranger."""
MOST_REPORT_BYTES = 32 * 1024 * 1024
"""Of reports that are held at a time: one may have ten megabytes, and takes several times that to read."""


class Asked(NamedTuple):
    """Questions under way. In a pipeline nobody waits before the first answer is read, so all are one journey."""

    jobs: Iterable[tuple[Any, ...]]
    files: Iterable[tuple[Any, ...]] = ()
    reports: Iterable[tuple[Any, ...]] = ()


def ask(connection: psycopg.Connection, query: str, job_ids: Sequence[int], files: bool, report: bool) -> Asked:
    """Ask for jobs by one of the `load_jobs` queries, and for what a service needs beside."""
    ids = {"job_ids": list(job_ids)}
    return Asked(
        connection.execute(_Q[query], ids),
        connection.execute(_Q["load_files"], ids) if files else (),
        connection.execute(_Q["load_reports"], ids | {"most_bytes": MOST_REPORT_BYTES}) if report else (),
    )


def answered(asked: Asked) -> dict[int, Job]:
    """The jobs by id. Of those that another holds there may be files and reports; they are not taken."""
    jobs = {}
    for row in asked.jobs:
        job = jobs[row[0]] = Job(row[0], _STATES.get(row[1]) or State(row[1]), *row[2:])
        job.verdict = None if job.verdict is None else Verdict(job.verdict)
    _take_files(asked.files, jobs)
    for job_id, *told in asked.reports:
        if job_id in jobs:
            job = jobs[job_id]
            job.report, job.report_state, job.pilot_erred, job.metadata, job.report_waits = told
    return jobs


def read_jobs(connection: psycopg.Connection, query: str, job_ids: Sequence[int]) -> dict[int, Job]:
    """Jobs by id, without files, by one of the `load_jobs` queries."""
    return answered(ask(connection, query, job_ids, files=False, report=False))


def read_waits(connection: psycopg.Connection, jobs: Mapping[int, Job]) -> None:
    """Read into them which jobs they wait for; their files were read."""
    read_upstream(connection, [job for job in jobs.values() if job.has_upstream])
    read_makers(connection, jobs)


def read_upstream(connection: psycopg.Connection, jobs: Sequence[Job]) -> None:
    """Read into them which jobs these wait for, and how far those are, live or archived."""
    if not jobs:
        return
    by_id = {job.job_id: job for job in jobs}
    for job_id, upstream_id, state, is_last, seqs in connection.execute(_Q["load_upstream"], {"job_ids": list(by_id)}):
        merged = None if seqs is None else frozenset(seqs)
        by_id[job_id].upstream += (Upstream(upstream_id, None if state is None else State(state), is_last, merged),)


def read_makers(connection: psycopg.Connection, jobs: Mapping[int, Job]) -> None:
    """Read into them which build jobs, of whatever submission, make the libraries that they read."""
    wanted = rows.libraries(jobs.values())
    if wanted:
        for job_id, maker_id, state in connection.execute(_Q["load_makers"], {"rows": rows.as_json(wanted)}):
            jobs[job_id].upstream += (Upstream(maker_id, State(state)),)


def read_files(connection: psycopg.Connection, jobs: Mapping[int, Job]) -> None:
    """Read the files of these jobs into them."""
    _take_files(connection.execute(_Q["load_files"], {"job_ids": list(jobs)}), jobs)


def _take_files(found: Iterable[tuple[Any, ...]], jobs: Mapping[int, Job]) -> None:
    for job_id, seq, kind, lfn, scope, dataset, status, *rest in found:
        if job_id in jobs:
            file_type, file_status = _TYPES.get(kind) or FileType(kind), _STATUSES.get(status) or FileStatus(status)
            jobs[job_id].files.append(File(job_id, seq, file_type, lfn, scope, dataset, file_status, *rest))
