"""The pilot's output report: JSON of today, XML of old pilots, and everything that is neither."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_fsm.errors import ReportError
from panda_fsm.jobs.report import OutputFile, parse_report

GUID = "727E5251-EE36-1F44-8EFB-C8FBA7D9BE52"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
OLD_PILOT = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<!-- file meta-data catalog -->
<!DOCTYPE POOLFILECATALOG SYSTEM "InMemory">
<POOLFILECATALOG>
  <File ID="727E5251-EE36-1F44-8EFB-C8FBA7D9BE52">
    <logical><lfn name="AOD.1._000001.root"/></logical>
    <metadata att_name="surl" att_value="srm://se/path/AOD.1._000001.root"/>
    <metadata att_name="fsize" att_value="1273400000"/>
    <metadata att_name="adler32" att_value="0d2a9dc9"/>
  </File>
  <File ID="G2">
    <logical><lfn name="log.1.tgz"/></logical>
    <metadata att_name="fsize" att_value="99"/>
    <metadata att_name="md5sum" att_value="D41D8CD98F00B204E9800998ECF8427E"/>
  </File>
</POOLFILECATALOG>"""

LAUGHS = f"""<!DOCTYPE x [<!ENTITY l0 "lol">{"".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))}]>
<x>&l9;</x>"""

TWICE = """<POOLFILECATALOG>
  <File><logical><lfn name="a.root"/></logical><metadata att_name="fsize" att_value="1"/></File>
  <File><logical><lfn name="a.root"/></logical><metadata att_name="fsize" att_value="{}"/></File>
  <File><logical><lfn name="log.tgz"/></logical><metadata att_name="fsize" att_value="7"/>
    <metadata att_name="adler32" att_value="1"/></File>
</POOLFILECATALOG>"""


def one(**entry: Any) -> str:
    """A JSON report of one file."""
    return json.dumps({"a.root": {"guid": GUID, "fsize": 5} | entry})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (one(adler32="0d2a9dc9"), OutputFile("a.root", GUID, 5, "ad:0d2a9dc9")),
        (one(adler32="0D2A9DC9", md5sum=MD5), OutputFile("a.root", GUID, 5, "ad:0d2a9dc9")),
        (one(adler32="d2a9dc9"), OutputFile("a.root", GUID, 5, "ad:0d2a9dc9")),
        (one(md5sum=MD5.upper()), OutputFile("a.root", GUID, 5, f"md5:{MD5}")),
        (one(fsize="5", adler32="1"), OutputFile("a.root", GUID, 5, "ad:00000001")),
        (one(fsize=None, guid=None), OutputFile("a.root", "", None, "")),
        (one(fsize="", guid="NULL", adler32="NULL", md5sum=None), OutputFile("a.root", "", None, "")),
        (one(fsize="NULL", guid=[1], adler32=""), OutputFile("a.root", "", None, "")),
        (one(fsize="null", guid=" ", adler32="null", md5sum=MD5), OutputFile("a.root", "", None, f"md5:{MD5}")),
        (one(fsize=" 5.0 ", adler32=" ", endpoint="null"), OutputFile("a.root", GUID, 5, "")),
        (
            '{"a.root": {"fsize": 5, "adler32": "1"}, "b": null, "c": "NULL"}',
            OutputFile("a.root", "", 5, "ad:00000001"),
        ),
        (one(fsize=0, endpoint=None), OutputFile("a.root", GUID, 0, "")),
        (one(fsize=5.0, guid="\x00", endpoint="\ud800"), OutputFile("a.root", "", 5, "")),
        (one(surl="davs://se/a.root", endpoint="B", extra=[1]), OutputFile("a.root", GUID, 5, "", "B")),
        (one(full_lfn="a.b.root", endpoint=["B"]), OutputFile("a.root", GUID, 5, "", "", "a.b.root")),
    ],
)
def test_json_entry(text: str, expected: OutputFile) -> None:
    assert parse_report(text) == {"a.root": expected}


def test_old_pilots_xml() -> None:
    assert parse_report(OLD_PILOT) == {
        "AOD.1._000001.root": OutputFile("AOD.1._000001.root", GUID, 1273400000, "ad:0d2a9dc9"),
        "log.1.tgz": OutputFile("log.1.tgz", "G2", 99, f"md5:{MD5}"),
    }


