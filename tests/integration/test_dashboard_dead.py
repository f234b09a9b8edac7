"""The pages of dead letters: groups, a letter, a dry run, an edited copy; who may, and what is written down."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest

from panda_fsm.messages import KillJob
from panda_fsm.trouble import fingerprint
from tests.driver import Database
from tests.gateway_http import Caller
from tests.letters import bury
from tests.plain_browser import Browser
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

Person = Callable[..., Browser]
HOSTILE = "<script>alert(1)</script>"
ALIKE = fingerprint("watcher", "alike")


@pytest.fixture
def person(gateway: Processes) -> Iterator[Person]:
    """Somebody with a browser."""
    known: list[Browser] = []

    def come(name: str = "ana", role: str = "shifter") -> Browser:
        known.append(Browser(gateway.gateway_url, name, role))
        return known[-1]

    yield come
    for one in known:
        one.close()


def kill(job_id: int, **fields: Any) -> bytes:
    return KillJob(job_id=job_id, **fields).encode()


def statuses(database: Database) -> list[str]:
    return [status for (status,) in database.rows("SELECT status FROM dead_letter ORDER BY dead_letter_id")]


def test_hostile_letters_are_shown_as_text(user: Caller, database: Database) -> None:
    body = json.dumps({HOSTILE: HOSTILE, "password": "geheim"}).encode()
    number = bury(database, body, HOSTILE, queue=HOSTILE, headers={HOSTILE: HOSTILE}, error=HOSTILE)
    for path in ("/ui/dead", f"/ui/dead?fingerprint={fingerprint(HOSTILE, HOSTILE)}&dry_run=yes", f"/ui/dead/{number}"):
        answer = user.http.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text
        assert "geheim" not in answer.text
    (row,) = user.get("/ui/dead.json")["rows"]
    assert (row["dead_letter_id"], row["reason"]) == (str(number), HOSTILE)
    (cells,) = csv.DictReader(io.StringIO(user.http.get("/ui/dead.csv").text))
    assert (cells["dead_letter_id"], cells["queue"]) == (str(number), HOSTILE)
    letter = user.get(f"/ui/dead/{number}.json")["letter"]
    assert json.loads(letter["body"]["text"]) == {HOSTILE: HOSTILE, "password": "▒1▒"}
    assert user.http.get(f"/ui/dead/{number}.csv").text.count("\n") == 2


def test_a_large_body_shows_its_beginning(user: Caller, database: Database) -> None:
    number = bury(database, b'{"jobs": ["' + b"x" * 15_000_000)
    text = user.http.get(f"/ui/dead/{number}").text
    assert "15 MB; this is its beginning" in text
    assert len(text) < 80_000


@pytest.mark.parametrize("name", ["0", "7", "x", "-1", "1e3", "9" * 30, "²", "%3Cscript%3E"])
def test_what_is_no_letter_is_not_there(onlooker: Caller, name: str) -> None:
    answer = onlooker.http.get(f"/ui/dead/{name}")
    assert (answer.status_code, "there is no dead letter" in answer.text) == (404, True)


@pytest.mark.parametrize("query", [{"status": "lost"}, {"dry_run": "no"}, {"after": "x"}, {"colour": "red"}])
def test_crafted_filters_are_refused(onlooker: Caller, query: dict[str, str]) -> None:
    assert onlooker.http.get("/ui/dead", params=query).status_code == 400


def test_a_group_is_tried_and_replayed(person: Person, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 2))
    for body in (kill(1), kill(1), b"?"):
        bury(database, body, "alike")
    ana = person(role="operator")
    page = unescape(ana.get("/ui/dead", fingerprint=ALIKE, dry_run="yes"))
    assert "Dry run:</strong> 2 would apply, 1 cannot be read: it stays." in page
    assert ">3</a> cannot be read: it stays: not a message" in page
    assert "3 alike" in page
    assert '<span class="badge">3</span>' in page
    form = {"fingerprint": ALIKE, "key": "the-key-1", "reason": "mended"}
    first, again = ana.act("replay_group", **form), ana.act("replay_group", **form)
    assert ana.told(first) == ana.told(again) == "2 letters replayed, 1 stays: nobody can read them."
    assert statuses(database) == ["replayed", "replayed", "open"]
    assert database.rows("SELECT routing_key, headers ->> 'x-replay-of' FROM outbox ORDER BY 2") == [
        ("watcher", "1"), ("watcher", "2")
    ]  # fmt: skip
    audit = "SELECT action, object, detail ->> 'name', detail ->> 'reason' FROM audit ORDER BY audit_id"
    assert database.rows(audit) == [("dead_letter_replayed", f"dead letter {n}", "ana", "mended") for n in (1, 2)]
    assert ana.act("replay_group", fingerprint="0" * 16).status_code == 409
    assert "replayed a dead letter" in ana.get("/ui/audit")
    assert ">1 alike" in ana.get("/ui/dead", fingerprint=ALIKE)
    assert "mended" in ana.get("/ui/dead/1")


def test_of_many_it_must_be_typed_how_many(person: Person, database: Database) -> None:
    for _ in range(101):
        bury(database, kill(1), "alike")
    ana = person("ana", "operator")
    assert "type 101" in ana.get("/ui/dead", fingerprint=ALIKE)
    for confirm in ("", "100", "yes"):
        answer = ana.act("discard_group", fingerprint=ALIKE, confirm=confirm)
        assert (answer.status_code, "type 101" in answer.text) == (409, True)
    assert ana.told(ana.act("discard_group", fingerprint=ALIKE, confirm="101")) == "101 letters discarded."
    assert set(statuses(database)) == {"discarded"}


def test_a_letter_is_settled_once_and_what_cannot_be_stays(person: Person, database: Database) -> None:
    one, bad = bury(database, kill(1)), bury(database, b"?")
    ana = person("ana", "operator")
    page = ana.get(f"/ui/dead/{one}")
    assert "is about what nobody knows" in page
    assert '<summary class="btn">Replay…' in page
    assert ana.told(ana.act("replay_dead", letter_id=one)) == f"Dead letter {one} is replayed."
    wait_until(lambda: "Replay…" not in ana.get(f"/ui/dead/{one}"), "others see it a moment later")
    for letter_id, why in ((one, "is not open"), (99, "is not open"), (bad, "stays: not a message")):
        answer = ana.act("replay_dead", letter_id=letter_id)
        assert (answer.status_code, why in answer.text) == (409, True)
    assert ana.told(ana.act("discard_dead", letter_id=bad)) == f"Dead letter {bad} is discarded."
    assert ana.act("discard_dead", letter_id=bad, reason="").status_code == 400
    assert statuses(database) == ["replayed", "discarded"]


def test_a_copy_is_edited_looked_at_and_sent(person: Person, database: Database) -> None:
    body = kill(7, reason=HOSTILE).replace(b'"job_id":7', b'"job_id":-7,"token":"geheim"')
    number = bury(database, body)
    eva = person("eva", "admin")
    page = eva.get(f"/ui/dead/edit/{number}")
    assert "geheim" not in page
    text = unescape(re.findall(r"<textarea[^>]*>\n(.*)</textarea>", page, re.DOTALL)[0])
    wrong = eva.post("/ui/dead/difference", letter_id=number, body=text)
    assert (wrong.status_code, "nothing is edited" in wrong.text) == (409, True)
    copy = text.replace('"job_id": -7', '"job_id": 7')
    shown = eva.post("/ui/dead/difference", letter_id=number, body=copy)
    assert shown.status_code == 200
    assert '-  "job_id": -7' in unescape(shown.text)
    assert "<script>alert" not in shown.text
    again = unescape(re.findall(r'name="body" value="(.*?)"', shown.text, re.DOTALL)[0])
    done = eva.act("edit_dead", letter_id=number, body=again.replace("\n", "\r\n"), reason="a slip")
    assert "is sent; the letter is kept" in eva.told(done)
    ((sent,),) = database.rows("SELECT body FROM outbox")
    assert json.loads(sent) == json.loads(body) | {"job_id": 7}
    assert [bytes(payload) for (payload,) in database.rows("SELECT payload FROM dead_letter")] == [body]
    page = unescape(eva.get(f"/ui/dead/{number}", done="the-key-of-a-form"))
    assert '+  "job_id": 7' in page
    assert "Replayed, edited," in page
    assert eva.act("edit_dead", letter_id=number, body=again).status_code == 409
    assert eva.http.get(f"/ui/dead/edit/{number}").status_code == 409
    assert eva.http.get("/ui/dead/edit/x").status_code == 404


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", ()), ("shifter", ("replay_dead",)), ("operator", ("replay_dead", "discard_dead")),
        ("admin", ("replay_dead", "discard_dead", "edit_dead")),
    ],
)  # fmt: skip
def test_who_may(person: Person, database: Database, role: str, may: tuple[str, ...]) -> None:
    somebody = person("sam", role)
    for name in ("replay_dead", "discard_dead", "edit_dead"):
        number = bury(database, kill(1))
        text = kill(2).decode()
        assert (f'action="/ui/act/{name}"' in somebody.get(f"/ui/dead/{number}")) is (name in may[:2])
        answer = somebody.act(name, letter_id=number, body=text)
        assert (answer.status_code == 303) is (name in may), answer.text
    number = bury(database, kill(1))
    assert (somebody.http.get(f"/ui/dead/edit/{number}").status_code == 200) is (role == "admin")
    looked = somebody.post("/ui/dead/difference", letter_id=number, body=kill(3).decode())
    assert (looked.status_code == 200) is (role == "admin")
    assert ("Edit copy" in somebody.get(f"/ui/dead/{number}")) is (role == "admin")
