"""The decoder takes what pilots and clients really send, and refuses everything else in one sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.http.bodies import Bodies
from gateway.http.decode import decode_json, decode_plain
from gateway.http.mending import flattened
from gateway.http.refusal import TooLargeError, UndecodableError
from gateway.wire.pilot_requests import BulkUpdateRequest
from gateway.work.waiting import Waiting

LIMIT = 100_000
REPORT = {"jobId": "7", "state": "running", "startTime": 1795389117.5}

ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "json": (json.dumps(REPORT).encode(), REPORT),
    "json with spaces around": (b"  \r\n" + json.dumps(REPORT).encode() + b"\n", REPORT),
    "gzip by its magic bytes": (gzip.compress(json.dumps(REPORT).encode()), REPORT),
    "two gzip members": (gzip.compress(b'{"a":') + gzip.compress(b"1}"), {"a": 1}),
    "gzip of a form": (gzip.compress(b"a=1&b=2"), {"a": "1", "b": "2"}),
    "form": (b"siteName=Q&mem=24105.5&cpu=", {"siteName": "Q", "mem": "24105.5", "cpu": ""}),
    "form with a repeated field": (b"job_ids=1&job_ids=2&job_ids=3", {"job_ids": ["1", "2", "3"]}),
    "form with a field without value": (b"a=1&b&c=x & y", {"a": "1", "b": "", "c": "x ", " y": ""}),
    "form with a broken escape": (b"a=%ZZ&b=%", {"a": "%ZZ", "b": "%"}),
    "nothing": (b"", {}),
    "NaN is no value": (b'{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
    "a number of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", {"a": None}),
    "NaN beside such a number": (b'{"a": NaN, "b": 123456789012345678901}', {"a": None, "b": 123456789012345678901.0}),
    "half a surrogate pair": (b'{"a": "x\\ud800", "b": "\\ud83d\\ude00\\\\ud800"}', {"a": "x\ufffd", "b": "😀\\ud800"}),
    "broken UTF-8 in JSON": (b'{"a": "\xff", "\xfe": 1}', {"a": "\ufffd", "\ufffd": 1}),
    "broken UTF-8 beside NaN": (b'{"a": "\xff\\udcff", "b": NaN}', {"a": "\ufffd\ufffd", "b": None}),
    "control characters in a text": (b'{"a": "1\n2\t\x01\x00\r"}', {"a": "1\n2\t\r"}),
    "nested deeply": (b'{"a":' + b"[" * 64 + b"]" * 64 + b',"b":{}}', {"a": "[" * 64 + "]" * 64, "b": "{}"}),
    "nested without end": (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", {"a": "[" * 50_000 + "]" * 50_000}),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    "a byte order mark, packed": (gzip.compress(b'\xef\xbb\xbf{"a": 1}'), {"a": 1}),
    "broken UTF-8 in a form": (b"a=%ff%fe&b=\xff", {"a": "\ufffd\ufffd", "b": "\ufffd"}),
    "separators around a form": (b"&a=1&&b=2&", {"a": "1", "b": "2"}),
    "a whole number beyond 64 bits": (b'{"a": 123456789012345678901}', {"a": 123456789012345678901.0}),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes, str]] = {
    "json cut short": (b'{"a": 1', "not valid JSON"),
    "json that is a list": (b"[1, 2]", "must be a JSON object"),
    "gzip cut short": (gzip.compress(b'{"a": "' + bytes(range(32, 120)) * 20 + b'"}')[:-20], "ends too early"),
    "gzip with a wrong checksum": (gzip.compress(b"{}")[:-8] + b"\0" * 8, "not valid gzip"),
    "gzip magic and nonsense": (b"\x1f\x8bnonsense", "not valid gzip"),
    "bytes that are nothing": (b"\xff\xfe\x00\x01", "neither"),
    "a form that is none": (b"hello", "neither"),
    "a form without any value": (b"hello&world", "neither"),
    "nested too deeply, and nothing but": (b"[" * 50_000 + b"]" * 50_000, "must be a JSON object"),
    "a text nested in nothing": (b'{"a":' + b"[" * 50_000 + b"}", "not valid JSON"),
    "a number without end": (b'{"a": NaN, "b": 1' + b"0" * 1_000_000 + b"}", "not valid JSON"),
    "json cut short of a megabyte and more": (b'{"a": NaN, "b": "' + b"x" * 1_100_000, "not valid JSON"),
}


def decoded(body: bytes, limit: int) -> dict[str, Any]:
    """The fields of a body, as the gateway decodes it: at once or in a thread, and unpacked within its limit."""
    bodies = Bodies()
    try:
        return asyncio.run(bodies.decoded(body, limit, Waiting(None), lambda fields: fields))
    finally:
        bodies.close()


def length_read(parts: list[bytes], limit: int) -> int:
    """How long a body is that comes in parts."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return len(asyncio.run(Bodies().read(Request({"type": "http"}, receive), limit, Waiting(None))))


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts(case: str) -> None:
    body, fields = ACCEPTED[case]
    assert decoded(body, LIMIT) == fields


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str) -> None:
    body, reason = REFUSED[case]
    with pytest.raises(UndecodableError, match=reason) as refused:
        decoded(body, LIMIT)
    assert refused.value.status == 400
    assert "Traceback" not in refused.value.message


