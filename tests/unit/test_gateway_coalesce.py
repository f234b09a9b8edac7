"""Requests that come together share one batch, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.work.coalesce import Coalescer, Lanes, Pair
from panda_fsm.errors import TransientError


class Doubler:
    """Answers twice the number; remembers its batches, and waits in each until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def handle(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.go.wait()
        return [ValueError(f"{n} is negative") if n < 0 else 2 * n for n in numbers]

    async def handle_lane(self, key: str, numbers: Sequence[int]) -> Sequence[int | Exception]:
        return await self.handle(numbers)


def test_later_requests_gather_while_a_batch_is_under_way() -> None:
    async def scene() -> None:
        doubler = Doubler()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle, max_batch=4)
        first = asyncio.create_task(coalescer.ask(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        later = [asyncio.create_task(coalescer.ask(n)) for n in range(2, 8)]
        await asyncio.sleep(0)
        assert doubler.batches == [[1]]
        doubler.go.set()
        assert await first == 2
        assert await asyncio.gather(*later) == [4, 6, 8, 10, 12, 14]
        assert doubler.batches == [[1], [2, 3, 4, 5], [6, 7]]
        assert coalescer.is_idle

    asyncio.run(scene())


def test_an_exception_is_its_items_alone() -> None:
    async def scene() -> None:
        doubler = Doubler()
        doubler.go.set()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle)
        answers = await asyncio.gather(*(coalescer.ask(n) for n in (1, -2, 3)), return_exceptions=True)
        assert answers[0] == 2
        assert isinstance(answers[1], ValueError)
        assert answers[2] == 6

    asyncio.run(scene())


def test_a_failed_batch_fails_its_items_and_no_others() -> None:
    async def fail(_numbers: Sequence[int]) -> Sequence[int | Exception]:
        raise OSError("away")

    async def scene() -> None:
        coalescer: Coalescer[int, int] = Coalescer(fail)
        answers = await asyncio.gather(*(coalescer.ask(n) for n in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [OSError] * 3
        with pytest.raises(OSError, match="away"):
            await coalescer.ask(4)

    asyncio.run(scene())


def test_who_has_gone_disturbs_nobody() -> None:
    async def scene() -> None:
        doubler = Doubler()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle)
        tasks = [asyncio.create_task(coalescer.ask(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        doubler.go.set()
        assert await tasks[1] == 4
        assert tasks[0].cancelled()

    asyncio.run(scene())


async def _turns(count: int) -> None:
    """Let everybody else run."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns", [0, 3], ids=["before it began", "in a batch"])
def test_a_cancelled_worker_leaves_nobody_waiting_and_is_followed_by_another(turns: int) -> None:
    async def scene() -> None:
        doubler = Doubler()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle, max_batch=2)
        asked = [asyncio.create_task(coalescer.ask(n)) for n in range(5)]
        await _turns(1)
        await _turns(turns)
        assert coalescer._worker is not None
        coalescer._worker.cancel()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [TransientError] * 5
        doubler.go.set()
        assert await coalescer.ask(7) == 14
        assert coalescer.is_idle

    asyncio.run(scene())


def test_a_cancelled_worker_takes_nobody_along_who_asks_at_that_moment() -> None:
    async def scene() -> None:
        doubler = Doubler()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle)
        first = asyncio.create_task(coalescer.ask(1))
        await _turns(3)
        assert coalescer._worker is not None
        coalescer._worker.cancel()
        doubler.go.set()
        later = asyncio.create_task(coalescer.ask(2))
        answers = await asyncio.gather(first, later, return_exceptions=True)
        assert isinstance(answers[0], TransientError)
        assert answers[1] == 4 or isinstance(answers[1], TransientError)
        assert await coalescer.ask(3) == 6

    asyncio.run(scene())


def test_a_handler_that_answers_too_little_fails_its_batch_only() -> None:
    async def forgetful(numbers: Sequence[int]) -> Sequence[int | Exception]:
        return list(numbers)[1:]

    async def scene() -> None:
        coalescer: Coalescer[int, int] = Coalescer(forgetful)
        for _ in range(2):
            answers = await asyncio.gather(*(coalescer.ask(n) for n in (1, 2)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [RuntimeError] * 2

    asyncio.run(scene())


def test_a_batch_is_bounded_by_weight_but_for_a_single_item() -> None:
    async def scene() -> None:
        doubler = Doubler()
        doubler.go.set()
        coalescer: Coalescer[int, int] = Coalescer(doubler.handle, 100, lambda n: n, 10)
        await asyncio.gather(*(coalescer.ask(n) for n in (4, 6, 1, 50, 3)))
        assert doubler.batches == [[4, 6], [1], [50], [3]]

    asyncio.run(scene())


def test_lanes_run_side_by_side_and_vanish() -> None:
    async def scene() -> None:
        doubler = Doubler()
        lanes: Lanes[str, int, int] = Lanes(doubler.handle_lane)
        tasks = [asyncio.create_task(lanes.ask(key, n)) for key, n in (("a", 1), ("b", 2), ("a", 3))]
        for _ in range(4):
            await asyncio.sleep(0)
        assert sorted(doubler.batches) == [[1, 3], [2]]
        doubler.go.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6]
        assert not lanes._lanes

    asyncio.run(scene())


def test_who_asks_while_a_single_one_is_under_way_goes_beside_it_and_a_crowd_gathers() -> None:
    async def scene() -> None:
        doubler = Doubler()
        pair: Pair[int, int] = Pair(lambda: Coalescer(doubler.handle))
        tasks = []
        for n in (1, 2, 3, 4):
            tasks.append(asyncio.create_task(pair.ask(n)))
            for _ in range(3):
                await asyncio.sleep(0)
        assert doubler.batches == [[1], [2]]
        doubler.go.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
        assert doubler.batches == [[1], [2], [3, 4]]
        assert await asyncio.gather(*(pair.ask(n) for n in (5, 6, 7))) == [10, 12, 14]
        assert doubler.batches[3:] == [[5, 6, 7]]

    asyncio.run(scene())
