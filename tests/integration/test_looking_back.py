"""Looking back: lists and histories of jobs live and archived, by an index; what was kept of a job while it ran."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from consumers.watcher import Watcher
from panda_fsm.descriptions import ListedJob, Wanted
from panda_fsm.errors import PandaError, TooMuchError
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.samples import SAMPLED
from panda_fsm.jobs.states import State
from panda_fsm.messages import TellPilot
from sql import reads
from sql.gateway_store import GatewayStore
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.gateway_stores import with_store
from tests.inprocess import LIMITS, Serve, put
from tests.integration.test_process import Creator
from tests.processes import PROGRAM

TASK = 7
ENDED, LIVE = range(1, 16), range(16, 21)
DAY = 86400


@pytest.fixture
def past(serve: Serve, database: Database, clock: Clock) -> Database:
    """Jobs 1..15 ended, a day after each other, the first long ago, and are archived; 16..20 live."""
    drafts = [factories.draft(n, task_id=TASK if n != 3 else 8, user="me" if n % 2 else "you") for n in range(1, 21)]
    serve(Creator()).handle(factories.submit(*drafts))
    for number in ENDED:
        ended = State.FAILED if number % 5 == 0 else State.FINISHED
        enter(database, [number], ended, (20 - number) * DAY, deadline_at="-1 s")
        database.execute("UPDATE job SET created_at = ended_at - interval '1 h' WHERE job_id = %s", (number,))
    clock.round("archive")
    assert database.value("SELECT count(*) FROM job") == len(LIVE)
    return database


def listed(database_url: str, wanted: Wanted) -> list[int]:
    """All pages of a list."""

    async def scene(store: GatewayStore) -> list[int]:
        found: list[int] = []
        asked = wanted
        while page := await store.reads.list_jobs(asked):
            found += [job.job_id for job in page]
            asked = replace(asked, after=place(page[-1]))
        return found

    return with_store(database_url, scene)


def listed_page(database_url: str, wanted: Wanted) -> list[ListedJob]:
    """One page of a list."""

    async def scene(store: GatewayStore) -> list[ListedJob]:
        return await store.reads.list_jobs(wanted)

    return with_store(database_url, scene)


def place(job: ListedJob) -> tuple[int, int | None]:
    """Where the next page begins."""
    if not job.is_archived or job.ended_at is None:
        return job.job_id, None
    return job.job_id, (job.ended_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def ago(days: float) -> int:
    """Seconds since 1970."""
    return int((datetime.now(UTC) - timedelta(days=days)).timestamp())


def test_pages_hold_each_job_once_live_ones_first_and_the_newest_first(past: Database, database_url: str) -> None:
    everything = [*reversed(LIVE), *reversed(ENDED)]
    for limit in (1, 4, 100):
        assert listed(database_url, Wanted(limit=limit)) == everything
        assert listed(database_url, Wanted(task_id=TASK, limit=limit)) == [n for n in everything if n != 3]


def test_a_job_that_is_archived_between_two_pages_is_in_both_and_none_is_lost(
    past: Database, database_url: str, clock: Clock
) -> None:
    everything = [*reversed(LIVE), *reversed(ENDED)]
    first = listed_page(database_url, Wanted(limit=3))
    assert [job.job_id for job in first] == [20, 19, 18]
    enter(past, [19, 17], State.FINISHED, 3600, deadline_at="-1 s")
    clock.round("archive")
    rest = listed(database_url, Wanted(limit=3, after=place(first[-1])))
    assert sorted(rest) == sorted([n for n in everything if n not in (20, 18)])


def test_the_archive_is_not_read_for_a_state_that_it_never_holds(past: Database, database_url: str) -> None:
    """Millions of rows, of which none is running."""
    past.execute("ALTER TABLE job_archive RENAME TO job_archive_away")
    for state in State:
        if state in FINAL:
            with pytest.raises(PandaError):
                listed_page(database_url, Wanted(state=state))
        else:
            assert [job.state for job in listed_page(database_url, Wanted(state=state))] == [state] * (
                len(LIVE) if state is State.DEFINED else 0
            )


def test_lists_are_of_what_was_asked_for(past: Database, database_url: str) -> None:
    for wanted, jobs in (
        (Wanted(task_id=8), [3]),
        (Wanted(user_name="me"), [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]),
        (Wanted(task_id=TASK, user_name="me", state="finished"), [13, 11, 9, 7, 1]),
        (Wanted(state="failed"), [15, 10, 5]),
        (Wanted(state="failed", since=ago(11), until=ago(7)), [10]),
        (Wanted(user_name="you", since=ago(8.5)), [20, 18, 16, 14, 12]),
        (Wanted(user_name="nobody"), []),
        (Wanted(task_id=9), []),
    ):
        assert listed(database_url, wanted) == jobs, wanted


PARAMETERS: dict[str, Any] = {
    "task_id": TASK, "user_name": "me", "state": None, "since": datetime(2020, 1, 1, tzinfo=UTC),
    "until": datetime(2100, 1, 1, tzinfo=UTC), "after_id": 2**63 - 1, "after_at": datetime(2100, 1, 1, tzinfo=UTC),
    "limit": 10, "job_id": 1, "job_ids": [1], "jobs": 10, "most": 10,
}  # fmt: skip
QUERIES = {name: reads._Q[name] for name in ("describe_archived", "task_states", "task_hops", "history", "samples")} | {
    f"{name} {whose}": query for name, queries in reads._LISTS.items() for whose, query in queries.items()
}


def test_no_question_reads_a_whole_table(past: Database, database_url: str) -> None:
    """However large: where there is an index for it, it is taken once reading through costs anything."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for name, query in QUERIES.items():
            plan = connection.execute(f"EXPLAIN {query}".encode(), PARAMETERS).fetchall()
            read = [line for (line,) in plan if "Seq Scan on" in line and "job_transition" not in line]
            assert read == [], name


