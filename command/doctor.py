"""`panda-fsm doctor`: is everything as it must be, seen from here? Each thing says what to do about it."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import typer

from command import sites, terminal, tracing
from command.settings import Settings, settings
from command.terminal import AsJson
from panda_fsm.errors import PandaError, SettingsError, TransientError
from panda_fsm.sites import Sites
from panda_fsm.views import words

_SKEW_S = 2.0
_LEAST_FREE, _LEAST_SHARE = 2 * 1024**3, 0.05


class Verdict(StrEnum):
    """What was found; unknown: it could not be looked at."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and in a sentence how it is or what to do."""

    what: str
    verdict: Verdict
    said: str


def doctor(as_json: AsJson = False) -> None:
    """Look at settings, sites, disk, database, broker and services; exit code 1: something is wrong, 2: unknown."""
    found = list(examine())
    if as_json:
        terminal.say_json([asdict(one) for one in found])
    else:
        terminal.show(("", "what", "how it is"), ([one.verdict.value, one.what, one.said] for one in found))
    verdicts = {one.verdict for one in found}
    raise typer.Exit(1 if Verdict.WRONG in verdicts else 2 if Verdict.UNKNOWN in verdicts else 0)


def examine() -> Iterator[Finding]:
    """All that can be looked at. Without settings nothing can."""
    try:
        config = settings()
    except SettingsError as error:
        yield Finding("settings", Verdict.WRONG, str(error))
        return
    yield Finding("settings", Verdict.OK, "all can be read")
    for what, look in _LOOKS.items():
        try:
            wrong = False
            for sentence in look(config):
                wrong = True
                yield Finding(what, Verdict.WRONG, sentence)
            if not wrong:
                yield Finding(what, Verdict.OK, _WELL[what])
        except TransientError as error:
            yield Finding(what, Verdict.UNKNOWN, str(error))
        except PandaError as error:
            yield Finding(what, Verdict.WRONG, str(error))


def _sites(config: Settings) -> Iterator[str]:
    if config.sites_file is None:
        if config.cric_queues_url is None:
            yield (
                "neither PANDA_FSM_SITES_FILE nor PANDA_FSM_CRIC_QUEUES_URL is set: no job is taken unless queues were"
                " imported by hand"
            )
        return
    read = sites.read(config.sites_file)
    yield from sites.complaints(read)
    known = Sites.of(read.facts)
    if not known.queues and not read.rejected and config.cric_queues_url is None:
        yield f"{config.sites_file} names no queues: no job is taken"
    for name, storage in known.storages.items():
        if storage.path is not None and not Path(storage.path).is_dir():
            yield f"storage {name}: {storage.path} is no directory here; is it mounted?"


def _tracing(config: Settings) -> Iterator[str]:
    with tracing.to(config.otlp_endpoint, "doctor"):
        yield from ()


def _disk(config: Settings) -> Iterator[str]:
    place = config.cache_dir.absolute()
    while not place.exists():  # it is made when the first sandbox comes
        place = place.parent
    if not place.is_dir():
        yield f"PANDA_FSM_CACHE_DIR={config.cache_dir}: {place} is no directory, so no sandbox can be kept there"
        return
    usage = shutil.disk_usage(place)
    if usage.free < _LEAST_FREE or usage.free < usage.total * _LEAST_SHARE:
        yield f"only {words.size(usage.free)} are free at {place}: uploads of sandboxes will fail"


def _schema(config: Settings) -> Iterator[str]:
    from sql.required import Required

    required = Required(config.database_url)
    try:
        if missing := required.missing():
            yield missing
    finally:
        required.close()


def _clock(config: Settings) -> Iterator[str]:
    from sql.health import now

    before = time.time()
    there = now(config.database_url)
    here = (before + time.time()) / 2
    skew_s = there.timestamp() - here
    if abs(skew_s) > _SKEW_S:
        way = "behind" if skew_s > 0 else "ahead of"
        yield f"this machine's clock is {words.duration(abs(skew_s))} {way} the database's: set it by NTP"


def _partitions(config: Settings) -> Iterator[str]:
    from sql.partitions import partitions

    found = partitions(config.database_url)
    for one in found:
        if one.is_default and one.rows:
            yield f"{one.parent} has rows in its default partition: panda-fsm partitions repair"
    names = {one.name for one in found}
    for parent in sorted({one.parent for one in found}):
        for month in _months():
            if f"{parent}_{month:%Y_%m}" not in names:
                yield f"{parent} has no partition of {month:%Y-%m}: does the daemon run?"


def _services(config: Settings) -> Iterator[str]:
    from command.compose import NAMES
    from panda_fsm.views.health import troubles
    from sql.health import health

    yield from (one.says for one in troubles(health(config.database_url), NAMES))


def _broker(config: Settings) -> Iterator[str]:
    from broker.alarms import blocked_because

    if (reason := blocked_because(config.broker_url)) is not None:
        yield f"the broker takes no messages ({reason}): give it memory or disk; what is committed waits meanwhile"


def _topology(config: Settings) -> Iterator[str]:
    from broker.upgrade import check
    from sql.broker_bindings import retired

    yield from check(config.broker_url, retired(config.database_url), config.further())


def _months() -> tuple[datetime, datetime]:
    """The present month, and the next: what is missing there is missed soon."""
    this = datetime.now(UTC).replace(day=1)
    return this, this + timedelta(days=32)


_LOOKS: dict[str, Callable[[Settings], Iterator[str]]] = {
    "sites file": _sites, "cache directory": _disk, "database": _schema, "clock": _clock, "partitions": _partitions,
    "tracing": _tracing, "services": _services, "broker": _broker, "topology": _topology,
}  # fmt: skip
_WELL = {
    "sites file": "it can be read, and its storages are here",
    "cache directory": "there is room",
    "database": "it is reached, its schema is the one that is needed",
    "clock": f"no more than {_SKEW_S:g} s from the database's",
    "partitions": "there are some for the months to come",
    "tracing": "off, or what it needs is installed",
    "services": "all are served, and nothing is stuck",
    "broker": "it is reached, and takes messages",
    "topology": "exchanges, queues and bindings are as they should be",
}
