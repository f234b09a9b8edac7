"""Okapi, an experiment that does not exist: the living reference of a plugin, with sub blocks named its own way.

One module and one line among the entry points of pyproject.toml are all that an experiment needs.
"""

from plugins.experiments.bunches import SubBunch
from plugins.experiments.generic import GenericPlugin


class OkapiPlugin(GenericPlugin):
    """As the generic one, but a block says first where its files were made."""

    def sub_name(self, bunch: SubBunch) -> str:
        return f"okapi.{bunch.queue}.{bunch.task_id}_sub{bunch.number}"
