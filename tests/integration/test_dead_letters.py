"""Dead letters as people look at them and settle them: groups, dry runs, edited copies; no secret is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from panda_fsm.errors import LetterError
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob, decode
from panda_fsm.trouble import fingerprint
from panda_fsm.views.cursors import Part
from panda_fsm.views.dead_letters import MOST_GROUPS, Choice, Deed, Line, Wanted
from panda_fsm.views.replaying import Prospect
from sql.dashboard_store import DashboardStore
from sql.dead_letters import DeadLetterBox
from sql.views.dead_letters import DeadLetterReads
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.inprocess import put
from tests.letters import bury
from tests.typed import Run
from tests.waiting_jobs import add_jobs

Read = Callable[[Callable[[DeadLetterReads], Awaitable[Any]]], Any]
ME = Deed("me", "because")
SECRET = b'{"msg_type":"kill_job","job_id":7,"token":"s3cret","reason":"https://ana:geheim@host"}'


@pytest.fixture
def reads(database_url: str) -> Read:
    """Looks, by the store of the dashboards."""

    def look(ask: Callable[[DeadLetterReads], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            store = DashboardStore(database_url)
            await store.open()
            try:
                return await ask(store.dead_letters)
            finally:
                await store.close()

        return asyncio.run(asked())

    return look


@pytest.fixture
def box(database_url: str) -> Iterator[DeadLetterBox]:
    """What operators do with them."""
    one = DeadLetterBox(database_url)
    yield one
    one.close()


def kill(job_id: int, **fields: Any) -> bytes:
    return KillJob(job_id=job_id, **fields).encode()


def test_letters_that_died_alike_are_a_group(database: Database, reads: Read) -> None:
    for number in range(3):
        bury(database, kill(number + 1), f"unknown job {number + 1}", age_s=600 - number)
    last = bury(database, kill(9), "unknown job 9 with password=geheim", queue="adder", age_s=7200)
    database.execute("UPDATE dead_letter SET replay_of = 99 WHERE dead_letter_id = 2")
    young, old = reads(lambda look: look.groups(Wanted()))
    assert (young.queue, young.cause, young.letters, young.replays) == ("watcher", "unknown job 3", 3, 1)
    ages = "SELECT min(at), max(at) FROM dead_letter WHERE queue = 'watcher'"
    assert [(young.first_at, young.last_at)] == database.rows(ages)
    assert (young.sample_id, young.is_more) == (3, False)
    assert (old.fingerprint, old.cause) == (fingerprint("adder", "unknown job 1 with password=geheim"), _hidden(1))
    assert old.sample_id == last
    hour = datetime.now(UTC) - timedelta(hours=1)
    assert reads(lambda look: look.groups(Wanted(since=hour))) == [young]
    assert reads(lambda look: look.groups(Wanted(queue="adder"))) == [old]
    assert reads(lambda look: look.groups(Wanted(fingerprint=old.fingerprint))) == [old]
    assert reads(lambda look: look.groups(Wanted("discarded"))) == []


def test_of_very_many_causes_each_is_found_by_its_fingerprint(database: Database, reads: Read) -> None:
    numbers = {fingerprint("watcher", chr(97 + n // 26) + chr(97 + n % 26)): n for n in range(MOST_GROUPS + 20)}
    for number in numbers.values():
        bury(database, b"", chr(97 + number // 26) + chr(97 + number % 26))
    assert len(reads(lambda look: look.groups(Wanted()))) == MOST_GROUPS
    last = max(numbers)
    (group,) = reads(lambda look: look.groups(Wanted(fingerprint=last)))
    assert (group.fingerprint, group.letters) == (last, 1)


async def _page(wanted: Wanted, look: DeadLetterReads) -> Part[Line]:
    return await look.letters(wanted)


def _hidden(number: int) -> str:
    return f"unknown job 9 with password=▒{number}▒"


def test_letters_come_in_pages(database: Database, reads: Read) -> None:
    letters = [bury(database, kill(1), f"{'ab'[number % 2]}", age_s=60 - number // 3) for number in range(10)]
    found, after = [], None
    while True:
        page = reads(partial(_page, Wanted(fingerprint=fingerprint("watcher", "a"), after=after, limit=2)))
        found += [line.dead_letter_id for line in page.rows]
        assert len(page.rows) <= 2
        if page.next is None:
            break
        after = (page.rows[-1].at, page.rows[-1].dead_letter_id)
    assert found == letters[-2::-2]


def test_a_letter_shows_all_but_its_secrets(database: Database, reads: Read) -> None:
    headers = {"Authorization": "abc", "retries": "3", "reason": "no job", "x-delivery-count": "9" * 5000}
    number = bury(database, SECRET, "no, https://a:geheim@b", headers=headers, error="Traceback: token=s3cret")
    letter = reads(lambda look: look.letter(number))
    assert letter.headers["Authorization"] == "▒1▒"
    assert (letter.body.form, letter.body.hidden, letter.error) == ("JSON", 2, "Traceback: token=▒1▒")
    assert letter.way == "put off 3 times, last for: no job"
    assert "geheim" not in repr(letter)
    assert "s3cret" not in repr(letter)
    assert reads(lambda look: look.letter(number + 1)) is None


def test_of_a_large_body_the_beginning_is_read(database: Database, reads: Read) -> None:
    number = bury(database, b'{"jobs": ["' + b"x" * 15_000_000)
    letter = reads(lambda look: look.letter(number))
    assert (letter.body.size, letter.body.is_cut, len(letter.body.text)) == (15_000_011, True, 65_536)


def test_a_letter_names_what_it_was_and_what_became_of_it(database: Database, reads: Read) -> None:
    for number in range(1, 5):
        bury(database, kill(1), f"death {number}")
        query = "UPDATE dead_letter SET replay_of = %s, status = 'replayed' WHERE dead_letter_id = %s"
        database.execute(query, (number - 1 or None, number))
    letter = reads(lambda look: look.letter(3))
    assert [kin.dead_letter_id for kin in letter.earlier] == [1, 2]
    assert [kin.reason for kin in letter.later] == ["death 4"]


def test_a_dry_run_looks_at_jobs_live_and_archived(
    database: Database, database_url: str, reads: Read, clock: Clock
) -> None:
    add_jobs(database_url, range(1, 5))
    put(database, [2], State.FINISHED)
    enter(database, [3], State.CLOSED, deadline_at="-1 hour")
    clock.round("archive")
    assert database.rows("SELECT job_id FROM job_ended") == [(3,)]
    numbers = [bury(database, kill(job_id), "alike") for job_id in (1, 2, 3, 99)] + [bury(database, b"?", "alike")]
    found = reads(lambda look: look.dry_run(Choice(fingerprint=fingerprint("watcher", "alike"))))
    prospects = [Prospect.APPLIES, Prospect.FINAL, Prospect.FINAL, Prospect.UNKNOWN, Prospect.UNREADABLE]
    assert [(one.letter_id, one.prospect) for one in found.judged] == list(zip(numbers, prospects, strict=True))
    assert (found.is_whole, found.eligible) == (True, 4)
    assert reads(lambda look: look.dry_run(Choice([numbers[0], 12345]))).sentence == "1 would apply"


@pytest.mark.parametrize(("letters", "judged", "is_whole"), [(9, 9, True), (10, 10, True), (11, 10, False)])
def test_a_dry_run_over_many_has_a_bound(
    database: Database, reads: Read, letters: int, judged: int, is_whole: bool
) -> None:
    for _ in range(letters):
        bury(database, kill(1))
    found = reads(lambda look: look.dry_run(Choice(queue="watcher"), most=10))
    assert (len(found.judged), found.is_whole) == (judged, is_whole)


def test_an_edited_copy_is_sent_and_the_letter_kept(database: Database, box: DeadLetterBox) -> None:
    bad = SECRET.replace(b'"job_id":7', b'"job_id":-7')
    number = bury(database, bad, "job_id")
    wanted = box.to_edit(number).replace('"job_id": -7', '"job_id": 7').replace("▒2▒", "me:too")
    with pytest.raises(LetterError, match="nothing is edited"):
        box.difference(number, box.to_edit(number))
    with pytest.raises(LetterError, match="would be refused: not a message"):
        box.difference(number, wanted.replace('"job_id": 7', '"job_id": -8'))
    before = box.difference(number, wanted)
    assert '-  "job_id": -7' in before
    assert box.replay_edited(number, wanted, ME) == before
    ((sent, headers),) = database.rows("SELECT body, headers FROM outbox")
    assert json.loads(sent) == json.loads(SECRET.replace(b"ana:geheim", b"me:too"))
    assert headers == {"x-replay-of": str(number), "key": "kill"}
    assert decode(sent.encode()).job_ids == (7,)
    row = "SELECT payload, edited, edit_diff, status, settled_by, settle_reason FROM dead_letter"
    ((payload, edited, *rest),) = database.rows(row)
    assert (bytes(payload), bytes(edited).decode(), rest) == (bad, sent, [before, "replayed", "me", "because"])
    ((actor, action, what, detail),) = database.rows("SELECT actor, action, object, detail FROM audit")
    assert (actor, action, what) == ("me", "dead_letter_replayed", f"dead letter {number}")
    assert detail == {"queue": "watcher", "reason": "because", "edited": True, "difference": before}
    with pytest.raises(LetterError, match="is not open"):
        box.replay_edited(number, wanted, ME)
    assert database.value("SELECT count(*) FROM outbox") == 1


def test_so_many_are_settled_and_no_more(database: Database, box: DeadLetterBox) -> None:
    for job_id in range(1, 252):
        bury(database, kill(job_id))
    assert box.settle(Choice(queue="watcher"), "discarded", ME, most=150).letters == 150
    open_ones = "SELECT min(dead_letter_id), count(*) FROM dead_letter WHERE status = 'open'"
    assert database.rows(open_ones) == [(151, 101)]


def test_what_an_operator_types(run: Run, database: Database, database_url: str, tmp_path: Any) -> None:
    add_jobs(database_url, range(1, 3))
    one, bad = bury(database, kill(1), "alike"), bury(database, SECRET.replace(b"7", b"-7"), "alike \x1b[31m")
    (group,) = [json.loads(line) for line in run("dead", "ls", "--groups", "--json").stdout.splitlines()][1:]
    assert (group["letters"], group["cause"], group["sample_id"]) == (1, "alike", str(one))
    assert "\x1b" not in run("dead", "ls").stdout
    dry = run("dead", "replay", "--all", "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["counts"]) == (1, {"applies": 1, "unreadable": 1})
    shown = run("dead", "show", str(bad))
    assert '"job_id": -7' in shown.stdout
    assert "s3cret" not in shown.stdout + run("dead", "show", str(bad), "--json").stdout
    assert run("dead", "show", str(bad), "--raw").stdout == SECRET.replace(b"7", b"-7").decode()
    copy = tmp_path / "copy.json"
    copy.write_text(run("dead", "show", str(bad), "--to-edit").stdout.replace("-7", "2"))
    assert '+  "job_id": 2' in run("dead", "replay", str(bad), "--edited", str(copy), "--dry-run").stdout
    assert database.value("SELECT count(*) FROM outbox") == 0
    sent = run("dead", "replay", str(bad), "--edited", str(copy), "--reason", "a slip", "--actor", "ana")
    assert sent.stdout.splitlines()[-1] == "1 of 1 replayed, edited"
    assert database.rows("SELECT actor, detail ->> 'reason' FROM audit") == [("ana", "a slip")]
    done = run("dead", "discard", str(one), "--reason", "not worth it", "--json")
    assert json.loads(done.stdout) == {"meant": 1, "discarded": 1, "stay": {}}
    assert (run("dead", "show", "999").returncode, run("dead", "replay", "--edited", str(copy)).returncode) == (1, 2)
    assert (run("dead", "show", "999", "--raw").returncode, run("dead", "show", "0").returncode) == (2, 2)
