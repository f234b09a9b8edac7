"""Shows that this process lives, what it does and what keeps it from that: a line in the log, a row in the database."""

import threading
from pathlib import Path

import structlog

from command import sites
from panda_fsm.errors import PandaError, SettingsError
from panda_fsm.figures import TROUBLE
from panda_fsm.progress import Progress
from panda_fsm.sites import Known
from panda_fsm.trouble import Condition
from panda_fsm.views.signs import SIGN_S
from periodic.wake import Wake
from sql.presence import Presence

log = structlog.get_logger()


class Shown:
    """Condition and work of this process; a thread shows them until `end`, hears whether its queue is paused, and knows
    what is known of queues and sites as soon as somebody has changed it."""

    def __init__(
        self, presence: Presence, queue: str = "", sites_file: Path | None = None, for_pilots: bool = False
    ) -> None:
        """`sites_file` holds until something was imported. `for_pilots`: what only pilots read is known too."""
        self.condition = Condition(self._changed)
        self.progress = Progress(queue)
        self.known = Known()
        self._presence = presence
        self._sites_file = sites_file
        self._for_pilots = for_pilots
        self._wake = Wake()
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

    def wait_until_heard(self, seconds: float) -> bool:
        """Whether it is known by then if the queue is paused, and which queues there are."""
        self._wake.set()
        return self._heard.wait(seconds)

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
                heard = self._presence.show(self.condition.trouble, self.progress.snapshot())
                is_known = self._know(heard.version)
            except PandaError as error:
                log.debug("not_shown", error=str(error))
            except Exception:
                log.exception("not_shown")
            else:
                self._hear(heard.is_paused, is_known)
            self._presence.wait(self._wake.file, SIGN_S)
        try:
            self._presence.end(self.progress.snapshot())
        except PandaError as error:
            log.debug("not_shown", error=str(error))

    def _know(self, version: int | None) -> bool:
        """The database has the last word, once something was imported; until then the sites file has."""
        before = self.known.version
        if version:
            self._presence.follow(self.known, version, self._for_pilots)
            self.condition.note("information", None)
        elif before or not self.known.is_known:
            self.read_file()
        if self.known.version != before:
            log.info("information", version=self.known.version, queues=len(self.known.queues))
        return self.known.is_known

    def read_file(self) -> None:
        """Know what the sites file says. A person can mend what is wrong with it: that is shown until it is right."""
        try:
            self.known.swap(sites.load(self._sites_file))
        except SettingsError as error:
            self.condition.note("information", str(error))
        else:
            self.condition.note("information", None)

    def _hear(self, is_paused: bool, is_known: bool) -> None:
        if is_paused != self.progress.is_paused:
            log.info("paused" if is_paused else "resumed")
            self.progress.pause(is_paused)
            self._wake.set()  # who looks sees it at once
        if is_known:
            self._heard.set()
