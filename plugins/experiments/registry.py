"""Finds an experiment's plugin by VO through entry points; `generic` serves those that have none."""

from importlib.metadata import entry_points

import structlog

from panda_fsm.errors import SettingsError
from panda_fsm.ports import ExperimentPlugin
from panda_fsm.sites import Sites

log = structlog.get_logger()

GROUP = "panda_fsm.plugins"
DEFAULT = "generic"


class EntryPointRegistry:
    """Plugins are made once per process, with the sites configuration. A plugin that fails to load stops the start."""

    def __init__(self, sites: Sites) -> None:
        self._plugins: dict[str, ExperimentPlugin] = {}
        for entry in entry_points(group=GROUP):
            try:
                self._plugins[entry.name] = entry.load()(sites)
            except Exception as error:
                raise SettingsError(f"plugin {entry.name} ({entry.value}) does not load: {error}") from error
        if DEFAULT not in self._plugins:
            raise SettingsError(f"no plugin called {DEFAULT}: is panda-fsm installed in this environment?")

    def for_vo(self, vo: str) -> ExperimentPlugin:
        """The plugin of `vo`, else the default."""
        return self._plugins.get(vo, self._plugins[DEFAULT])