def test_a_list_of_a_task_is_in_order_by_its_index(past: Database, database_url: str) -> None:
    """A page of a task of a million jobs reads a page."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        for whose in ((True, False), (False, True), (False, False)):
            plan = connection.execute(f"EXPLAIN {reads._LISTS['list_archived'][whose]}".encode(), PARAMETERS).fetchall()
            assert not [line for (line,) in plan if "Sort" in line and "Sort Key" not in line], plan


def test_a_job_has_the_same_history_wherever_it_is(past: Database, serve: Serve, database_url: str) -> None:
    put(past, [20], State.SENT)
    serve(Watcher(LIMITS)).handle(factories.report(20, "running"))

    async def scene(store: GatewayStore) -> list[list[tuple[Any, ...]]]:
        found = [await store.reads.history(job_id) for job_id in (20, 1, 999)]
        return [[(s.version, s.trigger, s.source, s.state, s.service) for s in steps] for steps in found]

    live, archived, unknown = with_store(database_url, scene)
    born = (1, "submitted", None, "defined", "setupper")
    assert live == [born, (6, "pilot_running", "sent", "running", "watcher")]
    assert (archived, unknown) == ([born], [])


def test_a_running_job_is_sampled_once_in_ten_minutes(past: Database, serve: Serve, database_url: str) -> None:
    put(past, [20, 19], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    beats = [{"max_rss": 100, "cpu_consumption_time": 5}, {"max_rss": 200}, {"node": "n"}]
    for attributes in beats:
        watcher.handle(*(factories.report(n, "running", attributes=attributes) for n in (19, 20)))
    assert past.rows("SELECT job_id, max_rss, cpu_consumption_time, n_events FROM job_sample ORDER BY 1") == [
        (19, 100, 5, None), (20, 100, 5, None)
    ]  # fmt: skip
    past.execute("UPDATE job_sample SET slot = slot - interval '10 min', at = at - interval '10 min'")
    watcher.handle(factories.report(20, "running", attributes=dict.fromkeys(SAMPLED, 300)))

    async def scene(store: GatewayStore) -> list[tuple[int | None, int | None]]:
        return [(one.max_rss, one.tot_wbytes) for one in await store.reads.samples(20)]

    assert with_store(database_url, scene) == [(100, None), (300, 300)]


def test_what_a_pilot_shows_is_kept_until_it_shows_more(past: Database, serve: Serve, database_url: str) -> None:
    put(past, [20], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    for shown in ("first", "second"):
        watcher.handle(factories.report(20, "running", attributes={"stdout": shown}))
    watcher.handle(factories.report(20, "running", attributes={"node": "n"}))
    assert past.rows("SELECT job_id, stdout FROM job_stdout") == [(20, "second")]
    assert past.value("SELECT pilot FROM job WHERE job_id = 20") == {"node": "n"}, "the hot row stays narrow"
    past.execute("""UPDATE job SET pilot = '{"stdout": "by a program of before"}' WHERE job_id = 19""")

    async def scene(store: GatewayStore) -> list[str | None]:
        found = [await store.reads.stdout(job_id) for job_id in (20, 19, 18)]
        return [None if one is None else one.stdout for one in found]

    assert with_store(database_url, scene) == ["second", "by a program of before", None]


def test_what_a_pilot_says_of_its_outputs_is_kept_until_it_says_more(
    past: Database, serve: Serve, database_url: str
) -> None:
    put(past, [17, 18, 19, 20], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    for metadata in ("first", "second"):
        watcher.handle(*(factories.report(n, "running", attributes={"metadata": metadata}) for n in (18, 19, 20)))
    shown = {"stdout": "a line"}
    watcher.handle(factories.report(20, "running", attributes=shown), factories.report(17, "running", attributes=shown))
    watcher.handle(factories.report(18, "finished", attributes={"metadata": "last"}), factories.report(19, "finished"))

    async def scene(store: GatewayStore) -> tuple[list[Any], list[bool]]:
        described = await store.reads.describe([17, 18, 19, 20, 1])
        metadata = [described[job_id].columns["metadata"] for job_id in (17, 18, 19, 20, 1)]
        return metadata, [await store.reads.stdout(job_id) is None for job_id in (17, 18, 19, 20)]

    expected = [None, "last", "second", "second", None], [False, True, True, False]
    assert with_store(database_url, scene) == expected


def test_what_is_asked_for_often_weighs_as_often(past: Database, database_url: str) -> None:
    """Three thousand times a job with a megabyte of parameters was an answer of three gigabytes."""
    past.execute("UPDATE job_spec SET spec = jsonb_build_object('x', repeat('y', 1000000)) WHERE job_id = 20")
    past.execute("UPDATE job_spec_archive SET spec = jsonb_build_object('x', repeat('y', 1000000)) WHERE job_id = 1")
    past.execute(
        "INSERT INTO job_file SELECT more.* FROM (SELECT * FROM job_file WHERE job_id = 19 LIMIT 1) AS f,"
        " generate_series(1, 2000) AS n,"
        " jsonb_populate_record(NULL::job_file, to_jsonb(f) || jsonb_build_object('seq', 100 + n)) AS more"
    )
    for job_id, taken, refused in ((20, 60, 70), (1, 60, 70), (19, 50, 100), (18, 5000, None)):

        async def scene(store: GatewayStore, job_id: int = job_id, times: int = taken) -> int:
            return len(await store.reads.describe([job_id] * times))

        assert with_store(database_url, scene) == 1
        if refused is not None:
            with pytest.raises(TooMuchError):
                with_store(database_url, partial(scene, times=refused))


def test_a_command_waits_for_the_pilot_and_is_gone_once_it_was_told(past: Database, serve: Serve) -> None:
    put(past, [20], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    told = "SELECT command FROM job WHERE job_id = 20"
    watcher.handle(TellPilot(job_id=20, debug=True), TellPilot(job_id=20, command="ls -l"))
    assert past.value(told) == "debug,ls -l"
    watcher.handle(factories.report(20, "running", told="ls -l"), factories.report(20, "running", told="ls -l"))
    assert past.value(told) == "debug,ls -l,"
    watcher.handle(factories.report(20, "running", told="ls -l,"))
    assert past.value(told) == "debug"
    watcher.handle(TellPilot(job_id=20, debug=False))
    assert past.value(told) is None
    watcher.handle(TellPilot(job_id=1, debug=True))
    assert past.value("SELECT count(*) FROM dead_letter") == 0, "the job went to the archive meanwhile"


def look(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`panda-fsm` as it is typed."""
    known = {
        **os.environ, "PANDA_FSM_DATABASE_URL": database_url, "PANDA_FSM_BROKER_URL": "amqp://nobody", "COLUMNS": "120"
    }  # fmt: skip
    return subprocess.run([str(PROGRAM), *arguments], env=known, capture_output=True, text=True, check=False)


