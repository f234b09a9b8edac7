"""The database side of the relay, the clock, replay and the dead letters: one connection, short transactions."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import orjson
import psycopg
import structlog
from psycopg.rows import dict_row

from panda_fsm.effects import Outgoing
from panda_fsm.events import (
    CheckBlock,
    DeadlinePassed,
    FileToMove,
    JobEvent,
    Message,
    OutputsAdded,
    TransferRequested,
    decode,
    new_message_id,
)
from panda_fsm.states import FINAL, State
from sql.queries import load
from sql.session import Session

log = structlog.get_logger()
_Q = load("housekeeping")
_REMIND_S = 60.0
"""A deadline whose message got lost is announced again after this."""
_CHUNK = 1000


class Housekeeping:
    """Connects on first use and again after a loss. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, "relay", statement_timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def relay(self, age_s: float, publish: Callable[[Sequence[Outgoing]], list[Outgoing]]) -> int:
        """Publish outbox rows older than `age_s`, a chunk; returns how many the broker took."""
        with self._transaction() as connection:
            rows = connection.execute(_Q["left_in_outbox"], {"age_s": age_s, "limit": _CHUNK}).fetchall()
            left = [Outgoing(m, exchange, key, body.encode(), headers) for m, exchange, key, body, headers in rows]
            taken = publish(left) if left else []
            if taken:
                connection.execute(_Q["forget_published"], {"message_ids": [m.message_id for m in taken]})
            return len(taken)

    def tick(self) -> int:
        """Announce overdue deadlines and archive old final jobs, a chunk; returns how many jobs were looked at."""
        with self._transaction() as connection:
            if not self._alone(connection):
                return 0
            due = [job_id for (job_id,) in connection.execute(_Q["overdue"])]
            jobs = connection.execute(_Q["look_at"], {"job_ids": due}).fetchall()
            late = [(job_id, State(state), version) for job_id, state, version, early in jobs if not early]
            gone = [job_id for (job_id,) in connection.execute(_Q["vanished"], {"job_ids": due})]
            _put_off(connection, [job_id for job_id, _, _, early in jobs if early], 0)
            _announce(connection, [row for row in late if row[1] not in FINAL])
            gone += _archive(connection, [job_id for job_id, state, _ in late if state in FINAL])
            connection.execute(_Q["drop_deadlines"], {"job_ids": gone})
            return len(jobs) + len(gone)

    def tidy(self) -> None:
        """Fold job counts, forget old inbox rows, make next month's partitions."""
        with self._transaction() as connection:
            if self._alone(connection):
                for query in ("fold_counts", "forget_inbox", "ensure_partitions"):
                    connection.execute(_Q[query])

    def replay(self) -> int:
        """Write accepted requests and the pending event of every live job to the outbox; returns how many."""
        with self._transaction() as connection:
            sent = connection.execute(_Q["accepted_requests"]).rowcount
            pending = chain(_pending_events(connection), _pending_transfers(connection), _pending_closings(connection))
            while chunk := list(islice(pending, _CHUNK)):
                _send(connection, chunk)
                sent += len(chunk)
        return sent

    def dead_letters(self, status: str, limit: int) -> list[dict[str, Any]]:
        """Dead letters, oldest first."""
        with self._transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_Q["dead_letters"], {"status": status, "limit": limit}).fetchall()

    def settle_dead_letters(self, ids: Sequence[int], status: str, actor: str) -> int:
        """Replay open dead letters into their queue, or discard them; one audit row each.

        Raises PoisonError when one of those to replay is no message: none is replayed then.
        """
        with self._transaction() as connection:
            rows = connection.execute(_Q["settle_dead_letters"], {"ids": list(ids), "status": status}).fetchall()
            for number, queue, payload in rows:
                if status == "replayed":
                    decode(bytes(payload))  # what no service can read would only come back
                    _send_raw(connection, [Outgoing(new_message_id(), "", queue, bytes(payload))])
                detail = json.dumps({"queue": queue})
                connection.execute(
                    _Q["write_audit"],
                    {"actor": actor, "action": f"dead_letter_{status}", "object": str(number), "detail": detail},
                )
            return len(rows)

    @staticmethod
    def _alone(connection: psycopg.Connection) -> bool:
        """One clock at a time, whichever process it is in."""
        row = connection.execute(_Q["try_clock"]).fetchone()
        return row is not None and bool(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        with self._session.use() as connection, connection.transaction():
            yield connection


def _put_off(connection: psycopg.Connection, job_ids: list[int], at_least_s: float) -> None:
    connection.execute(_Q["put_off"], {"job_ids": job_ids, "at_least_s": at_least_s})


def _announce(connection: psycopg.Connection, overdue: list[tuple[int, State, int]]) -> None:
    _put_off(connection, [job_id for job_id, _, _ in overdue], _REMIND_S)
    _send(connection, [DeadlinePassed(job_id=j, state=s, version=v) for j, s, v in overdue])


def _archive(connection: psycopg.Connection, final: list[int]) -> list[int]:
    """Archive jobs whose blocks are closed; the Closer is reminded of the others."""
    unclosed = {job_id for (job_id,) in connection.execute(_Q["unclosed"], {"job_ids": final})}
    _put_off(connection, sorted(unclosed), _REMIND_S)
    _send(connection, [CheckBlock(job_id=job_id) for job_id in sorted(unclosed)])
    done = [job_id for job_id in final if job_id not in unclosed]
    if done:
        for query in ("archive_jobs", "archive_files", "archive_specs"):
            connection.execute(_Q[query], {"job_ids": done})
        log.info("archived", jobs=len(done))
    return done


def _send(connection: psycopg.Connection, messages: Sequence[Message]) -> None:
    _send_raw(connection, [Outgoing.of(message) for message in messages])


def _send_raw(connection: psycopg.Connection, outgoing: Sequence[Outgoing]) -> None:
    if not outgoing:
        return
    rows = [
        {"message_id": m.message_id, "exchange": m.exchange, "routing_key": m.routing_key, "body": m.body.decode()}
        for m in outgoing
    ]
    connection.execute(_Q["write_outbox"], {"rows": orjson.dumps(rows).decode()})


def _pending_events(connection: psycopg.Connection) -> Iterator[Message]:
    """Jobs that wait for the Setupper, the Adder or the Finisher."""
    after = 0
    while rows := connection.execute(_Q["live_jobs"], {"after": after, "limit": _CHUNK}).fetchall():
        for job_id, state, version, verdict, site, vo, task_id in rows:
            if verdict is not None:
                yield OutputsAdded(job_id=job_id, version=version, verdict=verdict)
            else:
                yield JobEvent(
                    job_id=job_id, version=version, state=State(state), trigger="replay", site=site, vo=vo,
                    task_id=task_id,
                )  # fmt: skip
            after = job_id


def _pending_transfers(connection: psycopg.Connection) -> Iterator[Message]:
    """Files that wait for the DDM."""
    for block, kind, source, destination, lfn, scope, size, checksum in connection.execute(_Q["files_under_way"]):
        file = FileToMove(lfn=lfn, scope=scope, size=size, checksum=checksum)
        yield TransferRequested(block=block, kind=kind, source=source, destination=destination, files=[file])


def _pending_closings(connection: psycopg.Connection) -> Iterator[Message]:
    for (job_id,) in connection.execute(_Q["blocks_to_close"]).fetchall():
        if job_id is not None:
            yield CheckBlock(job_id=job_id)
