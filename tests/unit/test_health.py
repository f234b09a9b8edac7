"""How health is judged: who is missed, who was replaced, what is too old."""

from __future__ import annotations

from broker.inspection import Depth
from broker.policies import MOST_MESSAGES
from command.health import troubles_of_jedi
from panda_fsm.views.health import Health, troubles
from panda_fsm.views.signs import ProcessRow


def process(service: str = "closer", pid: int = 1, *, up_s: float = 1000, silent_s: float = 1) -> ProcessRow:
    """A process without trouble."""
    return ProcessRow(service, "here", pid, up_s, silent_s, None, None)


def judged(*processes: ProcessRow) -> list[str]:
    """What is not well with these, where only a closer is needed."""
    return [one.says for one in troubles(Health(processes), ["closer"])]


def test_one_that_shows_itself_is_well() -> None:
    assert judged(process()) == []


def test_nobody_is_missed() -> None:
    assert judged() == ["nobody serves closer"]


def test_one_that_fell_silent_is_named() -> None:
    assert judged(process(silent_s=300)) == ["nobody serves closer", "closer (here, 1) gave no sign for 300 s"]
    assert judged(process(silent_s=300), process(pid=2)) == ["closer (here, 1) gave no sign for 300 s"]


def test_one_that_was_started_in_the_place_of_a_dead_one_is_enough() -> None:
    assert judged(process(silent_s=300), process(pid=2, up_s=299)) == []


def test_one_of_another_host_replaces_nobody() -> None:
    elsewhere = ProcessRow("closer", "there", 2, 10, 1, None, None)
    assert judged(process(silent_s=300), elsewhere) == ["closer (here, 1) gave no sign for 300 s"]


def test_more_than_is_counted_is_said_so() -> None:
    found = Health((process(),), outbox=10_000, oldest_outbox_s=61)
    assert [one.says for one in troubles(found, [])] == ["10000 or more messages in the outbox, the oldest for 61 s"]


def test_a_queue_of_jedi_that_nobody_reads_or_that_overflows_is_told() -> None:
    read, unread = Depth("jedi.status.lab.0", 7, 1), Depth("jedi.status.lab.1", 8, 0)
    full, requests = Depth("jedi.status.lab.2", MOST_MESSAGES, 1), Depth("jedi.requests", 9, 0)
    assert list(troubles_of_jedi([requests, read, Depth("jedi.replies.lab", 0, 0)])) == []
    assert list(troubles_of_jedi([read, unread, full])) == [
        "nobody reads jedi.status.lab.1: 8 messages wait there for JEDI",
        f"jedi.status.lab.2 is full with {MOST_MESSAGES} messages, the oldest are dropped: JEDI has to replay",
    ]
