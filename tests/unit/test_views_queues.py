"""The judgement on queues and processes: what is said of which, and what comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from command.compose import QUEUES
from panda_fsm.bindings import jedi_bindings
from panda_fsm.pausing import NEVER, Pause
from panda_fsm.views.queues import (
    PURPOSES,
    Looked,
    QueueNow,
    Sample,
    drain_s,
    judge,
    queue_now,
    rates,
    reader_of,
    watched,
    worst_first,
)
from panda_fsm.views.workers import WorkerNow, standing_of, workers

NOW = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
WORKER = WorkerNow("adder", "here", 1, up_s=3600, silent_s=1, queue="adder", program="1")
SAMPLE = Sample(NOW, 0, 1, 100)
WAITING = Sample(NOW, 10, 1, 100, oldest_at=NOW - timedelta(seconds=1))
PAUSE = Pause("queue", "adder", "ana", "storage is down", NOW)


def old(seconds: float, ready: int = 10, consumers: int = 1) -> Sample:
    """A sample whose oldest message is that old."""
    return Sample(NOW, ready, consumers, 100, oldest_at=NOW - timedelta(seconds=seconds))


JUDGED: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "idle": ({"newest": SAMPLE}, ("ok", "empty")),
    "busy": ({"newest": WAITING}, ("ok", "flows")),
    "never seen": ({"newest": None}, ("warn", "not looked at")),
    "not seen of late": ({"newest": replace(WAITING, at=NOW - timedelta(minutes=1))}, ("warn", "old figures")),
    "missing": ({"newest": Sample(NOW, None, 0)}, ("bad", "missing")),
    "without processes": ({"newest": WAITING, "workers": []}, ("bad", "nobody serves it")),
    "all silent": ({"newest": WAITING, "workers": [replace(WORKER, silent_s=60)]}, ("bad", "nobody serves it")),
    "one silent": ({"newest": WAITING, "workers": [WORKER, replace(WORKER, pid=2, silent_s=60)]}, ("warn", "1 silent")),
    "none takes": ({"newest": replace(WAITING, consumers=0)}, ("bad", "no consumer")),
    "none need take": ({"newest": replace(SAMPLE, consumers=0)}, ("ok", "empty")),
    "all stuck": ({"newest": WAITING, "workers": [replace(WORKER, in_hand=5, in_hand_s=200)]}, ("bad", "stuck")),
    "one stuck": (
        {"newest": WAITING, "workers": [WORKER, replace(WORKER, pid=2, in_hand=5, in_hand_s=200)]}, ("warn", "stuck"),
    ),
    "in trouble": ({"newest": WAITING, "workers": [replace(WORKER, trouble="x: away")]}, ("bad", "in trouble")),
    "an old message": ({"newest": old(61)}, ("warn", "old messages")),
    "too old a message": ({"newest": old(301)}, ("bad", "old messages")),
    "growing": ({"newest": old(1, 1300), "minutes_ago": replace(WAITING, ready=1000)}, ("warn", "growing")),
    "as many as before": ({"newest": old(1, 1100), "minutes_ago": replace(WAITING, ready=1000)}, ("ok", "flows")),
    "paused": ({"newest": old(900), "workers": [], "pause": PAUSE}, ("warn", "paused")),
    "delays": ({"name": "panda.delay", "newest": old(900, consumers=0), "workers": []}, ("ok", "flows")),
    "unread by JEDI": (
        {"name": "jedi.status.vo.0", "newest": old(900, consumers=0), "workers": []}, ("warn", "nobody reads"),
    ),
    "read late by JEDI": ({"name": "jedi.status.vo.0", "newest": old(900), "workers": []}, ("warn", "old messages")),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGED)
def test_the_worst_is_said(case: str) -> None:
    seen, (level, word) = JUDGED[case]
    usual: dict[str, Any] = {"name": "adder", "now": NOW, "workers": [WORKER]}
    verdict = judge(Looked(**usual | seen))
    assert (verdict.level, verdict.word) == (level, word)
    assert verdict.says or level == "ok", "what is wrong is said in a sentence"


def test_who_paused_it_and_why_is_said() -> None:
    pause = replace(PAUSE, until=NOW + timedelta(hours=2))
    verdict = judge(Looked("adder", NOW, WAITING, pause=pause))
    assert verdict.says == (
        "Queue adder is paused by ana since 2026-11-26 14:00 UTC, until 2026-11-26 16:00 UTC: storage is down"
    )


def test_a_queue_in_numbers() -> None:
    before = Sample(NOW - timedelta(seconds=60), 700, 2, 400)
    newest = Sample(NOW, 100, 2, 1600, 3, 4, NOW - timedelta(seconds=20))
    hands = [replace(WORKER, in_hand=5, in_hand_s=2.0), replace(WORKER, pid=2, in_hand=7, in_hand_s=9.0)]
    found = queue_now(Looked("adder", NOW, newest, before, None, [*hands, replace(WORKER, pid=3, silent_s=99)]))
    assert (found.in_per_s, found.out_per_s, found.drain_s, found.oldest_s) == (10, 20, 10, 20)
    assert (found.alive, found.known, found.in_hand, found.in_hand_s) == (2, 3, 12, 9.0)
    assert (found.buried, found.put_off, found.as_of) == (3, 4, NOW)


def test_rates_are_not_guessed() -> None:
    assert rates(None, WAITING) == (None, None)
    assert rates(replace(WAITING, handled=None), replace(WAITING, at=NOW + timedelta(seconds=60))) == (None, None)
    late = replace(WAITING, at=NOW + timedelta(seconds=60), ready=0)
    assert rates(WAITING, late) == (0.0, 0.0), "what was handled is told a little late"
    assert drain_s(10, 5.0, 5.0) is None
    assert drain_s(0, 0.0, 5.0) is None


def test_every_queue_is_watched_and_says_what_it_is_for() -> None:
    found = {one.name: one for one in watched(jedi_bindings(["vo"], 2))}
    assert {name for name, one in found.items() if one.reader == "service"} == set(QUEUES)
    assert {name for name, one in found.items() if one.reader != "jedi"} == set(PURPOSES)
    assert all(reader_of(name) == one.reader for name, one in found.items())
    assert NEVER in QUEUES


def test_what_needs_somebody_comes_first() -> None:
    def queue(name: str, newest: Sample) -> QueueNow:
        return queue_now(Looked(name, NOW, newest, workers=[WORKER]))

    names = [queue("setupper", SAMPLE), queue("closer", old(61)), queue("watcher", old(301)), queue("adder", SAMPLE)]
    assert [one.name for one in worst_first(names)] == ["watcher", "closer", "adder", "setupper"]


STANDING: dict[str, dict[str, Any]] = {
    "alive": {}, "paused": {"is_paused": True}, "in trouble": {"trouble": "x", "is_paused": True},
    "stuck": {"in_hand": 1, "in_hand_s": 121.0, "trouble": "x"}, "silent": {"silent_s": 21.0, "in_hand_s": 300.0},
}  # fmt: skip


@pytest.mark.parametrize("standing", STANDING)
def test_how_a_process_does(standing: str) -> None:
    assert standing_of(replace(WORKER, **STANDING[standing])) == standing


def test_a_silent_process_is_shown_unless_another_took_its_place() -> None:
    gone = replace(WORKER, pid=2, silent_s=600, standing="silent", program="0")
    found = workers([WORKER, gone], ["adder", "closer"])
    assert found.rows == (gone, WORKER)
    assert (found.missing, found.programs, found.is_well) == (("closer",), ("1",), False)
    found = workers([replace(WORKER, up_s=60), gone], ["adder"])
    assert [one.pid for one in found.rows] == [1]
    assert found.is_well
