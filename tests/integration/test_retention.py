"""What grows has an end: old rows, counts, requests; and what keeps dead rows from going is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import pytest

from command import duties
from command.settings import Settings
from gateway.http.refusal import RefusalError
from gateway.work.upload import safe_name
from panda_fsm.errors import SystemicError
from panda_fsm.trouble import Condition
from periodic import counts, requests, retention, snapshots
from sql.counts import Counts
from sql.duty import WorkerSession
from sql.kept_requests import KeptRequests
from sql.queries import load
from sql.retention import Retention, Sandboxes
from sql.snapshots import Snapshots
from tests import factories
from tests.clockwork import in_block
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.old_rows import NAMES, OLD, ROWS, STAYING


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Two live jobs."""
    serve(Creator()).handle(factories.submit(factories.draft(1), factories.draft(2)))
    return database


def execute(database_url: str, *statements: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def forget(database_url: str, kind: str, days: int = 30, folder: Path = Path("/usr")) -> None:
    """All slices of one duty."""
    if kind == "sandboxes":
        duty = retention.sandboxes(Sandboxes(WorkerSession(database_url, 30)), days, folder)
    else:
        duty = retention.duty(kind, Retention(WorkerSession(database_url, 30), kind), days)
    try:
        while duty.run():
            pass
    finally:
        duty.rest()


def test_everything_that_can_be_forgotten_is_forgotten(database_url: str) -> None:
    config = Settings(database_url=database_url, broker_url="amqp://nobody")  # type: ignore[call-arg]  # defaults
    forgotten = {name for name in load("retention") if name.startswith("forget")}
    assert {duty.name for duty in duties.forgetting(config, WorkerSession(config.database_url, 30))} == forgotten


@pytest.mark.parametrize("kind", ROWS)
def test_old_rows_go_and_what_is_needed_stays(jobs: Database, database_url: str, kind: str) -> None:
    """Row 77 is old, 78 is not; 1 is old too, but belongs to a live job or waits for an operator."""
    table, column = NAMES[kind].split(".")
    execute(database_url, "DELETE FROM inbox", ROWS[kind].replace("{old}", OLD))
    forget(database_url, kind)
    found = {int(str(name)[-2:]) for (name,) in jobs.rows(f"SELECT {column} FROM {table}")}  # noqa: S608
    assert found == ({1, 78} if kind in STAYING else {78})


def test_more_rows_go_than_fit_into_a_slice(jobs: Database, database_url: str) -> None:
    query = "INSERT INTO audit (actor, action, object, at) SELECT '', '', n, {old} FROM generate_series(1, 1200) n"
    execute(database_url, query.replace("{old}", OLD))
    duty = retention.duty("audit", Retention(WorkerSession(database_url, 30), "audit"), 30)
    assert [duty.run() for _ in range(3)] == [True, True, False]
    assert jobs.value("SELECT count(*) FROM audit") == 0
    duty.rest()


def test_blocks_go_once_no_job_is_in_them(jobs: Database, database_url: str) -> None:
    in_block(jobs, [1], "sub", "ready", "used")
    in_block(jobs, [2], "sub", "unknown", "open")
    for name, parent in (("closed", "home"), ("fresh", "busy home"), ("idle", ""), ("home", ""), ("busy home", "")):
        kind = "destination" if "home" in name else "sub"
        jobs.rows("INSERT INTO data_block (name, kind, parent) VALUES (%s, %s, %s) RETURNING 1", (name, kind, parent))
    execute(
        database_url,
        f"UPDATE data_block SET created_at = {OLD}",  # noqa: S608
        f"UPDATE data_block SET status = 'closed', closed_at = {OLD} WHERE name IN ('used', 'closed')",  # noqa: S608
        "UPDATE data_block SET status = 'closed', closed_at = now() WHERE name = 'fresh'",
    )
    forget(database_url, "blocks")
    forget(database_url, "idle_blocks")
    assert jobs.rows("SELECT name FROM data_block ORDER BY 1") == [("busy home",), ("fresh",), ("open",), ("used",)]


def test_the_file_of_a_sandbox_goes_with_its_row(jobs: Database, database_url: str, run_dir: Path) -> None:
    execute(database_url, ROWS["sandboxes"].replace("{old}", OLD))
    cache = run_dir / "cache"
    cache.mkdir()
    for name in ("77", "78", "other"):
        (cache / name).write_text("sources")
    forget(database_url, "sandboxes", folder=cache)
    assert sorted(path.name for path in cache.iterdir()) == [retention._MARK, "78", "other"]
    jobs.rows(f"UPDATE cache_file SET name = '../outside', created_at = {OLD} RETURNING 1")  # noqa: S608
    (run_dir / "outside").write_text("not ours")
    forget(database_url, "sandboxes", folder=cache)
    assert (run_dir / "outside").exists()


def test_a_file_that_cannot_be_removed_keeps_its_row_and_no_other(
    jobs: Database, database_url: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_SLICE", 2)
    cache = run_dir / "cache"
    for name in ("1", "2", "4"):  # what stands in their place cannot be unlinked
        (cache / name / "not a file").mkdir(parents=True)
    for name in ("3", "5", "6"):
        (cache / name).write_text("sources")
    query = f"INSERT INTO cache_file (name, owner, size, checksum, created_at) SELECT n, '', 1, 1, {OLD}"
    execute(database_url, f"{query} FROM generate_series(1, 6) n")
    forget(database_url, "sandboxes", folder=cache)
    assert sorted(path.name for path in cache.iterdir()) == [retention._MARK, "1", "2", "4"]
    assert jobs.rows("SELECT name FROM cache_file ORDER BY 1") == [("1",), ("2",), ("4",)]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_no_sandbox_is_forgotten_while_its_folder_is_not_there(
    jobs: Database, database_url: str, run_dir: Path, folder: str
) -> None:
    """Not mounted, say: its files would stay for ever."""
    (run_dir / "empty").mkdir()
    forget(database_url, "sandboxes", folder=run_dir / folder)
    execute(database_url, ROWS["sandboxes"].replace("{old}", OLD))
    with pytest.raises(SystemicError, match="the folder of sandboxes"):
        forget(database_url, "sandboxes", folder=run_dir / folder)
    assert jobs.value("SELECT count(*) FROM cache_file") == 2


class Dying(Sandboxes):
    """Its daemon dies when the files are gone, and before their rows are."""

    def forget(self, days: int, limit: int, after: str, remove: Callable[[Sequence[str]], list[str]]) -> list[str]:
        def die(names: Sequence[str]) -> list[str]:
            remove(names)
            raise KeyboardInterrupt

        return super().forget(days, limit, after, die)


def test_a_folder_whose_last_sandbox_went_is_there(jobs: Database, database_url: str, run_dir: Path) -> None:
    """What tells that is no sandbox itself: it is neither taken, served nor removed as one."""
    execute(database_url, ROWS["sandboxes"].replace("{old}", OLD))
    cache = run_dir / "cache"
    cache.mkdir()
    (cache / "77").write_text("sources")
    duty = retention.sandboxes(Dying(WorkerSession(database_url, 30)), 30, cache)
    with pytest.raises(KeyboardInterrupt):
        duty.run()
    duty.rest()
    assert jobs.value("SELECT count(*) FROM cache_file") == 2
    forget(database_url, "sandboxes", folder=cache)
    assert jobs.rows("SELECT name FROM cache_file") == [("78",)]
    jobs.rows(f"UPDATE cache_file SET name = %s, created_at = {OLD} RETURNING 1", (retention._MARK,))  # noqa: S608
    forget(database_url, "sandboxes", folder=cache)
    assert [path.name for path in cache.iterdir()] == [retention._MARK]
    with pytest.raises(RefusalError):
        safe_name(retention._MARK)


@pytest.mark.parametrize("by", ["add_cache_file", "renew_cache_file", "cache_file_with"])
def test_a_sandbox_that_somebody_wants_again_is_kept_longer(jobs: Database, database_url: str, by: str) -> None:
    execute(database_url, f"INSERT INTO cache_file VALUES ('77', '', 1, 1, {OLD}, '')")  # noqa: S608
    jobs.execute(load("registers")[by], {"name": "77", "owner": "", "size": 1, "checksum": 1, "digest": "", "days": 3})
    forget(database_url, "sandboxes")
    assert jobs.value("SELECT count(*) FROM cache_file") == 1, "else it is promised, and gone when its job runs"


def test_counts_are_folded_and_add_up_to_the_same(jobs: Database, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO job_count (state, site, vo, jobs) SELECT 'running', 's' || n % 3, 'v', n % 5 - 2"
        " FROM generate_series(1, 3000) n",
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('gone', 's', 'v', 1), ('gone', 's', 'v', -1)",
    )
    totals = "SELECT state, site, vo, sum(jobs) FROM job_count GROUP BY 1, 2, 3 HAVING sum(jobs) <> 0 ORDER BY 1, 2, 3"
    before = jobs.rows(totals)
    duty = counts.duty(Counts(WorkerSession(database_url, 30)))
    assert not duty.run(), "all at once, and nothing more to do"
    assert jobs.rows(totals) == before
    assert jobs.value("SELECT count(*) FROM job_count") == len(before)
    execute(database_url, "INSERT INTO job_count (state, site, vo, jobs) VALUES ('running', 's1', 'v', 1)")
    duty.run()
    assert jobs.value("SELECT count(*) FROM job_count") == len(before) + 1, "so few are no trouble to anybody"
    small = Counts(WorkerSession(database_url, 30))
    execute(database_url, "INSERT INTO job_count (state, site, vo, jobs) SELECT 'a', 's', 'v', 1 FROM"
                          " generate_series(1, 100)")  # fmt: skip
    assert small.fold(50, 10)
    small.close()
    duty.rest()


def test_a_request_that_nobody_handled_is_given_up_and_written_down(jobs: Database, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO request (message_id, routing_key, body, accepted_at) VALUES"
        " ('00000000-0000-0000-0000-000000000001', 'kill', '{\"job_id\": 1}', now() - interval '6 days'),"
        " ('00000000-0000-0000-0000-000000000002', 'kill', '{}', now() - interval '4 days')",
    )
    duty = requests.duty(KeptRequests(WorkerSession(database_url, 30)))
    assert not duty.run()
    assert [str(row[0])[-1] for row in jobs.rows("SELECT message_id FROM request")] == ["2"]
    ((actor, action, what, detail),) = jobs.rows("SELECT actor, action, object, detail FROM audit")
    assert (actor, action, what[-1]) == ("daemon", "request_expired", "1")
    assert (detail["routing_key"], detail["body"]) == ("kill", '{"job_id": 1}'), "with all that it asked"
    duty.rest()


class OldSnapshots(Snapshots):
    """Sees every transaction as older than it is."""

    def oldest(self) -> tuple[float, str]:
        age_s, who = super().oldest()
        return age_s + 3600 * (age_s > 0), who


def test_a_transaction_that_stays_open_is_an_alarm(database_url: str) -> None:
    condition = Condition()
    duty = snapshots.duty(OldSnapshots(WorkerSession(database_url, 30)), condition)
    duty.run()
    assert condition.trouble is None
    with psycopg.connect(database_url, application_name="forgotten") as other:
        other.execute("SELECT 1")
        duty.run()
        assert "a transaction is open for 60 min (forgotten, process" in str(condition.trouble)
    duty.run()
    assert condition.trouble is None
    duty.rest()
