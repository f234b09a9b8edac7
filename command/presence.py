"""Shows that this process lives, what it does and what keeps it from that: a line in the log, a row in the database."""

import threading

import structlog

from panda_fsm.errors import PandaError
from panda_fsm.figures import TROUBLE
from panda_fsm.progress import Progress
from panda_fsm.trouble import Condition
from panda_fsm.views.signs import SIGN_S
from sql.presence import Presence

log = structlog.get_logger()


class Shown:
    """Condition and work of this process; a thread shows them until `end`, and hears whether its queue is paused."""

    def __init__(self, presence: Presence, queue: str = "") -> None:
        self.condition = Condition(self._changed)
        self.progress = Progress(queue)
        self._presence = presence
        self._wake = threading.Event()
        self._heard = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._show, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """The process ends as it should: its row goes."""
        self._ending = True
        self._wake.set()
        self._thread.join(SIGN_S)

    def wait_until_heard(self) -> None:
        """Return once it is known whether the queue is paused; who cannot hear it works."""
        self._wake.set()
        self._heard.wait(SIGN_S)

    def _changed(self, part: str, trouble: str | None) -> None:
        TROUBLE.set(0 if trouble is None else 1, (part,))
        if trouble is None:
            log.info("well_again", part=part)
        else:
            log.error("in_trouble", part=part, trouble=trouble)
        self._wake.set()

    def _show(self) -> None:
        """A database that is away, or too old to have the table, is the trouble of others."""
        while not self._ending:
            self._wake.clear()
            try:
                is_paused = self._presence.show(self.condition.trouble, self.progress.snapshot())
            except PandaError as error:
                log.debug("not_shown", error=str(error))
            except Exception:
                log.exception("not_shown")
            else:
                self._hear(is_paused)
            self._wake.wait(SIGN_S)
        try:
            self._presence.end(self.progress.snapshot())
        except PandaError as error:
            log.debug("not_shown", error=str(error))

    def _hear(self, is_paused: bool) -> None:
        if is_paused != self.progress.is_paused:
            log.info("paused" if is_paused else "resumed")
            self.progress.pause(is_paused)
            self._wake.set()  # who looks sees it at once
        self._heard.set()
