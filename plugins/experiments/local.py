"""Local, the experiment of jobs whose destination is `local`, whatever their VO: what they make stays where it is."""

from plugins.experiments.generic import GenericPlugin


class LocalPlugin(GenericPlugin):
    """As the generic one. It has a name of its own so that an installation may put another one in its place."""
