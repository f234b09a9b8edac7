"""Is it well? What an operator must know of a running system, and the judgement on it, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from panda_fsm.pausing import Pause
from panda_fsm.views.signs import ProcessRow, replaces

_OLD_MESSAGE_S = 60.0
_OLD_TRANSACTION_S = 300.0
_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Health:
    """The processes, and what waits, grew or got stuck."""

    processes: Sequence[ProcessRow] = ()
    outbox: int = 0
    oldest_outbox_s: float = 0.0
    put_off: int = 0
    requests: int = 0
    oldest_request_s: float = 0.0
    dead_letters: int = 0
    quarantined: int = 0
    quarantined_for: str | None = None
    in_default_partitions: Mapping[str, int] = field(default_factory=dict)
    oldest_transaction_s: float = 0.0
    oldest_transaction: str = ""
    pauses: Sequence[Pause] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not well. `about`: what it is about, in a word; `is_bad`: work does not go on because of it."""

    about: str
    says: str
    is_bad: bool = False


def troubles(found: Health, services: Sequence[str]) -> Iterator[Trouble]:
    """What is not well, where `services` are those that somebody must serve."""
    yield from _of_processes(found.processes, services)
    if found.oldest_outbox_s > _OLD_MESSAGE_S:
        says = f"{_count(found.outbox)} messages in the outbox, the oldest for {found.oldest_outbox_s:.0f} s"
        yield Trouble("outbox", says, is_bad=True)
    if found.put_off:
        yield Trouble("outbox", f"{found.put_off} messages cannot be published now")
    if found.requests:
        says = f"{_count(found.requests)} requests are not handled, the oldest for {found.oldest_request_s:.0f} s"
        yield Trouble("requests", says, is_bad=True)
    if found.dead_letters:
        yield Trouble("dead letters", f"{found.dead_letters} dead letters: panda-fsm dead ls --groups")
    if found.quarantined:
        says = f"{found.quarantined} jobs whose appointment cannot be kept: {found.quarantined_for}"
        yield Trouble("appointments", says)
    for table, rows in found.in_default_partitions.items():
        says = f"{_count(rows)} rows in the default partition of {table}: panda-fsm partitions repair"
        yield Trouble("partitions", says)
    if found.oldest_transaction_s > _OLD_TRANSACTION_S:
        says = f"a transaction is open for {found.oldest_transaction_s:.0f} s: {found.oldest_transaction}"
        yield Trouble("transaction", says)


def _of_processes(processes: Sequence[ProcessRow], services: Sequence[str]) -> Iterator[Trouble]:
    alive = [process for process in processes if process.is_alive]
    missing = sorted(set(services) - {process.service for process in alive})
    if missing:
        yield Trouble("service", f"nobody serves {', '.join(missing)}", is_bad=True)
    for process in processes:
        if process not in alive:
            if not any(replaces(one, process) for one in alive):
                yield Trouble("process", f"{process.name} gave no sign for {process.silent_s:.0f} s")
        elif process.trouble is not None:
            says = f"{process.name} for {process.trouble_s or 0:.0f} s: {process.trouble}"
            yield Trouble("process", says, is_bad=True)


def _count(rows: int) -> str:
    return f"{rows}" if rows < _COUNTED else f"{_COUNTED} or more"