def test_operators_look_up_jobs_and_tasks(past: Database, database_url: str) -> None:
    written = "[bold]no markup[/bold] 12:100:7 a\tb \x1b]0;owned\x07"
    past.execute("INSERT INTO job_stdout (job_id, stdout) VALUES (1, %s)", (written,))
    past.execute("UPDATE job_archive SET user_name = E'x\\x1b[2J' WHERE job_id = 1")
    past.execute("INSERT INTO job_sample (job_id, slot, max_rss) VALUES (1, now(), 4711)")
    described = json.loads(look(database_url, "jobs", "show", "1", "--json").stdout)
    assert (described["PandaID"], described["jobStatus"], len(described["Files"])) == (1, "finished", 3)
    assert (described["samples"][0]["max_rss"], described["version"]) == (4711, 5)
    shown = look(database_url, "jobs", "show", "1").stdout
    for text in ("jobStatus", "finished", "out.1.root", "4711", "[bold]no markup[/bold] 12:100:7 a"):
        assert text in shown
    assert "\x1b" not in shown, "a terminal would obey what a user or a payload wrote"
    assert shown.count("\N{REPLACEMENT CHARACTER}") == 3
    task = json.loads(look(database_url, "task", str(TASK), "--json").stdout)
    assert task["states"] == {"defined": 5, "finished": 11, "failed": 3}
    assert [job["job_id"] for job in task["newest"]][:3] == ["20", "19", "18"]
    told = look(database_url, "task", str(TASK)).stdout
    assert ["finished", "11"] in [line.split() for line in told.splitlines()]
    assert "# failed last" in told
    assert [(step["version"], step["trigger"]) for step in described["steps"]] == [(1, "submitted")]
    assert "submitted" in shown
    for command in (["jobs", "show"], ["task"]):
        unknown = look(database_url, *command, "999")
        assert (unknown.returncode, "999" in unknown.stderr, "Traceback" in unknown.stderr) == (1, True, False)
        assert look(database_url, *command, "--help").returncode == 0