def test_what_is_small_only_as_it_came_is_read_up_to_the_limit() -> None:
    text = "x" * (LIMIT - 10)
    assert decoded(gzip.compress(b'{"a": "%s"}' % text.encode()), LIMIT) == {"a": text}


def test_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < 250_000
    with pytest.raises(TooLargeError, match="when unpacked") as refused:
        decoded(bomb, LIMIT)
    assert refused.value.status == 413


def test_bomb_in_the_second_member_is_refused() -> None:
    with pytest.raises(TooLargeError):
        decoded(gzip.compress(b"{}") + gzip.compress(b" " * 1_000_000), LIMIT)


def test_a_body_of_endless_empty_members_is_refused_before_they_are_read() -> None:
    """Reading them all costs the square of their number: half a minute of a gateway for these."""
    began = time.monotonic()
    with pytest.raises(UndecodableError, match="more than 16 members") as refused:
        decoded(gzip.compress(b"") * 100_000, LIMIT)
    assert time.monotonic() - began < 2
    assert refused.value.status == 400


FOREIGN: dict[str, tuple[bytes, Any]] = {
    "NaN": (b"NaN", None),
    "infinity": (b" -Infinity ", None),
    "beyond 64 bits": (b"123456789012345678901", 123456789012345678901.0),
    "400 digits": (b"-1" + b"0" * 400, None),
    "400 digits and a fraction": (b"1" + b"0" * 400 + b".5e-1", None),
    "an exponent": (b"[1E+999,2e-999,3e5]", [None, 0.0, 3e5]),
    "a name that says so": (b'{"NaN":1,"-Infinity":"1e999"}', {"NaN": 1, "-Infinity": "1e999"}),
    "a tab": (b'"a\tb"', "a\tb"),
    "line ends": (b'"a\r\nb\n"', "a\r\nb\n"),
    "what nobody writes": (b'"a\x00\x01b\x1f"', "ab"),
    "half a pair": (b'"\\ud800x\\udfff"', "\ufffdx\ufffd"),
    "a pair": (b'"\\ud83d\\ude00\\ud83d"', "😀\ufffd"),
    "no pair": (b'"\\\\ud83d\\ude00\\\\\\"\\\\"', '\\ud83d\ufffd\\"\\'),
    "broken UTF-8": (b'"\xff\xe2\x82\xac"', "\ufffd€"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_what_json_does_not_know_is_read_however_large_the_body(case: str) -> None:
    """Wherever the slices end in which it is mended."""
    written, expected = FOREIGN[case]
    for before in (0, *range(256 * 1024 - 20 - len(written), 256 * 1024 + 2, 1 if len(written) < 100 else 50)):
        body = b'{"b":"' + b"x" * before + b'","a":' + written + b',"c":"\\"NaN\\\\",\n"d":Infinity}'
        fields = decode_plain(body)
        assert fields == {"b": "x" * before, "a": expected, "c": '"NaN\\', "d": None}, before


RICH = {
    "in values": b"[" + b"1," * 4_000_000 + b"1]",
    "in objects": b'{"a\\"\\\\":[{}' + b",{}" * 200_000 + b'],"b": "\\u00e9\\n{["}',
    "in depth": b"[" * 100 + b'"]}\\""' + b"]" * 100,
}


@pytest.mark.parametrize("case", RICH)
def test_a_field_that_holds_too_much_is_kept_as_a_text(case: str) -> None:
    field = RICH[case]
    report = b'{"jobId": 1, "metaData": ' + field + b' , "xml": {"a": [1]}, "node": "]{"}'
    expected = {"jobId": 1, "metaData": field.decode(), "xml": '{"a": [1]}', "node": "]{"}
    assert decode_plain(report) == expected
    several = decode_plain(b'{"job_list": [' + report + b', null, {"jobId": 2}]}')
    assert BulkUpdateRequest.model_validate(several).job_list == [expected, None, {"jobId": 2}]


@pytest.mark.parametrize("piece", [b'"ab",', b'"\\"",'])
def test_what_becomes_a_text_costs_what_a_text_costs(piece: bytes) -> None:
    """It was 75 times the body."""
    body = b'{"metaData":' + b"[" * 70 + piece * 300_000 + b'""' + b"]" * 70 + b"}"
    tracemalloc.start()
    try:
        flattened(body, 1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 30_000_000 + 5 * len(body)


def test_what_is_mended_is_counted_once_more() -> None:
    """A backslash and a quote meet where a byte between them is left out: the lists stood in a text before."""
    body = b'["\\\x01","' + b",[]" * 200_000 + b"]"
    with pytest.raises(TooLargeError, match="too many values"):
        decode_json(body)


RECORD = b'{"a": "' + b"x" * 40 + b'"},'


def test_what_packs_as_only_bombs_do_is_refused_where_its_size_would_do() -> None:
    with pytest.raises(TooLargeError, match="more than 250 times") as refused:
        decoded(gzip.compress(b'{"a": "' + b" " * 50_000_000 + b'"}'), 64_000_000)
    assert refused.value.status == 413


def test_ten_thousand_equal_jobs_are_no_bomb() -> None:
    job = json.dumps(["NULL"] * 47 + ["QUEUE"] + ["NULL"] * 78 + [[["NULL"] * 18] * 4])
    body = json.dumps({"jobs": f"[{','.join([job] * 10_000)}]"}).encode()
    assert len(decoded(gzip.compress(body), 64_000_000)["jobs"]) > 10_000_000


AMOUNTS: dict[str, tuple[bytes, bool]] = {
    "empty objects": (b"{}," * 100_000, False),
    "lists": (b"[1]," * 100_000, False),
    "numbers": (b"1," * 4_000_000, False),
    "small objects": (b'{"a":1},' * 60_000, True),
    "records": (RECORD * 1_000, True),
    "ten million bytes of records": (RECORD * 150_000, True),
}  # fmt: skip


@pytest.mark.parametrize("case", AMOUNTS)
def test_values_are_counted_before_they_are_read(case: str) -> None:
    text, is_fine = AMOUNTS[case]
    body = b"[" + text.rstrip(b",") + b"]"
    if is_fine:
        assert decode_json(body)
        return
    began = time.thread_time()
    with pytest.raises(TooLargeError, match="too many values"):
        decode_json(body)
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize("escapes", [b'\\\\\\"', b'\\"', b"\\\\", b"\\n"])
@pytest.mark.parametrize("shift", range(4))
def test_brackets_and_commas_inside_a_text_are_no_values(escapes: bytes, shift: int) -> None:
    """Wherever the slices in which they are counted begin."""
    text = b'{"' + b"x" * shift + b'": "' + (escapes + b"{[,") * 300_000 + b'"}'
    assert decoded(text, 64_000_000)


def test_ten_thousand_ids_fit_into_a_form() -> None:
    fields = decoded(b"code=9&" + b"&".join(b"job_ids=%d" % number for number in range(10_000)), 10_000_000)
    assert len(fields["job_ids"]) == 10_000


def test_a_million_form_fields_are_refused() -> None:
    with pytest.raises(UndecodableError):
        decoded(b"&".join(b"a=1" for _ in range(1_000_000)), 10_000_000)


def test_size_is_counted_while_reading() -> None:
    assert length_read([b"x" * 1000] * 100, LIMIT) == LIMIT
    with pytest.raises(TooLargeError):
        length_read([b"x" * 1000] * 101, LIMIT)


@given(st.binary(max_size=300))
def test_any_bytes_give_fields_or_a_refusal(body: bytes) -> None:
    for sent in (body, b"{" + body, b"\x1f\x8b\x08" + body, zlib.compress(body), gzip.compress(body)):
        try:
            fields = decoded(sent, LIMIT)
        except UndecodableError:
            continue
        # What was accepted can be stored and sent on.
        json.dumps(fields, ensure_ascii=False).encode()


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=40), max_size=5), st.integers(0, 7))
def test_forms_are_read_as_everybody_writes_them(sent: dict[str, str], before: int) -> None:
    """Escapes in which a slice would end included."""
    sent["long"] = "x" * (64 * 1024 - before) + "é+% &"
    assert decoded(urlencode(sent).encode(), 10**6) == sent


def test_escapes_need_no_room_to_speak_of() -> None:
    """20 kB of gzip took 1.7 GB."""
    body = gzip.compress(b"jobId=1&state=running&metaData=" + b"%41" * 3_000_000 + b"a%42" * 1_000_000)
    tracemalloc.start()
    try:
        fields = decoded(body, 10**8)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fields["metaData"] == "A" * 3_000_000 + "aB" * 1_000_000
    assert most < 60_000_000
