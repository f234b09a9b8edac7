"""The local DDM's register of data blocks: one file a block, to which is written what happens to it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from panda_fsm.blocks.table import BlockTrigger
from panda_fsm.errors import TransientError
from panda_fsm.handler import Item, Service
from panda_fsm.messages import SettleBlock
from panda_fsm.outcomes import MoveBlock, NewBlock, Outcome, Reject
from panda_fsm.sites import Sites

Member = tuple[str, str]
"""Scope and LFN of a file."""


class BlockRegister:
    """Lines are only ever added, in one write each time, so several processes may do so at once: one of the block
    itself, one a file of it, one when it is closed. Without a folder nothing is kept.
    """

    def __init__(self, sites: Sites) -> None:
        self._root = Path(sites.block_register) if sites.block_register else None

    def register(self, blocks: Mapping[NewBlock, Sequence[Member]]) -> None:
        """Know blocks and files of theirs."""
        for block, members in blocks.items():
            head = {"name": block.name, "kind": block.kind, "vo": block.vo, "parent": block.parent,
                    "source": block.source, "destination": block.destination}  # fmt: skip
            path = self._path(block.name)
            if path is not None:
                new = [] if path.exists() else [head]
                _write(path, [*new, *({"file": member} for member in members)])

    def add(self, members: Mapping[str, Iterable[Member]]) -> None:
        """Know files of blocks."""
        for name, files in members.items():
            path = self._path(name)
            if path is not None:
                _write(path, [{"file": file} for file in files])

    def close(self, name: str) -> None:
        """No file joins the block any more."""
        path = self._path(name)
        if path is not None and path.exists():
            _write(path, [{"closed": True}])

    def delete(self, name: str) -> None:
        """Forget the block; its files stay where they are."""
        path = self._path(name)
        if path is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise TransientError(f"the register of blocks: {error}") from error

    def _path(self, name: str) -> Path | None:
        """Names may be longer than a file system takes."""
        if self._root is None:
            return None
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._root / digest[:2] / digest[2:]


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    if not lines:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    except OSError as error:
        raise TransientError(f"the register of blocks: {error}") from error


class LocalBlocks(Service[None]):
    """Closes and deletes blocks in the register; a block that is asked about twice is closed already, or gone."""

    name = "ddm.blocks"
    asks_outside = True
    needs_jobs = False

    def __init__(self, sites: Sites) -> None:
        register = BlockRegister(sites)
        self._ways: Mapping[str, tuple[Callable[[str], None], BlockTrigger]] = {
            "closed": (register.close, BlockTrigger.REGISTERED),
            "deleted": (register.delete, BlockTrigger.DELETED),
        }

    def prepare(self, items: Sequence[Item[None]]) -> None:
        for item in items:
            if isinstance(item.message, SettleBlock):
                write, _ = self._ways[item.message.status]
                write(item.message.block)

    def decide(self, item: Item[None]) -> Outcome:
        if not isinstance(item.message, SettleBlock):
            return Reject(f"the DDM does not handle {item.message.msg_type}")
        _, trigger = self._ways[item.message.status]
        return MoveBlock(item.message.block, trigger)
