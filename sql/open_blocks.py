"""Blocks that hold all they ever will and are open still: the message that closes them was lost, or all files left."""

from collections.abc import Callable, Sequence

import psycopg

from panda_fsm.blocks.states import BlockKind
from panda_fsm.effects import Outgoing
from panda_fsm.messages import BlockClosed, Message
from sql import outbox
from sql.duty import DutySession
from sql.queries import load

_Q = load("open_blocks")


class OpenBlocks:
    """The open sub blocks. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = DutySession(database_url, "blocks", statement_timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def remind(self, after: int, limit: int, about: Callable[[int], Message]) -> int | None:
        """Look at the next open blocks with a number above `after`, and say `about` a job of each complete one.

        A block that all its files left has no job to speak of: it is closed here. Returns the last number looked at;
        None when there are no more.
        """
        with self._session.slice_alone() as connection:
            if connection is None:
                return None
            rows: Sequence[tuple[int, int | None, bool]]
            rows = connection.execute(_Q["look_at"], {"after": after, "limit": limit}).fetchall()
            messages = [about(job_id) for _, job_id, _ in rows if job_id is not None]
            messages += _closed(connection, [block_id for block_id, _, is_empty in rows if is_empty])
            outbox.hand_over(connection, [Outgoing.of(message) for message in messages])
            return rows[-1][0] if len(rows) == limit else None


def _closed(connection: psycopg.Connection, block_ids: Sequence[int]) -> list[Message]:
    """Close those of the blocks that nothing is in, nor joins just now; what is said of them."""
    if not block_ids:
        return []
    locked = [block_id for (block_id,) in connection.execute(_Q["lock_empty"], {"block_ids": block_ids})]
    closed = connection.execute(_Q["close_empty"], {"block_ids": locked}).fetchall()
    return [BlockClosed(block=name) for name, kind in closed if kind == BlockKind.SUB]
