"""The local DDM's register of data blocks: one file a block, to which is written what happens to it."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import structlog

from panda_fsm.blocks.table import BlockTrigger
from panda_fsm.errors import TransientError
from panda_fsm.handler import Item, Service
from panda_fsm.messages import SettleBlock
from panda_fsm.outcomes import Ignore, MoveBlock, NewBlock, Outcome, Reject
from panda_fsm.sites import SitesNow
from plugins.ddm.storage import is_reachable

log = structlog.get_logger()

Member = tuple[str, str]
"""Scope and LFN of a file."""
_OF_ONE = (errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR)
"""What a file system answers where one path cannot be written; all other errors are the whole register's trouble."""


class BlockRegister:
    """Lines are only ever added, in one write each time, so several processes may do so at once: one of the block
    itself, one a file of it, one when it is closed.

    Where no folder is configured nothing is kept; one that is not there is not mounted: TransientError, as for all
    trouble of the whole register. OSError is the trouble of one block.
    """

    def __init__(self, sites: SitesNow) -> None:
        self._sites = sites

    @property
    def _root(self) -> Path | None:
        return Path(self._sites.block_register) if self._sites.block_register else None

    def register(self, blocks: Mapping[NewBlock, Sequence[Member]]) -> None:
        """Know blocks and files of theirs."""
        for block, members in blocks.items():
            head = {"name": block.name, "kind": block.kind, "vo": block.vo, "parent": block.parent,
                    "source": block.source, "destination": block.destination}  # fmt: skip
            path = self._path(block.name)
            if path is not None:
                with self._whose_trouble():
                    new = [] if path.exists() else [head]
                self._write(path, [*new, *({"file": member} for member in members)])

    def add(self, members: Mapping[str, Iterable[Member]]) -> None:
        """Know files of blocks."""
        for name, files in members.items():
            path = self._path(name)
            if path is not None:
                self._write(path, [{"file": file} for file in files])

    def close(self, name: str) -> None:
        """No file joins the block any more."""
        path = self._path(name)
        if path is not None and self._has(path):
            self._write(path, [{"closed": True}])

    def delete(self, name: str) -> None:
        """Forget the block; its files stay where they are."""
        path = self._path(name)
        if path is not None and self._has(path):
            with self._whose_trouble():
                path.unlink(missing_ok=True)

    def _has(self, path: Path) -> bool:
        """Whether a block is registered; a register that is not there says nothing of blocks."""
        with self._whose_trouble():
            is_there = path.exists()
        if not is_there and self._root is not None and not is_reachable(self._root):
            raise TransientError(f"the register of blocks: {self._root} is not there")
        return is_there

    def _path(self, name: str) -> Path | None:
        """Names may be longer than a file system takes."""
        if self._root is None:
            return None
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._root / digest[:2] / digest[2:]

    def _write(self, path: Path, lines: Sequence[Mapping[str, object]]) -> None:
        if not lines:
            return
        with self._whose_trouble():
            path.parent.mkdir(exist_ok=True)  # not its parent: that would be a second register, below a mount point
            with path.open("ab", buffering=0) as file:
                file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    @contextmanager
    def _whose_trouble(self) -> Iterator[None]:
        """Tells one block's trouble, which keeps no other waiting, from that of the whole register."""
        try:
            yield
        except OSError as error:
            if error.errno in _OF_ONE and (self._root is None or os.access(self._root, os.W_OK | os.X_OK)):
                raise
            raise TransientError(f"the register of blocks: {error}") from error


class LocalBlocks(Service[str]):
    """Closes and deletes blocks in the register; a block that is asked about twice is closed already, or gone.

    What cannot be done for one block is not answered, so the daemon asks again.
    """

    name = "ddm.blocks"
    asks_outside = True
    needs_jobs = False
    gathers_s = 0.5

    def __init__(self, sites: SitesNow) -> None:
        register = BlockRegister(sites)
        self._ways: Mapping[str, tuple[Callable[[str], None], BlockTrigger]] = {
            "closed": (register.close, BlockTrigger.REGISTERED),
            "deleted": (register.delete, BlockTrigger.DELETED),
        }

    def prepare(self, items: Sequence[Item[str]]) -> None:
        for item in items:
            if isinstance(item.message, SettleBlock):
                write, _ = self._ways[item.message.status]
                try:
                    write(item.message.block)
                except OSError as error:
                    item.prepared = str(error)
                    log.warning("block_not_settled", block=item.message.block, why=item.prepared)

    def decide(self, item: Item[str]) -> Outcome:
        if not isinstance(item.message, SettleBlock):
            return Reject(f"the DDM does not handle {item.message.msg_type}")
        if item.prepared is not None:
            return Ignore(item.prepared)
        _, trigger = self._ways[item.message.status]
        return MoveBlock(item.message.block, trigger)
