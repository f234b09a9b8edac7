"""Secrets in messages: what is hidden where people look, what is not, and how an edited copy keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panda_fsm.errors import LetterError
from panda_fsm.views import payloads
from panda_fsm.views.redaction import Redaction, redacted

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
# A value of JSON, under a name, and what is shown of it.
VALUES: tuple[tuple[str, Any, Any], ...] = (
    ("token", "s3cret", "▒1▒"),
    ("x-auth-Token", "s3cret", "▒1▒"),
    ("dbPassword", 4711, "▒1▒"),
    ("secrets", {"a": ["b"]}, "▒1▒"),
    ("Authorization", "Basic YW5hOmFuYQ==", "▒1▒"),
    ("cookie", "a=b", "▒1▒"),
    ("user_proxy", "/tmp/x509", "▒1▒"),
    ("apiKey", "k", "▒1▒"),
    ("token", "", ""),
    ("token", None, None),
    ("has_secret", True, True),
    ("blockToken", "DATADISK", "DATADISK"),
    ("spacetoken", "DATADISK", "DATADISK"),
    ("name", "my job", "my job"),
    ("job_id", 6543210987, 6543210987),
    ("text", f"it came with {JWT}, see", "it came with ▒1▒, see"),
    ("text", f"key:\n{PEM}\nend", "key:\n▒1▒\nend"),
    ("text", PEM[:40], "▒1▒"),
    ("text", "https://ana:geheim@host/path", "https://▒1▒@host/path"),
    ("text", "https://host/a:b@c", "https://host/a:b@c"),
    ("text", "curl -H 'X: bearer abcdefghij'", "curl -H 'X: bearer ▒1▒'"),
    ("text", "run --password=geheim --events 10", "run --password=▒1▒ --events 10"),
    ("text", "GET /a?access_token=abc&b=1", "GET /a?access_token=▒1▒&b=1"),
    ("text", '{"token": "a b \\" c", "x": 1}', '{"token": ▒1▒, "x": 1}'),
    ("text", "{'secret': 'a b'}", "{'secret': ▒1▒}"),
    ("text", 'token="never ends', "token=▒1▒"),
    ("text", "5 tokens were refused", "5 tokens were refused"),
)


@pytest.mark.parametrize(("name", "value", "shown"), VALUES)
def test_what_is_shown_of_a_value(name: str, value: Any, shown: Any) -> None:
    redaction = Redaction()
    assert redaction.shown({name: value}) == {name: shown}
    assert redaction.restored({name: shown}) == {name: value}


@pytest.mark.parametrize("piece", ["eyJ", "password", "token='", "-----BEGIN A", "://a:", "bearer a", "secret\\"])
def test_no_text_is_looked_at_again_and_again(piece: str) -> None:
    """Each of these, many times over, would take minutes where a pattern begins anew at each of them."""
    redacted(piece * (64 * 1024 // len(piece)))


BODY = json.dumps({"job_id": 1, "token": "s3cret", "parameters": "--password=geheim -n 1", "files": [{"lfn": "a"}]})


def edit(old: str, new: str) -> tuple[Any, str]:
    """What is sent when that was edited, and the difference."""
    text = payloads.to_edit(BODY.encode())
    assert "s3cret" not in text
    assert "geheim" not in text
    assert old in text
    sent, difference = payloads.edited(BODY.encode(), text.replace(old, new))
    return json.loads(sent), difference


def test_an_edit_keeps_what_it_does_not_see() -> None:
    sent, difference = edit('"lfn": "a"', '"lfn": "b"')
    assert sent == json.loads(BODY) | {"files": [{"lfn": "b"}]}
    assert '-      "lfn": "a"' in difference
    assert '+      "lfn": "b"' in difference
    assert "s3cret" not in difference


def test_an_edit_may_write_another_secret_and_does_not_show_it() -> None:
    sent, difference = edit('"token": "▒1▒"', '"token": "n3w"')
    assert sent["token"] == "n3w"
    assert "n3w" not in difference
    assert '-  "token": "▒1▒"' in difference


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"lfn": "a"', '"lfn": "▒1▒"', "would show what is hidden"),
        ('"lfn": "a"', '"lfn": "▒7▒"', "stands for nothing here"),
        ('"lfn": "a"', '"lfn": ', "is no JSON"),
    ],
)
def test_an_edit_that_cannot_be(old: str, new: str, why: str) -> None:
    with pytest.raises(LetterError, match=why):
        edit(old, new)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x00\xff", "is no text"),
        (b"a" * (64 * 1024 + 1), "only up to 64 kB"),
        ('{"a": "▒"}'.encode(), "holds ▒ itself"),
        (b'{"a": "\\u2592"}', "holds ▒ itself"),
        (b"token=abc", "holds what must be hidden"),
    ],
)
def test_a_body_that_cannot_be_edited(body: bytes, why: str) -> None:
    with pytest.raises(LetterError, match=why):
        payloads.to_edit(body)
