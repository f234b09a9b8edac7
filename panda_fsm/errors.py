"""The exception tree. Expected results are outcomes (see outcomes.py); an exception means trouble."""


class PandaError(Exception):
    """Something went wrong in panda-fsm."""


class SettingsError(PandaError):
    """A setting is missing or wrong; the message says which and what to do."""


class TransientError(PandaError):
    """An outside system is away for now (connection, serialization, timeout): try again, nothing is decided."""


class TooSlowError(TransientError):
    """The database cancelled a statement that took too long: fewer messages at once may do."""


class PoisonError(PandaError):
    """The message itself can never be handled: undecodable, unknown schema, unknown job."""


class IllegalTransitionError(PoisonError):
    """The lifecycle table has no such step and does not list it as late or repeated."""


class NotPublishedError(TransientError):
    """The broker did not confirm in time; the message may or may not be there, repeating is safe."""


class ReportError(PandaError):
    """A pilot's output report cannot be read."""
