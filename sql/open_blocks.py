"""Blocks that somebody must look after: complete ones that are open still, and those that the DDM is to settle."""

from collections.abc import Callable, Sequence

from panda_fsm.blocks.states import BlockStatus
from panda_fsm.effects import Outgoing
from panda_fsm.messages import Message, SettleBlock
from sql import outbox
from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("open_blocks")

About = Callable[[str, int | None], Message]


class OpenBlocks:
    """The blocks that take files. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "blocks")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def remind(self, after: int, limit: int, about: About) -> int | None:
        """Look at the next open blocks with a number above `after`, and say `about` each that is complete.

        One that all its files left is complete, and has no job to speak of. Returns the last number looked at; None
        when there are no more.
        """
        with self._session.slice() as connection:
            rows: Sequence[tuple[int, str | None, int | None]]
            rows = connection.execute(_Q["look_at"], {"after": after, "limit": limit}).fetchall()
            complete = [(block_id, name, job_id) for block_id, name, job_id in rows if name is not None]
            if complete:
                connection.execute(_Q["spoken_of"], {"block_ids": [block_id for block_id, *_ in complete]})
            messages = [about(name, job_id) for _, name, job_id in complete]
            outbox.hand_over(connection, [Outgoing.of(message) for message in messages])
            return rows[-1][0] if len(rows) == limit else None


class SettledBlocks:
    """The blocks that the DDM is to close or to delete. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "settled_blocks")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def settle(self, limit: int, unused_s: float, again_s: float) -> int:
        """Ask the DDM to delete what has been unused for so long, and once more for what it did not answer."""
        with self._session.slice() as connection:
            unused = connection.execute(_Q["use_up"], {"unused_s": unused_s, "limit": limit}).fetchall()
            late = connection.execute(_Q["ask_again"], {"again_s": again_s, "limit": limit}).fetchall()
            messages = [SettleBlock(block=name, status="deleted") for (name,) in unused]
            messages += [
                SettleBlock(block=name, status="deleted" if status == BlockStatus.CLEANUP else "closed")
                for name, status in late
            ]
            outbox.hand_over(connection, [Outgoing.of(message) for message in messages])
            return max(len(unused), len(late))
