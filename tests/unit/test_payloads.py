"""How bodies are shown: whatever is in them they are a text, and never more than 64 kB of it."""

from __future__ import annotations

import gzip
import json

import pytest

from panda_fsm.views.payloads import SHOWN_BYTES, difference, edited, show

JSON = b'{"job_id":7,"token":"abc"}'
LAID_OUT = '{\n  "job_id": 7,\n  "token": "▒1▒"\n}'
MEGABYTES_15 = 15 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "form", "text"),
    [
        (JSON, "JSON", LAID_OUT),
        (gzip.compress(JSON, mtime=0), "JSON, packed by gzip", LAID_OUT),
        (gzip.compress(b"hello", mtime=0), "text, packed by gzip", "hello"),
        (b"hello <script>", "text", "hello <script>"),
        (b"", "text", ""),
        (b"[" * 2000, "text", "[" * 2000),
        (b"\x00\xffA", "bytes", "000000  00 ff 41" + " " * 41 + "..A"),
        (b"\x1f\x8bno gzip\xff", "bytes", "000000  1f 8b 6e 6f 20 67 7a 69 70 ff" + " " * 20 + "..no gzip."),
        ("Grüße".encode(), "text", "Grüße"),
    ],
)
def test_forms(body: bytes, form: str, text: str) -> None:
    shown = show(body, len(body))
    assert (shown.form, shown.text, shown.size, shown.is_cut) == (form, text, len(body), False)


@pytest.mark.parametrize(
    ("beginning", "form"),
    [
        (b'{"jobs":[' + b'{"name":"a","secret":"x"},' * 4000, "JSON"),
        (b'{"secret":"' + b"x" * SHOWN_BYTES, "JSON"),
        ("ü".encode() * SHOWN_BYTES, "text"),
        (b"x" + "ü".encode() * SHOWN_BYTES, "text"),
        (b"\0" * SHOWN_BYTES, "bytes"),
        (gzip.compress(b"0" * 100_000_000, mtime=0)[:SHOWN_BYTES], "text, packed by gzip"),
    ],
)
def test_of_a_large_body_the_beginning_is_shown(beginning: bytes, form: str) -> None:
    shown = show(beginning, MEGABYTES_15)
    assert (shown.form, shown.is_cut, shown.size) == (form, True, MEGABYTES_15)
    assert len(shown.text) <= SHOWN_BYTES
    assert '"x' not in shown.text
    assert not shown.text.startswith("ü") or "\N{REPLACEMENT CHARACTER}" not in shown.text


def test_a_text_may_be_edited_as_it_is() -> None:
    assert edited(b"half a {", "a whole {}\r\n") == (b"a whole {}\n", "@@ -1 +1 @@\n-half a {\n+a whole {}")


def test_a_difference_shows_what_is_around() -> None:
    before = [f"line {number}" for number in range(20)]
    after = [*before[:10], "another", *before[11:]]
    assert difference("\n".join(before), "\n".join(before)) == ""
    found = difference("\n".join(before), "\n".join(after)).splitlines()[1:]
    assert found == [
        " line 7", " line 8", " line 9", "-line 10", "+another", " line 11", " line 12", " line 13"
    ]  # fmt: skip


def test_texts_that_differ_in_thousands_of_lines_are_not_compared_one_by_one() -> None:
    """Alike lines in another order are what such a comparison takes longest for."""
    before = [str(number % 200) for number in range(20_000)]
    found = difference("\n".join(before), "\n".join(reversed(before))).splitlines()
    assert (found[0], found[-1], len(found)) == ("-0", "+0", 2 * len(before))


def test_large_numbers_stay_what_they_are() -> None:
    body = json.dumps({"job_id": 2**62 + 1, "x": 1}).encode()
    sent, _ = edited(body, show(body, len(body)).text.replace('"x": 1', '"x": 2'))
    assert json.loads(sent) == {"job_id": 2**62 + 1, "x": 2}
