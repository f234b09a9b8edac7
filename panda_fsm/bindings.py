"""The one source of bindings: which keys each queue must receive, and of which exchange, from steps and commands."""

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from panda_fsm import delays
from panda_fsm.answers import REPLY_QUEUES
from panda_fsm.blocks.table import BLOCK
from panda_fsm.jobs.commands import COMMANDS
from panda_fsm.jobs.table import JOB
from panda_fsm.messages.envelope import EVENTS, REQUESTS
from panda_fsm.status_queues import STATUS, replies_queue, status_queues

GATEWAY = "gateway"
"""It claims jobs in the database and consumes no queue."""
SUBMISSIONS = "setupper.submissions"
LARGE = "watcher.large"
_APART = {
    ("setupper", "submit"): SUBMISSIONS,
    ("watcher", "throttle"): LARGE,
    ("watcher", "unthrottle"): LARGE,
}
"""What weighs as much as hundreds of others has a queue of its own, of which few are held at a time: submissions are up
to 1 MB each, and what is wanted of a task is about up to 1,000 jobs."""
DEAD = "panda.dead"
"""Where the broker sends what it gave up on."""
DEAD_LETTERS = "dead_letters"
JEDI_REQUESTS = "jedi.requests"
"""Exchange and queue of what JEDI asks for. It writes to the exchange: who may write to the default one may write into
every queue."""
PAUSES = (LARGE, "pause")
"""Who hears what operators pause and resume. It is no queue of its own: nobody would serve it most of the time."""
HOLDS = (LARGE, "hold")
"""Who hears that a task is to be held or to go on: who throttles its jobs."""
FOREIGN = frozenset({JEDI_REQUESTS})
"""Queues of messages that are not of our making: their services read them in their own way."""
EVERYTHING = "#"
_FACTS = ("job.", "block.")


class Binding(NamedTuple):
    """What is published with this key to this exchange goes to this queue."""

    queue: str
    exchange: str
    routing_key: str


Further = frozenset[Binding]
"""Those of an installation, beyond the table: of JEDI's queues for its VOs."""


def bindings() -> dict[str, frozenset[str]]:
    """Routing keys by queue."""
    of_commands = ((one.by, key) for one in COMMANDS for key in one.on)
    pairs = [*JOB.bindings(), *BLOCK.bindings(), *of_commands, PAUSES, HOLDS]
    keys: dict[str, set[str]] = defaultdict(set)
    for service, key in pairs:
        if service != GATEWAY:
            keys[_APART.get((service, key), service)].add(key)
    return {queue: frozenset(found) for queue, found in keys.items()}


def exchange_of(key: str) -> str:
    """Facts are events, everything else is a request."""
    return EVENTS if key.startswith(_FACTS) else REQUESTS


@lru_cache(maxsize=1)
def all_bindings() -> frozenset[Binding]:
    """Every binding that the broker must have; the queues are those named here."""
    waiting = (delays.exchange(seconds) for seconds in delays.SECONDS)
    return frozenset(
        [
            *(Binding(queue, exchange_of(key), key) for queue, keys in bindings().items() for key in keys),
            *(Binding(name, name, EVERYTHING) for name in waiting),
            Binding(DEAD_LETTERS, DEAD, EVERYTHING),
            Binding(JEDI_REQUESTS, JEDI_REQUESTS, EVERYTHING),
        ]
    )


def jedi_bindings(vos: Iterable[str], shards: int) -> Further:
    """What the broker must have for the JEDI of these VOs: its queues, each of which the sender names by its name."""
    found: set[Binding] = set()
    for vo in vos:
        found |= {Binding(name, name, EVERYTHING) for name in status_queues(vo, shards)}
        found.add(Binding(replies_queue(vo), STATUS, replies_queue(vo)))
    return frozenset(found)


@lru_cache(maxsize=1)
def _awaited() -> frozenset[tuple[str, str]]:
    return frozenset((one.exchange, one.routing_key) for one in all_bindings())


def must_route(exchange: str, key: str) -> bool:
    """Whether a message that finds no queue is in trouble: all but the facts that none of ours waits for, and answers
    in the queues of those who asked, which may have gone."""
    if exchange == "":
        return not key.startswith(REPLY_QUEUES)
    return exchange != EVENTS or (exchange, key) in _awaited()
