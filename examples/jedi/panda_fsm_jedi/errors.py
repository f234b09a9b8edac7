"""What can go wrong between JEDI and the server."""

from __future__ import annotations


class JediError(Exception):
    """A request did not succeed; the text says which and why."""


class NotAnsweredError(JediError):
    """No answer came in time. The request may have been done: the same `msg_id` again gets the answer it had."""


class RefusedError(JediError):
    """The server answered the whole request with an error, and did nothing of it."""
