"""The catalogue of local storages: they are looked at; one that is not there is unreachable, not empty."""

from collections.abc import Sequence
from pathlib import Path

from panda_fsm.plans import Replicas
from panda_fsm.sites import Sites
from plugins.ddm.storage import NO_SUCH_NAME, is_reachable, replica_path, roots


class LocalCatalogue:
    """Knows of the storages that have a path on this machine; of others it says nothing."""

    def __init__(self, sites: Sites) -> None:
        self._roots = sorted(roots(sites.storages).items())

    def replicas(self, files: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Replicas]:
        """For each (scope, LFN): the storages that hold it, and those that could not be looked at."""
        reachable = [(name, root) for name, root in self._roots if is_reachable(root)]
        away = [name for name, root in self._roots if (name, root) not in reachable]
        return {file: _replicas(file, reachable, away) for file in files}


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
