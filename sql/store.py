"""The engine's store: reads live jobs, and writes the effects of a batch in one transaction of set-based statements."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from panda_fsm.effects import Effects
from panda_fsm.events import BlockClosed
from panda_fsm.job import File, Job
from panda_fsm.states import BlockKind, FileStatus, FileType, State
from sql import rows
from sql.queries import load
from sql.session import Session

_Q = load("store")
_HOST = socket.gethostname()


class PostgresStore:
    """One connection for one worker thread; reconnects when it was lost. Raises TransientError while it is away."""

    def __init__(self, database_url: str, service: str, statement_timeout_s: float, archive_after_s: float) -> None:
        self._session = Session(database_url, service, statement_timeout_s)
        self._service = service
        self._archive_after_s = archive_after_s
        self._transitions: dict[tuple[str, str | None], int] = {}

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def load(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        with self._session.use() as connection:
            return _load(connection, "load_jobs", job_ids, files, report)

    @contextmanager
    def transaction(self) -> Iterator["PostgresTransaction"]:
        with self._session.use() as connection, connection.transaction():
            if not self._transitions:
                known = connection.execute(_Q["transition_ids"])
                self._transitions = {(event, source): number for event, source, number in known}
            yield PostgresTransaction(connection, self._service, self._transitions, self._archive_after_s)

    def jobs_of_blocks(self, wanted: Sequence[tuple[str, list[str] | None]]) -> list[list[int] | None]:
        wanted_rows = [{"number": n, "block": block, "lfns": lfns} for n, (block, lfns) in enumerate(wanted)]
        found: list[list[int] | None] = [None] * len(wanted)
        with self._session.use() as connection:
            for number, job_ids in connection.execute(_Q["jobs_of_blocks"], {"rows": rows.as_json(wanted_rows)}):
                found[number] = job_ids
        return found

    def archived(self, job_ids: Sequence[int]) -> set[int]:
        with self._session.use() as connection:
            return {job_id for (job_id,) in connection.execute(_Q["archived"], {"job_ids": list(job_ids)})}

    def forget_published(self, message_ids: Sequence[str]) -> None:
        with self._session.use() as connection:
            connection.execute(_Q["forget_published"], {"message_ids": list(message_ids)})


class PostgresTransaction:
    """Locks, reads and writes of one batch."""

    def __init__(
        self,
        connection: psycopg.Connection,
        service: str,
        transitions: Mapping[tuple[str, str | None], int],
        archive_after_s: float,
    ) -> None:
        self._connection = connection
        self._service = service
        self._transitions = transitions
        self._archive_after_s = archive_after_s

    def load_locked(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        return _load(self._connection, "load_jobs_locked", job_ids, files, report)

    def lock_versions(self, job_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        locked = self._connection.execute(_Q["lock_versions"], {"job_ids": list(job_ids)})
        return {job_id: (version, verdict) for job_id, version, verdict in locked}

    def write(self, effects: Effects) -> None:
        if effects.created:
            self._create(effects)
        self._move(effects)
        self._rows("create_blocks", rows.blocks(effects))
        self._rows("change_files", rows.files(effects))
        self._rows("store_reports", effects.reports)
        self._close_blocks(effects)
        self._rows("write_history", rows.history(effects, self._transitions), service=self._service, host=_HOST)
        self._rows("count_jobs", rows.counts(effects))
        for letter in effects.dead_letters:
            self._connection.execute(_Q["bury"], rows.dead_letter(letter))
        if effects.handled:
            self._connection.execute(_Q["forget_requests"], {"message_ids": sorted(effects.handled)})
        self._rows("write_outbox", rows.outbox(effects))

    def _create(self, effects: Effects) -> None:
        """New jobs only: a message handled before and ids that exist already create nothing."""
        known = self._connection.execute(_Q["remember"], {"message_ids": sorted(effects.inbox)})
        fresh = {message_id for (message_id,) in known.fetchall()}
        new = {
            draft.job_id: (owner, trigger, draft) for owner, trigger, draft, cause in effects.created if cause in fresh
        }
        inserted = self._rows("create_jobs", [rows.job(*each, effects.deadline_s) for each in new.values()])
        created = {job_id for (job_id,) in inserted}
        drafts = [draft for job_id, (_, _, draft) in new.items() if job_id in created]
        self._rows("create_specs", [{"job_id": draft.job_id, "spec": draft.spec} for draft in drafts])
        self._rows("create_files", [row for draft in drafts for row in rows.draft_files(draft)])
        self._connection.execute(_Q["create_deadlines"], {"job_ids": sorted(created)})
        effects.announce_created(created)

    def _move(self, effects: Effects) -> None:
        self._rows("move_jobs", rows.moves(effects, self._archive_after_s))
        failing = [job_id for job_id, row in effects.jobs.items() if row.get("fail_files")]
        if failing:
            self._connection.execute(_Q["fail_files"], {"job_ids": failing})
        if effects.activated:
            self._connection.execute(_Q["put_waiting"], {"job_ids": effects.activated})
        if effects.deactivated:
            self._connection.execute(_Q["take_waiting"], {"job_ids": effects.deactivated})

    def _close_blocks(self, effects: Effects) -> None:
        if effects.arrived_blocks:
            names = {"blocks": sorted(effects.arrived_blocks)}
            self._connection.execute(_Q["lock_blocks"], names)
            self._connection.execute(_Q["close_arrived"], names)
        if effects.close_blocks_of:
            closed = self._connection.execute(_Q["close_blocks"], {"job_ids": sorted(effects.close_blocks_of)})
            for name, kind in closed.fetchall():
                if kind == BlockKind.SUB:
                    effects.send(BlockClosed(block=name))

    def _rows(self, query: str, values: Sequence[Mapping[str, Any]], **parameters: str) -> list[tuple[Any, ...]]:
        """Write `values` with one statement, if there are any; what it returns."""
        if not values:
            return []
        cursor = self._connection.execute(_Q[query], {"rows": rows.as_json(values), **parameters})
        return cursor.fetchall() if cursor.description else []


def _load(
    connection: psycopg.Connection, query: str, job_ids: Sequence[int], files: bool, report: bool
) -> dict[int, Job]:
    ids = {"job_ids": list(job_ids)}
    jobs = {row[0]: Job(row[0], State(row[1]), *row[2:]) for row in connection.execute(_Q[query], ids)}
    if files and jobs:
        for row in connection.execute(_Q["load_files"], ids):
            job = jobs.get(row[0])
            if job is not None:
                job_id, seq, kind, lfn, scope, dataset, status, *rest = row
                job.files.append(File(job_id, seq, FileType(kind), lfn, scope, dataset, FileStatus(status), *rest))
    if report and jobs:
        for job_id, text, state in connection.execute(_Q["load_reports"], ids):
            jobs[job_id].report, jobs[job_id].report_state = text, state
    return jobs
