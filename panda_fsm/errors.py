"""The exception tree. Expected results are outcomes (see outcomes.py); an exception means trouble."""

from pydantic import ValidationError


class PandaError(Exception):
    """Something went wrong in panda-fsm."""


class SettingsError(PandaError):
    """A setting is missing or wrong; the message says which and what to do."""


class TransientError(PandaError):
    """An outside system is away for now (connection, serialization, timeout): try again, nothing is decided."""


class TooSlowError(TransientError):
    """The database cancelled a statement that took too long: fewer messages at once may do."""


class HeldError(TransientError):
    """Somebody holds a row for longer than a statement waits: what does not need that row can go on."""


class TooMuchError(PandaError):
    """More was asked for than one answer can hold."""


class SystemicError(TransientError):
    """Nothing can be handled until somebody mends the system (schema, permissions): no message is to blame."""


class LetterError(PandaError):
    """A dead letter cannot be edited or settled so; the message says why."""


class DutyError(PandaError):
    """What is wanted of a duty of the daemon cannot be had; the message says why."""


class PoisonError(PandaError):
    """The message itself can never be handled: undecodable, unknown schema, unknown job."""


class UnreadableError(PoisonError):
    """No message that this program knows; `message_id` where it is one all the same, by its envelope."""

    def __init__(self, reason: str, message_id: str | None) -> None:
        super().__init__(reason)
        self.message_id = message_id


class NewerSchemaError(UnreadableError):
    """The message was written by a newer program: it waits for one that can read it."""


class UnsendableError(PoisonError):
    """The message can never be sent: no broker takes its size or its headers."""


class IllegalTransitionError(PoisonError):
    """The lifecycle table has no such step and does not list it as late or repeated."""


class NotPublishedError(TransientError):
    """The broker did not confirm in time; the message may or may not be there, repeating is safe."""


class ReportError(PandaError):
    """A pilot's output report cannot be read."""


def first_complaint(error: ValidationError) -> tuple[str, str]:
    """Where and what: pydantic's first complaint, by the name the sender used, without the sender's data."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")


def complaint(error: ValidationError) -> str:
    """The same as one sentence."""
    return ": ".join(part for part in first_complaint(error) if part)


def told(error: BaseException) -> str:
    """An error that nobody foresaw, in a line; of one that cannot even be told, what it is."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
