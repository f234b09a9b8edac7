"""The delay queues: where a message waits that cannot be handled yet. Engine and topology read them here."""

SECONDS = (1, 10, 60)
"""The delays there are; the n-th retry of a message waits the n-th of them, later ones the last."""


def exchange(seconds: int) -> str:
    """The exchange (and the queue) of a delay: a message published there comes back to the queue its key names."""
    return f"panda.delay.{seconds}"


def after(retries: int) -> int:
    """The delay in seconds of a message that waited that often already."""
    return SECONDS[min(retries, len(SECONDS) - 1)]
