"""A word to a thread that waits for others at the same time: by a file that can be read then."""

import contextlib
import os


class Wake:
    """`file` can be read once it was set, until it is cleared."""

    def __init__(self) -> None:
        self.file, self._to = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        """From any thread, also in a signal handler."""
        with contextlib.suppress(BlockingIOError):  # it has heard it more than often enough
            os.write(self._to, b".")

    def clear(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.file, 4096):
                pass
