"""Which status queue a task's messages go to: always the same one, and all of them are used."""

from __future__ import annotations

from panda_fsm.status_queues import queue_of_task, status_queues


def test_a_task_has_one_queue_and_all_queues_have_tasks() -> None:
    found = {queue_of_task("lab", task_id, 4) for task_id in range(1, 200)}
    assert found == set(status_queues("lab", 4)) == {f"jedi.status.lab.{k}" for k in range(4)}
    assert queue_of_task("lab", 4711, 4) == "jedi.status.lab.3"


def test_known_to_jedi_by_its_rule() -> None:
    """JEDI may reckon it too: the CRC-32 of the task's decimal digits. It must not change."""
    assert [queue_of_task("lab", task_id, 4)[-1] for task_id in (1, 2, 3, 4)] == ["3", "1", "3", "0"]
