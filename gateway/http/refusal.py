"""Refusals: what a caller did wrong, in one sentence, before anything was stored."""

import re

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class RefusalError(Exception):
    """The request cannot be accepted; `status` is the HTTP status for callers that read it."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def kind(self) -> str:
        """What was wrong, of the few things that can be: for counting."""
        return _WORDS.sub("_", type(self).__name__.removesuffix("Error")).lower()


class UndecodableError(RefusalError):
    """The body cannot be read at all, so not even a pilot's convention can say anything about its content."""


class TooLargeError(UndecodableError):
    """More than the server takes; counted while reading, not as announced."""

    status = 413


class TooMuchNowError(UndecodableError):
    """Not too large, but more than can be held beside what is held already."""

    status = 429


class TooManyError(RefusalError):
    """More items than one request may carry. Refused, never cut silently."""

    status = 413


class UnauthenticatedError(RefusalError):
    """Who asks is not known, or what was shown is not valid."""

    status = 401


class ForbiddenError(RefusalError):
    """Who asks is known, and may not."""

    status = 403


class InternalError(RefusalError):
    """A fault of ours: what is asked may be right; its number is in the log."""

    status = 500


class NotFoundError(RefusalError):
    """There is no such thing."""

    status = 404
