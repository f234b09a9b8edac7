"""The database side of cached files without a record: which they are, and that nobody makes one while they go."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("stray_files")


class SandboxRecords:
    """The records of sandboxes. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "unrecorded_sandboxes")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def any(self) -> bool:
        """Whether there is a sandbox."""
        with self._session.slice() as connection:
            return connection.execute(_Q["any_sandbox"]).fetchone() == (True,)

    @contextmanager
    def strangers(self, names: Sequence[str]) -> Iterator[Collection[str]]:
        """Those of the files that no sandbox has; nobody uploads one of them until the context ends.

        What is no text for the database was never recorded, and is not asked about.
        """
        asked = [name for name in names if _is_text(name)]
        with self._session.slice() as connection:
            found = _names(connection, "unrecorded", asked)
            # Looked at once more under the lock of those who upload: one may just have been recorded.
            found = _names(connection, "unrecorded", _names(connection, "hold", found))
            yield {*found, *set(names).difference(asked)}


def _names(connection: psycopg.Connection, query: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [name for (name,) in connection.execute(_Q[query], {"names": list(names)})]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
