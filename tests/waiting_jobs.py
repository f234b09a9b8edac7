"""Jobs that wait for a pilot, or are further on, put straight into the database: the gateway's tests start here."""

from __future__ import annotations

from typing import Any

import psycopg

from lab.site import QUEUE, VO

_JOB: dict[str, Any] = {
    "state": "activated", "version": 3, "attempt_nr": 1, "vo": VO, "site": QUEUE, "label": "user", "priority": 1000,
    "task_id": 7, "job_definition_id": 1, "jobset_id": 1, "name": "job", "owner": "iss|owner", "user_name": "Owner",
    "core_count": 1, "min_ram": 100, "max_disk": 10, "max_walltime": 3600, "resource_type": "", "destination": "",
    "holder": None, "command": None, "has_report": False, "is_background": False,
}  # fmt: skip
_WAITING = (
    "job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name,"
    " is_background"
)


def add_jobs(database_url: str, job_ids: range, **fields: Any) -> None:
    """Jobs with an input, an output and a log; activated ones wait for a pilot."""
    values = _JOB | fields
    columns = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    parameters = values | {"first": job_ids.start, "last": job_ids.stop - 1}
    with psycopg.connect(database_url) as connection:
        for statement in (
            f"INSERT INTO job (job_id, deadline_at, {columns}) SELECT i, now() + interval '7 days', {places}"  # noqa: S608
            " FROM generate_series(%(first)s::bigint, %(last)s) i",
            'INSERT INTO job_spec SELECT i, \'{"transformation": "http://x/trf/user/run"}\''
            " FROM generate_series(%(first)s::bigint, %(last)s) i",
            "INSERT INTO job_deadline (job_id, deadline_at) SELECT job_id, deadline_at FROM job"
            " WHERE job_id BETWEEN %(first)s AND %(last)s",
            f"INSERT INTO job_waiting ({_WAITING}) SELECT {_WAITING} FROM job"  # noqa: S608
            " WHERE state = 'activated' AND job_id BETWEEN %(first)s AND %(last)s",
            "INSERT INTO job_file SELECT i, k.seq - 1, k.kind, k.kind || '.' || i, 'user.lab', 'set', 'block', '', '',"
            " 'GUID-' || i, 10, 'ad:00000001', 'unknown', NULL FROM generate_series(%(first)s::bigint, %(last)s) i,"
            " unnest(ARRAY['input', 'output', 'log']) WITH ORDINALITY AS k (kind, seq)",
        ):
            connection.execute(statement.encode(), parameters)
