"""What JEDI is to be told, read with the jobs that it is about: for the reporter, and in pages for a replay."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from panda_fsm.descriptions import FileRow
from panda_fsm.effects import Outgoing
from panda_fsm.handler import DeadLetter
from panda_fsm.jobs.facts import FINAL
from panda_fsm.messages import new_message_id
from panda_fsm.statuses import JOB_STATUS, Glance, JobNow, Page, Untold
from sql import rows
from sql.queries import load
from sql.session import Session

_Q = load("jedi_statuses")
_BURY = load("store")["bury"]
_FINAL = frozenset(state.value for state in FINAL)
_MOST_FILES = 20_000
"""Files that are told in one window or page: each is some three hundred bytes."""
_FEW = 25
"""Jobs of a page that are read at once: one has two thousand files at most."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_GLANCE_AT = 11
"""The column of a window's rows at which the glance at the job begins."""
_Row = tuple[Any, ...]


class Statuses:
    """One connection for the reporter. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, "jedi.status", statement_timeout_s, planned_once=True)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    @contextmanager
    def window(self, limit: int, held: Sequence[tuple[str, int]] = ()) -> Iterator["StatusWindow | None"]:
        """The next messages, in order, but for those of the VOs and tasks that are held, in one transaction; None while
        another reporter has its own."""
        with self._session.transaction() as connection:
            alone = connection.execute(_Q["be_alone"]).fetchone()
            yield StatusWindow(connection, _untold(connection, limit, held)) if alone and alone[0] else None


class StatusWindow:
    """Messages in order, and what becomes of them in the transaction that reads them."""

    def __init__(self, connection: psycopg.Connection, untold: list[Untold]) -> None:
        self.untold = untold
        self._connection = connection

    def told(self, seqs: Sequence[int]) -> None:
        """The broker has these."""
        if seqs:
            self._connection.execute(_Q["told"], {"seqs": list(seqs)})

    def bury(self, seq: int, message: Outgoing, queue: str, reason: str) -> None:
        """Keep it among the dead letters, with where it was to go."""
        letter = DeadLetter(queue, message.exchange, message.routing_key, message.body, message.headers or {}, reason)
        self._connection.execute(_BURY, rows.dead_letter(letter))
        self.told([seq])


class Replays:
    """Present states in pages, each with the number of what was said of it last, told or not.

    Where to go on is answered with each page; it holds while jobs change. Raises TransientError while the database is
    away, ValueError for a place that no page ever named.
    """

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, "jedi.replay", statement_timeout_s, planned_once=True)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def since(self, vo: str, seq: int, after: str | None, limit: int) -> Page:
        """Jobs of which something was said after `seq`, or so near before that it may have come later."""
        with self._snapshot() as connection:
            if after is None:
                begin, until = connection.execute(_Q["since"], {"seq": seq}).fetchone() or (0, 0)
            else:
                begin, until = _numbers(after, 2)
            where = {"vo": vo, "after": begin, "until": until}
            found = connection.execute(_Q["page_since"], where | {"limit": limit}).fetchall()
            return _page(connection, found, limit, lambda row: f"{row[1]}-{until}")

    def of_task(self, vo: str, task_id: int, after: str | None, limit: int) -> Page:
        """All jobs of a task, by their ids."""
        return self._by_id("page_of_task", after, limit, vo=vo, task_id=task_id)

    def of_jobs(self, vo: str, job_ids: Sequence[int], after: str | None, limit: int) -> Page:
        """Those of the jobs that are JEDI's and of this VO, by their ids."""
        return self._by_id("page_of_jobs", after, limit, vo=vo, job_ids=list(job_ids))

    def _by_id(self, query: str, after: str | None, limit: int, **asked: Any) -> Page:
        (begin,) = (0,) if after is None else _numbers(after, 1)
        with self._snapshot() as connection:
            found = connection.execute(_Q[query], asked | {"after": begin, "limit": limit}).fetchall()
            return _page(connection, found, limit, lambda row: str(row[0]))

    @contextmanager
    def _snapshot(self) -> Iterator[psycopg.Connection]:
        """Numbers and states of one moment."""
        with self._session.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection


