"""What holds too much is refused before it is taken apart: a small gzip body must not keep the decoding thread busy."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gateway.http import decode
from gateway.http.decode import decode_plain
from gateway.http.mending import flattened
from gateway.http.refusal import TooLargeError
from gateway.wire.pilot_requests import BulkUpdateRequest

Handed = list[tuple[int, int]]


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    """How many bytes were taken apart, and to which depth."""
    found: Handed = []

    def noted(text: bytes, depth_kept: int) -> bytes:
        found.append((len(text), depth_kept))
        return flattened(text, depth_kept)

    monkeypatch.setattr(decode, "flattened", noted)
    return found


def repeated(times: int, before: bytes, piece: bytes, after: bytes) -> bytes:
    """The same many times, which packs a thousand to one."""
    return before + (piece * times).rstrip(b",") + after


BODIES = {
    "empty reports": (b'{"job_list":[', b"{},", b"]}"),
    "reports that are lists": (b'{"job_list":[', b"[],", b"]}"),
    "lists in a field": (b'{"jobId":1,"metaData":[', b"[],", b"]}"),
    "texts in a field": (b'{"jobId":1,"metaData":[', b'"",', b"]}"),
    "names in a field": (b'{"jobId":1,"metaData":{', b'"":1,', b"}}"),
    "maps of a worker": (b'{"site":"Q","host_name":"h",', b'"a":{},', b"}"),
    "ids that are lists": (b'{"job_ids":[', b"[],", b"]}"),
    "jobs that are nothing": (b'{"jobs":[', b"[],", b"]}"),
    "depth": (b'{"jobId":1,"metaData":', b"[", b"}"),
}


@pytest.mark.parametrize("case", BODIES)
def test_nothing_but_brackets_and_quotes_is_not_taken_apart(handed: Handed, case: str) -> None:
    with pytest.raises(TooLargeError, match="too many values"):
        decode_plain(repeated(4_000_000, *BODIES[case]))
    assert handed == []


REPORTS = {
    "in an object": (b'{"job_list":[', b"{},", b"]}"),
    "in a form": (b"job_list=[", b"{},", b"]"),
    "of a field each": (b'{"job_list":[', b'{"a":[]},', b"]}"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_a_list_of_too_many_reports_is_not_read_report_by_report(handed: Handed, case: str) -> None:
    """As a field of an object it becomes a text once; that text is refused as it is."""
    fields = decode_plain(repeated(150_000, *REPORTS[case]))
    with pytest.raises(ValidationError, match="too many values"):
        BulkUpdateRequest.model_validate(fields)
    assert [depth for _, depth in handed] in ([], [1])


def test_many_reports_of_which_one_is_too_rich_are_all_read(handed: Handed) -> None:
    plain: dict[str, list[object]] = {f"list{number}": [number] for number in range(40)}
    rich: dict[str, list[object]] = {**plain, "metaData": [[]] * 300_000}
    body = json.dumps({"job_list": [rich, *[plain] * 999]}).encode()
    reports = BulkUpdateRequest.model_validate(decode_plain(body)).job_list
    assert len(reports) == 1000
    assert json.loads(reports[0]["metaData"]) == rich["metaData"]
    assert [depth for _, depth in handed] == [1, 2]
