"""The engine's store: reads live jobs, and writes the effects of a batch in one transaction of set-based statements."""

import hashlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from panda_fsm.drafts import JobDraft
from panda_fsm.effects import DeadLetter, Effects
from panda_fsm.errors import TransientError
from panda_fsm.events import BlockClosed
from panda_fsm.job import File, Job
from panda_fsm.lifecycle import birth
from panda_fsm.states import FINAL, FileStatus, FileType, State
from sql.queries import load

_Q = load("store")
_HOST = socket.gethostname()
_ENDING = {State.HOLDING.value, *(state.value for state in FINAL)}
_TRANSIENT = (
    psycopg.OperationalError,  # connection gone, server shutting down, statement timeout
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.InterfaceError,
)


class PostgresStore:
    """One connection for one worker thread; reconnects when it was lost. Raises TransientError while it is away."""

    def __init__(self, database_url: str, service: str, statement_timeout_s: float, archive_after_s: float) -> None:
        self._url = database_url
        self._service = service
        self._timeout_ms = int(statement_timeout_s * 1000)
        self._archive_after_s = archive_after_s
        self._connection: psycopg.Connection | None = None
        self._transitions: dict[tuple[str, str | None], int] = {}

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def load(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        with self._guarded() as connection:
            return _load(connection, "load_jobs", job_ids, files, report)

    @contextmanager
    def transaction(self) -> Iterator["PostgresTransaction"]:
        with self._guarded() as connection, connection.transaction():
            yield PostgresTransaction(connection, self._service, self._transitions, self._archive_after_s)

    def jobs_of_blocks(self, wanted: Sequence[tuple[str, list[str] | None]]) -> list[list[int] | None]:
        rows = [{"number": number, "block": block, "lfns": lfns} for number, (block, lfns) in enumerate(wanted)]
        found: list[list[int] | None] = [None] * len(rows)
        with self._guarded() as connection:
            for number, job_ids in connection.execute(_Q["jobs_of_blocks"], {"rows": _json(rows)}):
                found[number] = job_ids
        return found

    def archived(self, job_ids: Sequence[int]) -> set[int]:
        with self._guarded() as connection:
            return {job_id for (job_id,) in connection.execute(_Q["archived"], {"job_ids": list(job_ids)})}

    def forget_published(self, message_ids: Sequence[str]) -> None:
        with self._guarded() as connection, connection.transaction():
            # Not worth waiting for the disk: a row that comes back is published twice, which changes nothing.
            connection.execute("SET LOCAL synchronous_commit = off")
            connection.execute(_Q["forget_published"], {"message_ids": list(message_ids)})

    @contextmanager
    def _guarded(self) -> Iterator[psycopg.Connection]:
        """The connection; what may pass by itself becomes TransientError, and a broken connection is dropped."""
        try:
            yield self._connect()
        except _TRANSIENT as error:
            if self._connection is not None and (self._connection.broken or self._connection.closed):
                self._connection = None
            raise TransientError(f"database: {error}") from error

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            options = f"-c statement_timeout={self._timeout_ms} -c idle_in_transaction_session_timeout=60000"
            self._connection = psycopg.connect(
                self._url, autocommit=True, options=options, connect_timeout=5, application_name=self._service
            )
            rows = self._connection.execute(_Q["transition_ids"])
            self._transitions = {(event, source): number for event, source, number in rows}
        return self._connection


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

    def lock_versions(self, job_ids: Sequence[int]) -> dict[int, int]:
        return dict(self._connection.execute(_Q["lock_versions"], {"job_ids": list(job_ids)}).fetchall())

    def write(self, effects: Effects) -> None:
        if effects.created:
            self._create(effects)
        if effects.jobs:
            self._move(effects)
        if effects.blocks:
            self._rows("create_blocks", [_block_row(block) for block in effects.blocks.values()])
        if effects.files:
            self._rows(
                "change_files",
                [
                    {"job_id": job_id, "seq": seq, "status": c.status, "block": c.block, "guid": c.guid,
                     "size": c.size, "checksum": c.checksum}
                    for (job_id, seq), c in effects.files.items()
                ],
            )  # fmt: skip
        if effects.arrived_blocks:
            names = {"blocks": sorted(effects.arrived_blocks)}
            self._connection.execute(_Q["lock_blocks"], names)
            self._connection.execute(_Q["close_arrived"], names)
        if effects.reports:
            self._rows("store_reports", effects.reports)
        if effects.history:
            self._write_history(effects)
        counts = [{"state": s, "site": site, "vo": vo, "jobs": n} for (s, site, vo), n in effects.counts.items() if n]
        if counts:
            self._rows("count_jobs", counts)
        if effects.close_blocks_of:
            closed = self._connection.execute(_Q["close_blocks"], {"job_ids": sorted(effects.close_blocks_of)})
            for (name,) in closed.fetchall():
                effects.send(BlockClosed(block=name))
        for letter in effects.dead_letters:
            self._connection.execute(_Q["bury"], _letter_row(letter))
        if effects.handled:
            self._connection.execute(_Q["forget_requests"], {"message_ids": sorted(effects.handled)})
        if effects.outgoing:
            self._rows(
                "write_outbox",
                [
                    {"message_id": m.message_id, "exchange": m.exchange, "routing_key": m.routing_key,
                     "body": m.body.decode(), "headers": m.headers}
                    for m in effects.outgoing
                ],
            )  # fmt: skip

    def _create(self, effects: Effects) -> None:
        """New jobs only: a message handled before and ids that exist already create nothing."""
        known = self._connection.execute(_Q["remember"], {"message_ids": sorted(effects.inbox)})
        fresh = {message_id for (message_id,) in known.fetchall()}
        drafts = {
            d.job_id: (owner, trigger, d) for owner, trigger, d, cause in reversed(effects.created) if cause in fresh
        }
        rows = [
            _job_row(draft, owner, birth(trigger).destination, effects) for owner, trigger, draft in drafts.values()
        ]
        if not rows:
            return
        created = {job_id for (job_id,) in self._rows("create_jobs", rows).fetchall()}
        new = [draft for job_id, (_, _, draft) in drafts.items() if job_id in created]
        self._rows("create_specs", [{"job_id": draft.job_id, "spec": draft.spec} for draft in new])
        self._rows(
            "create_files",
            [
                {"job_id": draft.job_id, "seq": seq, **file.model_dump()}
                for draft in new
                for seq, file in enumerate(draft.files)
            ],
        )
        self._connection.execute(_Q["create_deadlines"], {"job_ids": sorted(created)})
        effects.announce_created(created)

    def _move(self, effects: Effects) -> None:
        rows = []
        for row in effects.jobs.values():
            state = row["state"]
            seconds = effects.deadline_s(State(state))
            rows.append(
                row
                | {
                    "deadline_s": self._archive_after_s if seconds is None else seconds,
                    "started": state == "running",
                    "ended": state in _ENDING,
                }
            )
        self._rows("move_jobs", rows)
        failing = [job_id for job_id, row in effects.jobs.items() if row.get("fail_files")]
        if failing:
            self._connection.execute(_Q["fail_files"], {"job_ids": failing})
        if effects.activated:
            self._connection.execute(_Q["put_waiting"], {"job_ids": effects.activated})
        if effects.deactivated:
            self._connection.execute(_Q["take_waiting"], {"job_ids": effects.deactivated})

    def _write_history(self, effects: Effects) -> None:
        parameters = {
            "service": self._service,
            "host": _HOST,
            "rows": _json(
                [
                    {
                        "job_id": h.job_id,
                        "version": h.version,
                        "transition_id": self._transitions[(h.step.trigger, h.step.source)],
                        "message_id": h.message_id,
                        "detail": h.detail,
                    }
                    for h in effects.history
                ]
            ),
        }
        self._connection.execute(_Q["write_history"], parameters)

    def _rows(self, query: str, rows: list[dict[str, Any]]) -> psycopg.Cursor[Any]:
        return self._connection.execute(_Q[query], {"rows": _json(rows)})


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


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _job_row(draft: JobDraft, owner: str, state: State, effects: Effects) -> dict[str, Any]:
    row = draft.model_dump(exclude={"spec", "files", "special_handling", "user"})
    return row | {
        "user_name": draft.user,
        "owner": owner,
        "state": state.value,
        "deadline_s": effects.deadline_s(state),
    }


def _block_row(block: Any) -> dict[str, Any]:
    return {
        "name": block.name, "kind": block.kind, "parent": block.parent, "vo": block.vo, "task_id": block.task_id,
        "source": block.source, "destination": block.destination,
    }  # fmt: skip


def _letter_row(letter: DeadLetter) -> dict[str, Any]:
    """The fingerprint groups letters of one cause: the reason without its numbers and ids."""
    cause = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "#", letter.reason)
    return {
        "queue": letter.queue,
        "exchange": _storable(letter.exchange),
        "routing_key": _storable(letter.routing_key),
        "payload": letter.payload,
        "headers": Jsonb({_storable(key): _storable(str(value)) for key, value in letter.headers.items()}),
        "reason": _storable(letter.reason)[:2000],
        "error": letter.error and _storable(letter.error),
        "fingerprint": hashlib.sha256(f"{letter.queue}:{cause}".encode(errors="replace")).hexdigest()[:16],
    }


def _storable(text: str) -> str:
    """Text without what PostgreSQL refuses: a dead letter must always find its place."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\0")
