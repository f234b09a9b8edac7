"""`panda-fsm health`: what an operator must know, judged and shown; the exit code says whether all is well."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from broker.inspection import Depth, depths_of_jedi
from command import terminal
from command.presence import SIGN_S
from command.settings import Settings
from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.errors import PandaError
from sql.health import Health, ProcessRow, health
from sql.migrate import latest
from sql.required import Required

_SILENT_S = 4 * SIGN_S
_OLD_MESSAGE_S = 60.0
_OLD_TRANSACTION_S = 300.0
_COUNTED = 10_000


@dataclass(slots=True)
class Report:
    """The schema, what was found, and in sentences what is not well."""

    schema: str | None = None
    found: Health = field(default_factory=Health)
    jedi: list[Depth] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def look(config: Settings, services: Sequence[str]) -> Report:
    """Look once; `services` are those that somebody must serve."""
    report = _look_at_database(config.database_url, services)
    try:
        report.jedi = depths_of_jedi(config.broker_url, config.further())
        report.trouble += troubles_of_jedi(report.jedi)
    except PandaError as error:
        report.trouble.append(str(error))
    return report


def _look_at_database(database_url: str, services: Sequence[str]) -> Report:
    report = Report()
    required = Required(database_url)
    try:
        report.schema = required.version()
        missing = required.missing()
        if missing:
            report.trouble = [missing]
        else:
            report.found = health(database_url)
            report.trouble = list(troubles(report.found, services))
    except PandaError as error:
        report.trouble = [str(error)]
    finally:
        required.close()
    return report


def troubles(found: Health, services: Sequence[str]) -> Iterator[str]:
    """What is not well."""
    alive = [process for process in found.processes if process.silent_s <= _SILENT_S]
    missing = sorted(set(services) - {process.service for process in alive})
    if missing:
        yield f"nobody serves {', '.join(missing)}"
    for process in found.processes:
        if process not in alive:
            if not any(_replaces(one, process) for one in alive):
                yield f"{_name(process)} gave no sign for {process.silent_s:.0f} s"
        elif process.trouble is not None:
            yield f"{_name(process)} for {process.trouble_s or 0:.0f} s: {process.trouble}"
    if found.oldest_outbox_s > _OLD_MESSAGE_S:
        yield f"{_count(found.outbox)} messages in the outbox, the oldest for {found.oldest_outbox_s:.0f} s"
    if found.put_off:
        yield f"{found.put_off} messages cannot be published now"
    if found.requests:
        yield f"{_count(found.requests)} requests are not handled, the oldest for {found.oldest_request_s:.0f} s"
    if found.dead_letters:
        yield f"{found.dead_letters} dead letters: panda-fsm dead ls --groups"
    if found.quarantined:
        yield f"{found.quarantined} jobs whose appointment cannot be kept: {found.quarantined_for}"
    for table, rows in found.in_default_partitions.items():
        yield f"{_count(rows)} rows in the default partition of {table}: panda-fsm partitions repair"
    if found.oldest_transaction_s > _OLD_TRANSACTION_S:
        yield f"a transaction is open for {found.oldest_transaction_s:.0f} s: {found.oldest_transaction}"


def troubles_of_jedi(depths: Sequence[Depth]) -> Iterator[str]:
    """What is not well with the queues that JEDI reads."""
    read = [one for one in depths if one.queue != JEDI_REQUESTS]
    unread = [one for one in read if one.messages and not one.consumers]
    if unread:
        waiting = sum(one.messages for one in unread)
        yield f"nobody reads {', '.join(one.queue for one in unread)}: {waiting} messages wait there for JEDI"
    for one in read:
        if one.is_full:
            yield f"{one.queue} is full with {one.messages} messages, the oldest are dropped: JEDI has to replay"


def as_json(report: Report) -> dict[str, Any]:
    """All of it, for JSON."""
    content = {"well": not report.trouble, "trouble": report.trouble, "schema": report.schema}
    jedi = [asdict(one) for one in report.jedi]
    return content | {"needed_schema": latest(), "jedi": jedi} | asdict(report.found)


def show(report: Report) -> None:
    """For people: the processes, the figures, and last what is not well."""
    if report.found.processes:
        columns = ("service", "host", "pid", "up s", "sign s", "trouble")
        terminal.show(columns, (_process(one) for one in report.found.processes))
    terminal.say(f"schema {report.schema or 'none'}, needed {latest()}")
    terminal.say(figures(report))
    if report.jedi:
        waiting = (f"{one.queue} {one.messages}, read by {one.consumers}" for one in report.jedi)
        terminal.say(f"JEDI's queues: {'; '.join(waiting)}")
    for pause in report.found.pauses:
        terminal.say(f"paused: {pause.sentence()}", "yellow")
    say_troubles(report.trouble)


def figures(report: Report) -> str:
    """What piles up when something is not well."""
    found = report.found
    return (
        f"outbox {found.outbox}, oldest {found.oldest_outbox_s:.0f} s; requests older than a minute {found.requests};"
        f" dead letters {found.dead_letters}; oldest transaction {found.oldest_transaction_s:.0f} s"
    )


def say_troubles(sentences: Sequence[str]) -> None:
    """What is not well, or that all is."""
    for sentence in sentences:
        terminal.say(f"trouble: {sentence}", "red")
    if not sentences:
        terminal.say("all is well", "green")


def _process(one: ProcessRow) -> tuple[object, ...]:
    return one.service, one.host, one.pid, round(one.up_s), round(one.silent_s), one.trouble


def _replaces(one: ProcessRow, process: ProcessRow) -> bool:
    """Whether it was started after the other one fell silent: whoever killed that one, somebody saw to it."""
    return (one.service, one.host) == (process.service, process.host) and one.up_s < process.silent_s


def _name(process: ProcessRow) -> str:
    return f"{process.service} ({process.host}, {process.pid})"


def _count(rows: int) -> str:
    return f"{rows}" if rows < _COUNTED else f"{_COUNTED} or more"
