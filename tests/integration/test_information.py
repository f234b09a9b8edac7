"""Sources of information and the database: what is wrong with one stays its own, what is known follows at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from command.presence import Shown
from panda_fsm.information.models import Kind, Override, Queue, Status
from panda_fsm.information.sources import FILE, Source
from sql.presence import Presence
from tests import cric
from tests.configuring import Configuring
from tests.cric import Cric
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes


def rejected(database: Database) -> dict[str, str]:
    return dict(database.rows("SELECT name, reason FROM information_rejected"))


def trouble(database: Database, kind: Kind = Kind.QUEUE) -> str | None:
    (found,) = database.rows("SELECT trouble FROM information_source WHERE name = %s", (f"cric.{kind}",))
    said: str | None = found[0]
    return said


def test_what_cric_says_is_known_and_written_down(configuring: Configuring, source: Cric, database: Database) -> None:
    configuring.run()
    before = configuring.known.now
    assert len(before.queues) == len(before.storages) == 20
    assert before.queues["CRIC_0003"].queuedata == source.documents[Kind.QUEUE]["CRIC_0003"]
    assert before.storages["CRIC_0003_DISK"].storagedata["type"] == "DATADISK"
    source.documents[Kind.QUEUE]["CRIC_0003"] |= {"status": "offline", "comment": "power cut"}
    del source.documents[Kind.QUEUE]["CRIC_0004"]
    version = configuring.known.version
    configuring.run()
    now = configuring.known
    assert (now.queues["CRIC_0003"].status, "CRIC_0004" in now.queues, now.version) == ("offline", False, version + 1)
    assert before.queues["CRIC_0003"].status == "online"  # who holds a snapshot holds it as it is
    history = database.rows(
        "SELECT name, actor, before, after FROM information_history WHERE version = %s ORDER BY name", (version + 1,)
    )
    assert history[0] == (
        "CRIC_0003", "configurator", {"status": "online", "queuedata": {"comment": None, "status": "online"}},
        {"status": "offline", "queuedata": {"comment": "power cut", "status": "offline"}},
    )  # fmt: skip
    assert (history[1][0], history[1][2]["status"], history[1][3]) == ("CRIC_0004", "online", None)


def test_what_is_not_new_is_neither_sent_nor_written_again(
    configuring: Configuring, source: Cric, database: Database
) -> None:
    for _ in range(3):
        configuring.run()
    assert source.answers(Kind.QUEUE) == [200, 304, 304]
    source.documents[Kind.QUEUE]["BAD"] = {"status": "online"}
    configuring.run()
    version = configuring.known.version
    configuring.run()
    # With something rejected it is read again: what was missing may be there now. Nothing changes by that.
    assert source.answers(Kind.QUEUE)[3:] == [200, 200]
    assert configuring.known.version == version
    database.execute("UPDATE information_source SET reading = 0 WHERE name = 'cric.storage'")  # of an older program
    configuring.run()
    assert source.answers(Kind.STORAGE)[-2:] == [304, 200]


def test_bad_entries_keep_their_last_good_state(configuring: Configuring, source: Cric, database: Database) -> None:
    configuring.run()
    queues = source.documents[Kind.QUEUE]
    queues["CRIC_0001"] |= {"status": "offline", "astorages": {}}
    queues["CRIC_0002"] |= {"status": "offline", "maxrss": -1}
    queues["CRIC_0003"] |= {"status": "offline", "parent": "CRIC_0004"}
    queues["CRIC_0004"] |= {"status": "offline", "parent": "CRIC_0003"}
    queues["CRIC_0005"] |= {"status": "offline"}
    configuring.run()
    offline = [name for name, queue in configuring.known.queues.items() if queue.status is Status.OFFLINE]
    assert offline == ["CRIC_0005"]
    assert list(rejected(database)) == ["CRIC_0001", "CRIC_0002", "CRIC_0003", "CRIC_0004"]
    assert trouble(database) is None
    queues["CRIC_0001"] |= {"astorages": {"pw": ["CRIC_0001_DISK"]}}
    configuring.run()
    assert configuring.known.queues["CRIC_0001"].status is Status.OFFLINE
    assert "CRIC_0001" not in rejected(database)


def test_somebody_says_that_much_may_go(configuring: Configuring, source: Cric, database: Database) -> None:
    configuring.run()
    source.documents[Kind.QUEUE] = {"ONLY": cric.queue("ONLY", astorages={"pw": ["CRIC_0001_DISK"]})}
    configuring.run()
    assert len(configuring.known.queues) == 20
    assert configuring.sources.allow_removals("cric.queue", "jane")
    configuring.run()
    assert list(configuring.known.queues) == ["ONLY"]
    source.documents[Kind.QUEUE] = {}
    configuring.run()  # that was for once
    assert list(configuring.known.queues) == ["ONLY"]
    assert not configuring.sources.allow_removals("nobody", "jane")


def test_ten_thousand_queues_are_taken(configuring: Configuring, source: Cric) -> None:
    source.fill(10_000)
    configuring.run()
    assert len(configuring.known.queues) == 10_000


def test_what_an_operator_sets_stays_until_it_is_lifted(
    configuring: Configuring, source: Cric, database: Database
) -> None:
    configuring.run()
    now = datetime.now(UTC)
    override = Override(status=Status.TEST, by="jane", reason="a new kernel", since=now)
    assert configuring.set_status("CRIC_0001", override, "jane", "a new kernel")
    assert not configuring.set_status("NONE", override, "jane", "a new kernel")
    source.documents[Kind.QUEUE]["CRIC_0001"]["status"] = "offline"
    configuring.run()
    assert configuring.known.status_at("CRIC_0001", now) == "test"
    assert configuring.set_status("CRIC_0001", None, "joe", "done")
    assert configuring.known.status_at("CRIC_0001", now) == "offline"
    over = override.model_copy(update={"until": now})
    assert configuring.set_status("CRIC_0001", over, "jane", "for a moment")
    configuring.run()
    said = database.rows("SELECT actor, why FROM information_history WHERE name = 'CRIC_0001' ORDER BY history_id")
    assert [actor for actor, _ in said] == ["configurator", "jane", "configurator", "joe", "jane", "configurator"]
    assert said[-1][1] == "its time is over"
    assert configuring.known.queues["CRIC_0001"].override is None


def test_what_is_set_of_a_queue_that_is_not_there_counts_as_no_change(
    configuring: Configuring, database: Database
) -> None:
    now = datetime.now(UTC)
    override = Override(status=Status.TEST, by="jane", reason="r", since=now, until=now)
    assert not configuring.set_status("NONE", override, "jane", "r")
    assert configuring.known.version == 0, "nothing was imported: the sites file still holds"
    configuring.run()
    assert configuring.set_status("CRIC_0002", override, "jane", "r")
    version = database.value("SELECT version FROM information_version")
    database.execute("UPDATE information SET facts = NULL WHERE name = 'CRIC_0002'")
    assert configuring.sources.lift_overdue() == []
    assert database.value("SELECT version FROM information_version") == version


def test_a_sites_file_is_a_source_like_any_other(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "sites.json"
    content: dict[str, Any] = {
        "queues": {"Q": {"site": "S", "storage": "D"}}, "storages": {"D": {"site": "S", "path": "/d"}},
        "block_register": "/b",
    }  # fmt: skip
    file.write_text(json.dumps(content))
    configuring = Configuring(database_url, Source(FILE, str(file)))
    try:
        configuring.run()
        assert (configuring.known.queues["Q"], configuring.known.block_register) == (Queue(site="S", storage="D"), "/b")
        configuring.run()
        assert configuring.known.version == 1
        content["queues"]["Q"]["status"] = "brokeroff"
        file.write_text(json.dumps(content))
        configuring.run()
        assert configuring.known.queues["Q"].status is Status.BROKEROFF
        file.unlink()
        configuring.run()
        assert "Q" in configuring.known.queues
        assert "No such file" in str(configuring.condition.trouble)
    finally:
        configuring.close()


def test_a_process_hears_of_a_change_at_once_and_without_the_word_at_its_next_sign(
    configuring: Configuring, source: Cric, database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command.presence.SIGN_S", 0.5)
    shown = Shown(Presence(database_url, "test"))
    shown.start()
    try:
        assert shown.wait_until_heard(30)
        assert (shown.known.version, dict(shown.known.queues)) == (0, {})
        configuring.run()
        wait_until(lambda: len(shown.known.queues) == 20, "the process follows")
        # Changed by a hand that tells nobody: the version says it.
        database.execute("UPDATE information SET facts = NULL, version = 9 WHERE name = 'CRIC_0001'")
        database.execute("UPDATE information_version SET version = 9")
        wait_until(lambda: "CRIC_0001" not in shown.known.queues, "the process sees the version")
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test.presence'"
        )
        configuring.set_status("CRIC_0002", _set(), "jane", "r")
        wait_until(lambda: shown.known.queues["CRIC_0002"].override is not None, "it listens again")
    finally:
        shown.end()


def _set() -> Override:
    return Override(status=Status.OFFLINE, by="jane", reason="r", since=datetime.now(UTC))


def test_who_cannot_know_which_queues_there_are_waits_and_says_why(processes: Processes, database: Database) -> None:
    content = processes.lab.sites_file.read_text()
    processes.lab.sites_file.write_text(content[:100])
    processes.start("setupper")
    wait_until(lambda: "PANDA_FSM_SITES_FILE" in str(_trouble(database)), "it says what is wrong")
    processes.lab.sites_file.write_text(content)
    wait_until(lambda: _trouble(database) is None, "it works once that is mended")


def _trouble(database: Database) -> str | None:
    rows = database.rows("SELECT trouble FROM process WHERE service = 'setupper'")
    return rows[0][0] if rows else ""


def test_processes_follow_and_the_daemon_asks(source: Cric, processes: Processes, database: Database) -> None:
    processes.start("gateway")
    processes.start("daemon", **source.settings)
    wait_until(lambda: database.value("SELECT count(*) FROM information WHERE kind = 'queue'") > 20, "all are imported")
    url = f"{processes.gateway_url}/cache/schedconfig/CRIC_0007.all.json"
    wait_until(lambda: _found(url), "the gateway serves it")


def _found(url: str) -> bool:
    return httpx.get(url).status_code == httpx.codes.OK
