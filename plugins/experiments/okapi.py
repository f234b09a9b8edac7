"""Okapi, an experiment that does not exist: the living reference of a plugin, with sub blocks named its own way.

One module and one line among the entry points of pyproject.toml are all that an experiment needs.
"""

from typing import ClassVar

from panda_fsm.jobs.names import LETTERS_AND_DIGITS, NameRule
from plugins.experiments.bunches import SubBunch
from plugins.experiments.generic import GenericPlugin


class OkapiPlugin(GenericPlugin):
    """As the generic one, but a block says first where its files were made, and names of files may have a plus."""

    names: ClassVar = NameRule(f"{LETTERS_AND_DIGITS}._+-", 200, "letters, digits, '._+-'", LETTERS_AND_DIGITS)

    def sub_name(self, bunch: SubBunch) -> str:
        return f"okapi.{bunch.queue}.{bunch.task_id}_sub{bunch.number}"
