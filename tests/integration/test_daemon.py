"""The daemon's guarantees, on real processes and a real database: what its duties left there is looked at."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from panda_fsm.errors import DutyError
from sql.daemon_wishes import DaemonWishes
from tests.daemons import Daemons, duty, kill
from tests.driver import Database
from tests.living import is_alive
from tests.polling import wait_until
from tests.typed import Run

LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7237128 AND granted ORDER BY pid"


@pytest.fixture
def daemons(database_url: str, run_dir: Path, database: Database) -> Iterator[Daemons]:
    """Daemons whose duties play."""
    found = Daemons(database_url, run_dir, database)
    yield found
    found.close()
    print(found.log())


def test_two_daemons_of_a_machine_share_it_and_each_keeps_its_workers(daemons: Daemons) -> None:
    """An endless duty, a slow one, one by cron and one of several slices: all have their turn."""
    duties = [
        duty("endless", "endless"), duty("slow", "for:0.3", 0.05), duty("short", "for:0.02", 0.05),
        duty("three", "three"), duty("ticks", "for:0", "* * * * * *"), duty("fails", "fails"),
    ]  # fmt: skip
    for _ in range(2):
        daemons.start("here", 2, *duties)
    names = ("short", "three", "ticks", "slow")
    wait_until(lambda: min(map(daemons.runs, names)) >= 3 and daemons.runs("endless") >= 30, "runs of all")
    assert daemons.overlaps() == []
    assert daemons.most_at_once() <= 4
    assert len(daemons.workers()) == 4, "they are kept"
    assert daemons.begun("fails") < 20, "ever later"


def test_what_is_alone_is_done_by_one_of_all_machines(daemons: Daemons, database: Database) -> None:
    for host in ("a", "b"):
        daemons.start(host, 2, duty("alone", "for:0.05", 0.05, alone=True), duty("each", "for:0.05", 0.05))
    hosts = "SELECT count(DISTINCT host) FROM played WHERE name = %s"

    def are_on_both() -> bool:
        return all(database.value(hosts, (name,)) == 2 for name in ("alone", "each"))

    wait_until(lambda: are_on_both() and daemons.runs("alone") > 20, "runs on both")
    assert daemons.overlaps("alone") == []


def test_a_lock_lives_as_long_as_its_run(daemons: Daemons, database: Database, database_url: str) -> None:
    """A worker is killed while the database keeps its run waiting: the lock goes with it, so the next one can run."""
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(1)")
        master = daemons.start("here", 1, duty("held", "blocked", alone=True))
        (locked,) = wait_until(lambda: database.rows(LOCKS), "the lock")
        (worker,) = daemons.workers()
        kill([worker])
        wait_until(lambda: (found := database.rows(LOCKS)) and found != [locked], "the lock of another run")
        wait_until(lambda: daemons.begun("held") == 2, "it begins")
        (successor, _) = daemons.workers()
        master.kill()
        wait_until(lambda: not is_alive(successor), "the worker ends with its master")
        wait_until(lambda: database.rows(LOCKS) == [], "nobody has the lock")
        daemons.start("here", 1, duty("held", "blocked", alone=True))
        wait_until(lambda: database.rows(LOCKS), "the next daemon has it")
    wait_until(lambda: daemons.runs("held"), "a run that ended")
    wait_until(lambda: [how for how, _ in daemons.outcomes("held")][:1] == ["its process died"], "it is written down")


def test_a_run_over_its_limit_is_ended_and_no_other_is_disturbed(
    daemons: Daemons, database: Database, database_url: str
) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(1)")
        daemons.start(
            "here", 3, duty("blocked", "blocked", limit_s=0.4), duty("dies", "dies"), duty("good", "for:0.01")
        )
        for name, outcome in (("blocked", "ended over its limit"), ("dies", "its process died")):
            wait_until(partial(daemons.outcomes, name), f"{name} is written down")
            assert {how for how, _ in daemons.outcomes(name)} == {outcome}
        known = daemons.runs("good")
        wait_until(lambda: daemons.runs("good") > known + 5, "the others go on")
        wait_until(lambda: daemons.begun("blocked") > 1, "it is tried again")
    assert daemons.outcomes("blocked")[0][1] == "was ended: a slice took longer than its limit of 400 ms"
    assert '"event": "duty_over_limit"' in daemons.log()
    assert "blocked: was ended" in daemons.log(), "it is trouble of the process"
    assert daemons.overlaps() == []


def test_who_is_told_to_end_finishes_the_slices_in_hand(daemons: Daemons, database: Database) -> None:
    master = daemons.start("here", 2, duty("long", "for:1", 5), duty("endless", "endless"))
    wait_until(lambda: daemons.begun("long") == 1 and daemons.runs("endless"), "both at work")
    master.send_signal(signal.SIGTERM)
    assert master.wait(30) == 0
    assert database.value("SELECT count(*) FROM played WHERE ended_at IS NULL") == 0
    assert not any(map(is_alive, daemons.workers()))
    assert database.value("SELECT count(*) FROM daemon_duty WHERE last_outcome = 'done'") == 2, (
        "written down at the end"
    )


def test_killed_at_random_two_machines_keep_every_guarantee(daemons: Daemons, database: Database) -> None:
    """An hour of periods of 3 to 18 s, sixty times as fast. Masters and workers are killed, and come back."""
    chance = random.Random(10)  # always the same play
    duties = [
        duty("a", "for:0.02", 0.05, alone=True), duty("b", "for:0.1", 0.2, alone=True), duty("c", "for:0.05", 0.1),
        duty("endless", "endless", 0.3, alone=True), duty("three", "three", 0.3, alone=True),
        duty("over", "for:9", 0.3, limit_s=0.3),
    ]  # fmt: skip
    masters = {host: daemons.start(host, 3, *duties) for host in ("one", "two")}
    names = ("a", "b", "c", "endless", "three")
    wait_until(lambda: min(map(daemons.runs, names)) > 0, "runs of all")
    for _ in range(8):
        known = {name: daemons.runs(name) for name in names}
        host = chance.choice(sorted(masters))
        if chance.random() < 0.4:
            masters[host].kill()
            masters[host] = daemons.start(host, 3, *duties)
        else:
            kill(chance.sample(daemons.workers()[:6], 2))
        wait_until(partial(daemons.have_run, {name: runs + 2 for name, runs in known.items()}), "none starves")
    assert daemons.overlaps("a", "b", "endless", "three") == []
    assert daemons.most_at_once() <= 6
    assert daemons.runs("over") == 0, "none of these ends by itself"
    assert {how for how, _ in daemons.outcomes("over")} >= {"ended over its limit"}
    kept = "SELECT count(*) FROM daemon_duty WHERE name = ANY(%s) AND last_ended_at > now() - interval '30 s'"
    wait_until(lambda: database.value(kept, (["a", "b", "c", "three"],)) == 4, "the books are kept")


def test_operators_see_run_and_pause_duties(daemons: Daemons, database: Database, database_url: str, run: Run) -> None:
    daemons.start("here", 2, duty("slow", "for:0.2", 3600, alone=True), duty("each", "for:0", "0 0 1 1 *", alone=True),
                  duty("vital", "for:0", is_vital=True), duty("fails", "fails", 3600))  # fmt: skip
    wait_until(lambda: daemons.runs("slow") and daemons.outcomes("fails"), "runs")
    assert (daemons.runs("slow"), daemons.runs("each")) == (1, 0)
    answer = run("daemon", "run", "slow", "--wait", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["runs"]
    assert [(one["host"], one["outcome"], one["slices"]) for one in found] == [("here", "done", 1)]
    assert daemons.runs("slow") == 2
    wishes = DaemonWishes(database_url)
    wishes.pause("each", "ana", "[red]harm[/red]")
    assert wishes.ask("each", "ana").is_paused
    wait_until(lambda: daemons.runs("each") == 1, "who asks means it")
    shown = run("daemon", "status")
    assert (shown.returncode, "[red]harm[/red]" in shown.stdout) == (1, True)
    assert "ValueError: it was to fail" in shown.stdout
    with pytest.raises(DutyError, match="vital cannot be paused"):
        wishes.pause("vital", "ana", "why")
    with pytest.raises(DutyError, match="there is no duty 'none': it is one of each, fails, slow, vital"):
        wishes.ask("none", "ana")
    wishes.resume("each", "ana")
    with pytest.raises(DutyError, match="each is not paused"):
        wishes.resume("each", "ana")
    wishes.close()
    deeds = database.rows("SELECT action FROM audit WHERE object = 'duty each' ORDER BY audit_id")
    assert deeds == [("duty_paused",), ("duty_asked",), ("duty_resumed",)]
