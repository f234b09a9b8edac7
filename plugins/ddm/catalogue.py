"""The catalogue of local storages: they are looked at; one that is not there is unreachable, not empty."""

import os
import stat
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from panda_fsm.codes import DdmCode
from panda_fsm.outcomes import NewBlock
from panda_fsm.plans import Later, Refuse, Replicas, StoredFile
from panda_fsm.sites import SitesNow
from plugins.ddm.blocks import BlockRegister
from plugins.ddm.storage import NO_SUCH_NAME, Roots, is_reachable, matches, replica_path, replica_place

COMPARE_S = 5.0
"""So long files are read at a time to compare their checksums; what is left has its turn later."""
LARGEST_COMPARED = 2**30
"""Of larger files only the size is compared: to read them would take too long here."""


class LocalCatalogue:
    """Knows of the storages that have a path on this machine; of others it says nothing."""

    def __init__(self, sites: SitesNow) -> None:
        self._roots = Roots(sites)
        self._blocks = BlockRegister(sites)

    def replicas(self, files: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Replicas]:
        """For each (scope, LFN): the storages that hold it, and those that could not be looked at."""
        roots = self._roots.now()
        reachable = [(name, root) for name, root in roots.items() if is_reachable(root)]
        away = [name for name, root in roots.items() if (name, root) not in reachable]
        return {file: _replicas(file, reachable, away) for file in files}

    def register(self, files: Sequence[StoredFile]) -> dict[StoredFile, Later | Refuse]:
        """A storage is its own register; where that is wanted it is looked whether it has what its pilot says."""
        until = time.monotonic() + COMPARE_S
        troubles: dict[StoredFile, Later | Refuse] = {}
        verified = self._roots.verified()
        for number, file in enumerate(one for one in files if one.storage in verified):
            # The first has its turn however slow its storage is, so all have it in the end.
            has_turn = number == 0 or time.monotonic() < until
            trouble = _trouble(file, verified[file.storage], has_turn)
            if trouble is not None:
                troubles[file] = trouble
        members: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for file in files:
            for block in file.blocks if file not in troubles else ():
                members[block].append((file.scope, file.lfn))
        self._blocks.add(members)
        return troubles

    def register_blocks(self, blocks: Mapping[NewBlock, Sequence[tuple[str, str]]]) -> None:
        """Know blocks, and files of theirs."""
        self._blocks.register(blocks)


def _trouble(file: StoredFile, root: Path, has_turn: bool) -> Later | Refuse | None:
    """What is wrong with a replica."""
    if not has_turn:
        return Later(f"{file.lfn} is compared with what its pilot reported when it is its turn")
    if not is_reachable(root):
        return Later(f"nobody can say whether {file.lfn} was stored: {file.storage} cannot be reached")
    path = replica_path(root, file.scope, file.lfn)
    try:
        if not path.is_file():
            return Refuse(f"{file.lfn} is not on {file.storage}, where its pilot stored it", DdmCode.LOCATION)
        if not matches(path, file.size, file.checksum if file.size <= LARGEST_COMPARED else ""):
            return Refuse(f"{file.lfn} on {file.storage} has another size or checksum than reported", DdmCode.LOCATION)
    except OSError as error:
        if error.errno in NO_SUCH_NAME:
            return Refuse(f"{file.lfn} can be on no storage", DdmCode.LOCATION)
        return Later(f"nobody can say whether {file.lfn} was stored: {file.storage}: {error.strerror or error}")
    return None


def _replicas(file: tuple[str, str], reachable: Sequence[tuple[str, Path]], away: Sequence[str]) -> Replicas:
    holders, unreachable = [], list(away)
    place = replica_place(*file)
    for name, root in reachable:
        try:
            # For each input of every job: `Path.is_file` takes several times as long.
            if stat.S_ISREG(os.stat(f"{root}/{place}").st_mode):  # noqa: PTH116
                holders.append(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno not in NO_SUCH_NAME:
                unreachable.append(name)
    return Replicas(tuple(holders), tuple(unreachable))
