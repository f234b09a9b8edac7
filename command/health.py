"""`panda-fsm health`: what an operator must know, judged and shown; the exit code says whether all is well."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from broker.inspection import Depth, depths_of_jedi
from command import terminal
from command.settings import Settings
from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.errors import PandaError
from panda_fsm.views.health import Health, troubles
from panda_fsm.views.signs import ProcessRow
from sql.health import health
from sql.migrate import latest
from sql.required import Required


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
            report.trouble = [one.says for one in troubles(report.found, services)]
    except PandaError as error:
        report.trouble = [str(error)]
    finally:
        required.close()
    return report


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
