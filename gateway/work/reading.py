"""What people read has its own connections and little time: whoever asks for too much is told so."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.http.refusal import RefusalError, TooManyError
from panda_fsm.errors import TooMuchError, TooSlowError


class TooSlowToReadError(RefusalError):
    """It would take longer than reading may."""

    status = 503


@contextmanager
def reading() -> Iterator[None]:
    """Around a read. Raises TooSlowToReadError and TooManyError instead of what the store raises."""
    try:
        yield
    except TooSlowError:
        raise TooSlowToReadError("this takes too long to look up: ask for less at once, or later") from None
    except TooMuchError as error:
        raise TooManyError(f"too much at once: {error}") from None
