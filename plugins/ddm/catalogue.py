"""The catalogue of local storages: they are looked at; one that is not there is unreachable, not empty."""

from collections.abc import Sequence
from pathlib import Path

from panda_fsm.codes import DdmCode
from panda_fsm.plans import Later, Refuse, Replicas, StoredFile
from panda_fsm.sites import Sites
from plugins.ddm.storage import NO_SUCH_NAME, is_reachable, replica_path, roots


class LocalCatalogue:
    """Knows of the storages that have a path on this machine; of others it says nothing."""

    def __init__(self, sites: Sites) -> None:
        self._roots = sorted(roots(sites.storages).items())
        self._verified = {name: root for name, root in self._roots if sites.storages[name].verify}

    def replicas(self, files: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Replicas]:
        """For each (scope, LFN): the storages that hold it, and those that could not be looked at."""
        reachable = [(name, root) for name, root in self._roots if is_reachable(root)]
        away = [name for name, root in self._roots if (name, root) not in reachable]
        return {file: _replicas(file, reachable, away) for file in files}

    def register(self, files: Sequence[StoredFile]) -> dict[StoredFile, Later | Refuse]:
        """A storage is its own register; where that is wanted it is looked whether it has what its pilot says."""
        looked_at = [file for file in files if file.storage in self._verified]
        found = {file: _trouble(file, self._verified[file.storage]) for file in looked_at}
        return {file: trouble for file, trouble in found.items() if trouble is not None}


def _trouble(file: StoredFile, root: Path) -> Later | Refuse | None:
    """What is wrong with a replica, by its size: reading it all would take too long here."""
    if not is_reachable(root):
        return Later(f"nobody can say whether {file.lfn} was stored: {file.storage} cannot be reached")
    path = replica_path(root, file.scope, file.lfn)
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        if error.errno not in NO_SUCH_NAME:
            return Later(f"nobody can say whether {file.lfn} was stored: {file.storage}: {error.strerror or error}")
        size = None
    if size is None:
        return Refuse(f"{file.lfn} is not on {file.storage}, where its pilot stored it", DdmCode.LOCATION)
    if size != file.size:
        return Refuse(f"{file.lfn} has {size} bytes on {file.storage}, not {file.size}", DdmCode.LOCATION)
    return None


def _replicas(file: tuple[str, str], reachable: Sequence[tuple[str, Path]], away: Sequence[str]) -> Replicas:
    holders, unreachable = [], list(away)
    for name, root in reachable:
        try:
            if replica_path(root, *file).is_file():
                holders.append(name)
        except OSError as error:
            if error.errno not in NO_SUCH_NAME:
                unreachable.append(name)
    return Replicas(tuple(holders), tuple(unreachable))