def _numbers(after: str, count: int) -> tuple[int, ...]:
    """The numbers that a place is written as."""
    numbers = after.split("-")
    if len(numbers) != count or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise ValueError(f"after: {after!r:.60} is no place in this replay")
    return tuple(map(int, numbers))


def _page(connection: psycopg.Connection, found: Sequence[_Row], limit: int, place: Callable[[_Row], str]) -> Page:
    """The jobs of these rows, as long as their files are not too many."""
    told: list[Untold] = []
    files = 0
    for at in range(0, len(found), _FEW):
        part = found[at : at + _FEW]
        ids = [row[0] for row in part]
        jobs = _jobs(connection, ids, ids)
        files += sum(len(job.files) for job in jobs.values())
        if told and files > _MOST_FILES:
            return Page(told, place(found[at - 1]))
        told += [_present(job, row) for row in part if (job := jobs.get(row[0])) is not None and job.vo == row[2]]
    return Page(told, place(found[-1]) if len(found) == limit else None)


def _present(job: JobNow, row: _Row) -> Untold:
    """As an answer to a replay tells it. A number that is forgotten, with its time, is 0."""
    _, seq, _, _, changed_at = row
    at = changed_at or job.ended_at or 0.0
    what = job.vo, job.task_id, job.job_id, job.state
    return Untold(seq, new_message_id(), JOB_STATUS, *what, prev=None, service="replay", at=at, body=None, job=job)


def _untold(connection: psycopg.Connection, limit: int, held: Sequence[tuple[str, int]]) -> list[Untold]:
    """What comes next, as long as the files that are told with it are not too many."""
    vos, task_ids = [vo for vo, _ in held], [task_id for _, task_id in held]
    untold: list[Untold] = []
    whole: dict[int, bool] = {}
    asked = {"limit": limit, "vos": vos, "task_ids": task_ids}
    for row in connection.execute(_Q["window"], asked).fetchall():
        one = Untold(*row[:_GLANCE_AT])
        if row[_GLANCE_AT] is not None:
            one.glance = Glance(*row[_GLANCE_AT:])
        if one.job_id is not None and (one.glance is None or one.state in _FINAL):
            whole[one.job_id] = whole.get(one.job_id, False) or one.state in _FINAL
        untold.append(one)
    if not whole:
        return untold
    untold = _few_files(connection, untold, whole)
    jobs = _jobs(connection, list(whole), [job_id for job_id, has_ended in whole.items() if has_ended])
    for one in untold:
        if one.job_id in whole and (one.glance is None or one.state in _FINAL):
            one.job = jobs.get(one.job_id)
    return untold


def _few_files(connection: psycopg.Connection, untold: list[Untold], whole: dict[int, bool]) -> list[Untold]:
    """The first of them, whose files are not too many; of archived jobs there are few at a time."""
    found = connection.execute(_Q["files"], {"job_ids": list(whole)})
    numbers: dict[int | None, int] = dict(found)
    files = 0
    for at, one in enumerate(untold):
        files += numbers.get(one.job_id, 0) if one.state in _FINAL else 0
        if at and files > _MOST_FILES:
            return untold[:at]
    return untold


def _jobs(connection: psycopg.Connection, job_ids: Sequence[int], ended: Collection[int]) -> dict[int, JobNow]:
    """Jobs as they are now, live or archived; `ended`: with specification and files."""
    asked = {"job_ids": list(job_ids), "ended": sorted(ended)}
    jobs = {row[0]: _job(row) for row in connection.execute(_Q["jobs"], asked).fetchall()}
    missing = [job_id for job_id in job_ids if job_id not in jobs]
    if missing:
        jobs |= {row[0]: _job(row) for row in connection.execute(_Q["archived_jobs"], asked | {"job_ids": missing})}
    return jobs


def _job(row: Sequence[Any]) -> JobNow:
    *columns, spec, files = row
    return JobNow(*[*columns, spec or {}, [FileRow(*file) for file in files or ()]])
