"""A task held by a message of ours: what JEDI's own request does, asked by anybody that may."""

from __future__ import annotations

from consumers.watcher import Watcher
from panda_fsm.messages import HoldTask
from tests.driver import Database
from tests.gateway_stores import claimed
from tests.inprocess import LIMITS, InProcess, Serve
from tests.waiting_jobs import add_jobs

TASK = 7


def ask(watcher: InProcess, *messages: HoldTask) -> None:
    """And what the Watcher asks itself then."""
    watcher.handle(*messages)
    asked, watcher.outlet.taken = watcher.outlet.messages("throttle") + watcher.outlet.messages("unthrottle"), []
    watcher.handle(*asked)


def test_a_task_is_held_and_let_go_and_an_old_message_holds_nothing_again(
    serve: Serve, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 3), is_jedis=True, task_id=TASK)
    add_jobs(database_url, range(3, 4), is_jedis=True, task_id=8)
    watcher = serve(Watcher(LIMITS))
    hold = HoldTask(task_id=TASK, is_held=True, actor="ana", reason="inputs are wrong")
    ask(watcher, hold)
    assert claimed(database_url, 9) == [3]
    assert database.rows("SELECT task_id, actor FROM held_task") == [(TASK, "ana")]
    assert database.value("SELECT count(*) FROM request") == 0, "what was asked of its jobs is done"
    ask(watcher, HoldTask(task_id=TASK, is_held=False, actor="ana"))
    ask(watcher, hold)
    assert sorted(claimed(database_url, 9)) == [1, 2], "delivered again, it was done before"
    assert database.rows("SELECT * FROM held_task") == []
