"""The engine's store: reads live jobs, and writes the effects of a batch in one transaction of set-based statements."""

import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

import psycopg

from panda_fsm.blocks.states import TAKES_FILES, BlockKind
from panda_fsm.effects import Effects
from panda_fsm.errors import HeldError, TransientError
from panda_fsm.jobs.facts import Limits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.samples import MINUTES
from panda_fsm.outcomes import KnownBlock
from panda_fsm.ports import Said
from sql import held_tasks, jedi_requests, rows
from sql.closing import close_blocks
from sql.live_jobs import answered, ask, read_waits
from sql.queries import load
from sql.session import Session, to_lock_s
from sql.waiting import wait_for_pilots

_Q = {**load("store"), "keep": load("requests")["keep"]}
_HOST = socket.gethostname()
_LOCK_AGAIN_S = (0.01, 0.04)
"""A row that is locked is mostly free again at once; what is not is left out, so that nobody waits for it."""
_IMPATIENT_FOR_S = 60
"""Who has just waited in vain does not wait as long again: a batch that is bisected would, with each of its parts."""
_STARTS_EACH_S = 60
"""A deadline asks whether jobs start at a queue: in hours, so once a minute is enough."""


class PostgresStore:
    """One connection for one worker thread; reconnects when it was lost. Raises TransientError while it is away."""

    def __init__(
        self, database_url: str, service: str, statement_timeout_s: float, limits: Limits, archive_after_s: float
    ) -> None:
        # Jobs that are held are left out; of a block that somebody holds this finds the few jobs that need it.
        self._session = Session(database_url, service, statement_timeout_s, to_lock_s(statement_timeout_s), True)
        self.service = service
        self.timetable = rows.Timetable(limits, archive_after_s)
        self._transitions: dict[tuple[str, str | None], int] = {}
        self._starts: dict[str, float] = {}
        self._waited_at = -inf

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def load(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        with self._session.use() as connection:
            with connection.pipeline():
                asked = ask(connection, "load_jobs", job_ids, files, report)
            jobs = answered(asked)
            if files:
                read_waits(connection, jobs)
        return jobs

    @contextmanager
    def transaction(self) -> Iterator["PostgresTransaction"]:
        try:
            with self._session.pipelined() as connection:
                if time.monotonic() - self._waited_at < _IMPATIENT_FOR_S:
                    connection.execute(_Q["wait_briefly"])
                batch = PostgresTransaction(connection, self)
                yield batch
            # Not before the commit: what is undone has noted nothing, and is tried again.
            self._starts |= dict.fromkeys(batch.noted, time.monotonic())
        except HeldError:
            self._waited_at = time.monotonic()
            raise

    def jobs_of_blocks(self, wanted: Sequence[tuple[str, list[str] | None]]) -> list[list[int] | None]:
        wanted_rows = [{"number": n, "block": block, "lfns": lfns} for n, (block, lfns) in enumerate(wanted)]
        found: list[list[int] | None] = [None] * len(wanted)
        with self._session.use() as connection:
            for number, job_ids in connection.execute(_Q["jobs_of_blocks"], {"rows": rows.as_json(wanted_rows)}):
                found[number] = job_ids
        return found

    def live(self, job_ids: Sequence[int]) -> set[int]:
        return self._ids("live", job_ids)

    def archived(self, job_ids: Sequence[int]) -> set[int]:
        return self._ids("archived", job_ids)

    def _ids(self, query: str, job_ids: Sequence[int]) -> set[int]:
        with self._session.use() as connection:
            return {job_id for (job_id,) in connection.execute(_Q[query], {"job_ids": list(job_ids)})}

    def oldest_submission_s(self) -> float:
        with self._session.use() as connection:
            return float((connection.execute(_Q["oldest_submission"]).fetchone() or (0.0,))[0])

    def kept(self, message_ids: Sequence[str]) -> set[str]:
        with self._session.use() as connection:
            found = connection.execute(_Q["kept_requests"], {"message_ids": list(message_ids)})
            return {message_id for (message_id,) in found}

    def forget_published(self, message_ids: Sequence[str]) -> None:
        with self._session.use() as connection:
            connection.execute(_Q["forget_published"], {"message_ids": list(message_ids)})

    def history_rows(self, connection: psycopg.Connection, effects: Effects) -> list[rows.Row]:
        """Rows for job_history; the ids of transitions are read again when one is missing: it may be new."""
        if any((h.step.trigger, h.step.source) not in self._transitions for h in effects.history):
            known = connection.execute(_Q["transition_ids"])
            self._transitions = {(event, source): number for event, source, number in known}
        return rows.history(effects, self._transitions)

    def starts_to_note(self, sites: Collection[str]) -> list[str]:
        """Of queues at which jobs started those that this process has not noted for a minute."""
        now = time.monotonic()
        return sorted(site for site in sites if now - self._starts.get(site, -_STARTS_EACH_S) >= _STARTS_EACH_S)


class PostgresTransaction:
    """Locks, reads and writes of one batch."""

    def __init__(self, connection: psycopg.Connection, store: PostgresStore) -> None:
        self._connection = connection
        self._store = store
        self._unseen: set[str] = set()
        self.noted: list[str] = []

    def load_locked(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        jobs = answered(ask(self._connection, "load_jobs_locked", job_ids, files, report))
        for job_id in self._locked_by_others(job_ids, jobs):
            jobs |= answered(ask(self._connection, "load_jobs_locked", [job_id], files, report))
        if files:
            read_waits(self._connection, jobs)
        return jobs

    def lock_versions(self, job_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        versions = self._lock_versions(job_ids)
        for job_id in self._locked_by_others(job_ids, versions):
            versions |= self._lock_versions([job_id])
        return versions

    def _lock_versions(self, job_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        locked = self._connection.execute(_Q["lock_versions"], {"job_ids": list(job_ids)})
        return {job_id: (version, verdict) for job_id, version, verdict in locked}

    def _locked_by_others(self, job_ids: Sequence[int], locked: Mapping[int, object]) -> Iterator[int]:
        """Those to try again, after a moment. Nobody is waited for, so there is no deadlock whatever the order."""
        for pause_s in _LOCK_AGAIN_S:
            missing = [job_id for job_id in job_ids if job_id not in locked]
            if not missing:
                return
            found = self._connection.execute(_Q["live"], {"job_ids": missing}).fetchall()
            if not found:
                return
            time.sleep(pause_s)
            yield from (job_id for (job_id,) in found)

    def remember(self, message_ids: Sequence[str]) -> set[str]:
        return {
            message_id for (message_id,) in self._connection.execute(_Q["remember"], {"message_ids": list(message_ids)})
        }

    def newest(self, said: Mapping[Said, str]) -> set[Said]:
        told = [{"job_id": job_id, "what": what, "message_id": said[job_id, what]} for job_id, what in sorted(said)]
        return {(job_id, what) for job_id, what in self._returned("newest", told)}

    def known_blocks(self, locked: Collection[str], others: Collection[str]) -> dict[str, KnownBlock]:
        known = self._known_blocks(locked, others)
        for pause_s in _LOCK_AGAIN_S:
            held = [name for name, block in known.items() if block.is_held]
            if not held:
                break
            time.sleep(pause_s)
            known |= self._known_blocks(held, ())
        self._unseen = set(others) - known.keys()
        return known

    def _known_blocks(self, locked: Collection[str], others: Collection[str]) -> dict[str, KnownBlock]:
        names = {"locked": sorted(locked), "others": sorted(others)}
        return {
            name: KnownBlock(BlockKind(kind), vo, status in TAKES_FILES, is_held)
            for name, status, kind, vo, is_held in self._connection.execute(_Q["known_blocks"], names)
        }

    def _create_blocks(self, effects: Effects) -> None:
        """Names that nobody had may be others' by now; those of sub and dispatch blocks nobody else makes."""
        if effects.blocks or effects.never_set_up:
            wanted = {"rows": rows.as_json(rows.blocks(effects.blocks.values()))}
            self._connection.execute(_Q["create_blocks"], wanted | {"never_set_up": sorted(effects.never_set_up)})
        new = [b for b in effects.blocks.values() if b.kind is BlockKind.DESTINATION and b.name in self._unseen]
        taken = self._returned("foreign_blocks", rows.blocks(new))
        if taken:
            raise TransientError(f"others created the block {taken[0][0]} just now")

    def write(self, effects: Effects) -> None:
        if effects.answers:
            jedi_requests.write(self._connection, effects)
        if effects.holds:
            self._hold_tasks(effects)
        self._rows("keep", rows.outbox(effects.kept))
        if effects.created:
            self._create(effects)
        self._move(effects)
        self._create_blocks(effects)
        self._rows("name_files", rows.new_files(effects))
        self._rows("change_files", rows.files(effects))
        if effects.filled:
            self._connection.execute(_Q["fill_blocks"], {"names": sorted(effects.filled)})
        self._rows("store_reports", effects.reports)
        self._rows("keep_samples", rows.samples(effects), minutes=MINUTES)
        self._rows("keep_shown", rows.shown(effects))
        close_blocks(self._connection, effects, self._store.service)
        self.noted = self._store.starts_to_note(effects.started_at)
        if self.noted:
            self._connection.execute(_Q["note_starts"], {"sites": self.noted})
        history = self._store.history_rows(self._connection, effects)
        self._rows("write_history", history, service=self._store.service, host=_HOST)
        self._rows("tell_jedi", rows.jedi(effects), service=self._store.service)
        self._rows("count_jobs", rows.counts(effects))
        self._rows("set_pauses", rows.pauses(effects))
        self._rows("count_repeated", rows.repeated(effects))
        for letter in effects.dead_letters:
            self._connection.execute(_Q["bury"], rows.dead_letter(letter))
        if effects.handled:
            self._connection.execute(_Q["forget_requests"], {"message_ids": sorted(effects.handled)})
        self._rows("postpone_requests", rows.waiting(effects))
        effects.gather()
        self._rows("write_outbox", rows.outbox(effects.outgoing))

    def _hold_tasks(self, effects: Effects) -> None:
        """What was handled before is not done again: a task that was let go since would be held."""
        asked = [cause for cause, _ in effects.holds if cause is not None]
        new = self.remember(asked) if asked else set()
        for cause, task in effects.holds:
            if cause is None or cause in new:
                messages = held_tasks.change(self._connection, task)
                effects.kept += messages
                effects.outgoing += messages

    def _create(self, effects: Effects) -> None:
        """New jobs only: a message handled before and ids that exist already, or did, create nothing."""
        handled = effects.inbox - self.remember(sorted(effects.inbox))
        new = {one[2].job_id: (one[0], one[1], one[2]) for one in effects.created if one[3] not in handled}
        wanted = [self._store.timetable.job(*each) for each in new.values()]
        created = {job_id for (job_id,) in self._returned("create_jobs", wanted)}
        drafts = [draft for job_id, (_, _, draft) in new.items() if job_id in created]
        self._rows("create_specs", [{"job_id": draft.job_id, "spec": draft.spec} for draft in drafts])
        self._rows("create_files", [row for draft in drafts for row in rows.draft_files(draft)])
        self._rows("create_upstream", rows.upstream(drafts))
        self._rows("link_merged", rows.merged(drafts))
        looks = [{"job_id": row["job_id"], "look_s": row["look_s"]} for row in wanted if row["job_id"] in created]
        self._rows("create_deadlines", looks)
        effects.announce_created(created)

    def _move(self, effects: Effects) -> None:
        self._rows("move_jobs", self._store.timetable.moves(effects))
        built = rows.ended_builds(effects)
        if built:
            self._connection.execute(_Q["wake_readers"], {"job_ids": built})
        failing = [job_id for job_id, row in effects.jobs.items() if row.get("fail_files")]
        if failing:
            self._connection.execute(_Q["fail_files"], {"job_ids": failing})
        if effects.vacated:
            silent = [job_id for job_id, was_silent in effects.vacated.items() if was_silent]
            self._connection.execute(_Q["vacate"], {"job_ids": list(effects.vacated), "silent": silent})
        self._rows("set_priorities", [{"job_id": i, "priority": to} for i, to in effects.priorities.items()])
        self._rows("set_shares", [{"job_id": i, "gshare": to} for i, to in effects.shares.items()])
        wait_for_pilots(self._connection, effects)

    def _rows(self, query: str, values: Sequence[Mapping[str, Any]], **parameters: str | int) -> None:
        """Write `values` with one statement, if there are any, and do not wait for it: the commit tells."""
        if values:
            self._connection.execute(_Q[query], {"rows": rows.as_json(values), **parameters})

    def _returned(self, query: str, values: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """What a statement that writes `values` returns."""
        if not values:
            return []
        return self._connection.execute(_Q[query], {"rows": rows.as_json(values)}).fetchall()
