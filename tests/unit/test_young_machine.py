"""What is due for the first time is due at once, also on a machine whose clock has hardly begun to count."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.work.sandboxes import Directory
from jedi.reporter import Reporter
from panda_fsm.effects import Outgoing
from panda_fsm.ports import Published
from panda_fsm.statuses import Untold
from panda_fsm.trouble import Condition


@pytest.fixture(autouse=True)
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)


class Broker:
    """Declares, publishes, hands out one window and ends; in which order is what is looked at."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.untold = [Untold(1, "m", "dataset_closed", "lab", 3, None, None, None, "closer", 1.0, {}, None)]
        self.reporter = Reporter(self, self, self, 4, 1, Condition())

    @contextmanager
    def window(self, *_: Any) -> Iterator[Any]:
        yield self

    def declare(self, vo: str) -> None:
        self.did.append(f"declared for {vo}")

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
        self.did.append("published")
        return Published(confirmed=list(messages))

    def told(self, seqs: Sequence[int]) -> None:
        assert list(seqs) == [1]
        self.reporter.end()

    def bury(self, *_: Any) -> None:
        raise AssertionError("nothing is buried")

    def close(self) -> None: ...


def test_a_vo_that_is_met_has_queues_before_its_first_message() -> None:
    broker = Broker()
    broker.reporter.run()
    assert broker.did == ["declared for lab", "published"]


def test_the_first_upload_sweeps_what_the_dead_left(tmp_path: Path) -> None:
    (tmp_path / ".upload-left").write_bytes(b"half")
    with Directory(tmp_path).incoming():
        assert not (tmp_path / ".upload-left").exists()
