"""What a consumer takes next: batches bounded in messages and bytes, suspects last, alone and by lot."""

from __future__ import annotations

import pytest

from broker import buffer
from broker.buffer import Buffer
from panda_fsm.handler import Delivery
from panda_fsm.trouble import ALONE_AFTER

LATER = 1000.0


def held(*deliveries: int, size: int = 3, body: bytes = b"x") -> Buffer:
    """A buffer of messages that were handed out so often before; the tags count from 1."""
    made = Buffer(size)
    for tag, times in enumerate(deliveries, start=1):
        made.add(Delivery(tag, body, "watcher", deliveries=times), 0.0)
    return made


def taken(from_buffer: Buffer, now: float = LATER) -> list[int]:
    """The tags of the next batch."""
    return [one.tag for one in from_buffer.take(now).deliveries]


def test_batches_have_a_size() -> None:
    made = held(0, 0, 0, 0, 2)
    assert [taken(made), taken(made), taken(made)] == [[1, 2, 3], [4, 5], []]


def test_batches_are_bounded_in_bytes_and_one_message_always_goes() -> None:
    made = held(0, 0, 0, body=b"x" * (buffer.BATCH_BYTES // 2 + 1))
    assert [taken(made), taken(made), taken(made)] == [[1], [2], [3]]


def test_suspects_come_last_and_alone() -> None:
    made = held(ALONE_AFTER, 0, ALONE_AFTER, 0, 0)
    assert taken(made, now=2.0) == [2, 4, 5]
    assert sorted([taken(made), taken(made)]) == [[1], [3]]
    assert len(made) == 0


def test_a_suspect_waits_until_nothing_comes() -> None:
    made = held(ALONE_AFTER)
    assert made.wait_s(0.2) == pytest.approx(0.8)
    assert taken(made, now=0.2) == []
    assert made.wait_s(1.1) == 0.0
    assert taken(made, now=1.1) == [1]
    assert made.wait_s(1.1) is None


def test_a_suspect_has_its_turn_where_there_is_no_end_of_others() -> None:
    made = held(ALONE_AFTER, 0)
    made.add(Delivery(3, b"x", "watcher"), 9.0)
    assert taken(made, now=9.0) == [2, 3]
    made.add(Delivery(4, b"x", "watcher"), 10.5)
    assert taken(made, now=10.5) == [1]


def test_the_one_handed_out_least_often_is_the_first_suspect() -> None:
    made = held(ALONE_AFTER + 5, ALONE_AFTER)
    assert taken(made) == [2]


def test_behind_a_killer_all_have_their_turn_before_it_is_buried() -> None:
    """Were the order of suspects always the same, those behind the killer would be buried with it."""
    firsts = {taken(held(*[ALONE_AFTER] * 5))[0] for _ in range(200)}
    assert firsts == {1, 2, 3, 4, 5}


def test_one_acknowledgement_settles_all_where_nothing_older_is_held() -> None:
    assert held(0, 0, ALONE_AFTER).take(0.0).is_oldest
    assert not held(ALONE_AFTER, 0).take(0.0).is_oldest
    made = held(0, ALONE_AFTER)
    made.take(0.0)
    made.add(Delivery(3, b"x", "watcher"), 0.0)
    assert made.take(LATER).is_oldest  # the suspect: older than what is held
    assert made.take(LATER).is_oldest


@pytest.mark.parametrize("times", [0, ALONE_AFTER])
def test_the_worker_is_woken_by_the_first_and_by_a_full_batch(times: int) -> None:
    made = Buffer(2)
    assert made.add(Delivery(1, b"x", "watcher", deliveries=times), 0.0)
    assert not made.add(Delivery(2, b"x", "watcher", deliveries=ALONE_AFTER), 0.0)
    made.clear()
    assert made.wait_s(0.0) is None