def test_a_file_within_a_file_is_none() -> None:
    """Looked for at any depth, some thousand nested ones would take minutes."""
    inner = '<File><logical><lfn name="b"/></logical><metadata att_name="fsize" att_value="1"/></File>'
    text = f'<x><File><logical><lfn name="a"/></logical>{"<File>" * 20_000}{inner}{"</File>" * 20_000}</File></x>'
    assert parse_report(text) == {"a": OutputFile("a", "", None, "")}


@pytest.mark.parametrize("text", [None, "", "  \n", "{}", "<POOLFILECATALOG/>"])
def test_no_files(text: str | None) -> None:
    assert parse_report(text) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NULL", "not JSON"),
        ("[1]", "not an object"),
        ("<POOLFILECATALOG>", "not XML"),
        ('<!DOCTYPE x [<!ENTITY a "aaa">]><x>&a;</x>', "entities"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "entities"),
        (LAUGHS, "entities"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' * 20_000, "not JSON"),
        (f"<x>{' ' * 2**22}</x>", "longer than"),
        (f"<x>{'<File/>' * 100_001}</x>", "more than the files of any job"),
        (json.dumps({f"f{number}": {} for number in range(100_000)}), "more than the files of any job"),
        ("<a>\ud800</a>", "not XML"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(ReportError, match=why) as caught:
        parse_report(text)
    assert str(caught.value).isprintable(), "the reason is stored with the job"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (one(fsize=-1), "out of range"),
        (one(fsize=2**62), "out of range"),
        (one(fsize="many"), "not a number"),
        (one(fsize=[1]), "not a number"),
        (one(fsize=True), "not a number"),
        (one(fsize=5.5), "not a number"),
        (one(fsize="1_0"), "not a number"),
        (one(fsize=float("inf")), "not a number"),
        (one(fsize=float("nan")), "not a number"),
        (one(adler32="xyz"), "hexadecimal"),
        (one(md5sum="0d2a9dc9"), "32 hexadecimal"),
        (one(md5sum=MD5 + "\n"), "32 hexadecimal"),
        ('{"a.root": 1}', "nothing is said"),
        ('{"a.root": [{"fsize": 1}]}', "nothing is said"),
        ('{"a.root": {"fsize": 1}, "a.root": {"fsize": 2}}', "listed twice"),
        ('{"a.root": {"fsize": 1, "fsize": 2}}', "fsize is said twice"),
        (TWICE.format(2), "listed twice"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_cannot_be_used_is_no_fault_of_the_other_files(text: str, why: str) -> None:
    log = json.dumps({"log.tgz": {"fsize": 7, "adler32": "1"}})
    if text.startswith("{"):
        text = f"{text[:-1]}, {log[1:]}"
    found = parse_report(text)
    assert why in found["a.root"].fault
    assert not found["a.root"].is_whole
    assert found["log.tgz"] == OutputFile("log.tgz", "", 7, "ad:00000001")
    assert found["log.tgz"].is_whole


def test_a_file_without_a_name_is_one_that_the_job_does_not_have() -> None:
    assert list(parse_report("<POOLFILECATALOG><File ID='1'/></POOLFILECATALOG>")) == [""]


@pytest.mark.parametrize("text", ['{"a": {"fsize": 1}, "a": {"fsize": 1}}', TWICE.format(1)])
def test_what_is_said_twice_alike_is_no_contradiction(text: str) -> None:
    assert all(not file.fault for file in parse_report(text).values())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([GUID, MD5, "0d2a9dc9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
entries = st.dictionaries(st.sampled_from(["guid", "fsize", "adler32", "md5sum", "surl"]), values)
reports = st.dictionaries(st.text(max_size=20), entries, max_size=4).map(json.dumps)
tags = st.sampled_from(
    ["<File ID='1'>", "</File>", "<logical>", "</logical>", "<lfn name='a'/>", "<metadata/>", "<!--"]
)
markup = st.lists(tags | st.text(max_size=5)).map(lambda parts: f"<POOLFILECATALOG>{''.join(parts)}</POOLFILECATALOG>")
any_text = st.text(st.characters(exclude_categories=()), max_size=100)


@given(st.one_of(any_text, values.map(json.dumps), reports, markup, any_text.map(lambda text: f"<{text}")))
def test_garbage_raises_report_error_and_nothing_else(text: str) -> None:
    with suppress(ReportError):
        for lfn, stored in parse_report(text).items():
            assert stored.lfn == lfn
            told = stored.guid + stored.checksum + stored.endpoint + stored.full_lfn + stored.fault
            assert told.isprintable(), "what is read can be stored"
            assert stored.size is None or 0 <= stored.size < 2**62
