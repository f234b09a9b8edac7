"""Reads a pilot's output report: JSON today, POOLFILECATALOG XML from old pilots."""

import json
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from panda_fsm.errors import ReportError

_MD5 = re.compile(r"^[0-9a-fA-F]{32}$")
_ADLER = re.compile(r"^[0-9a-fA-F]{1,8}$")
_SIZE = re.compile(r"([0-9]{1,20})(?:\.0{0,6})?")
_NOTHING = ("", "NULL", "None", "null")
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the pilot stored. Size in bytes; checksum as `ad:<8 hex>` or `md5:<32 hex>`.

    What the pilot did not say is None or "". `endpoint`: the storage that has it, where the pilot chose another than it
    was told. `full_lfn`: the name that it is to be known by.
    """

    lfn: str
    guid: str
    size: int | None
    checksum: str
    endpoint: str = ""
    full_lfn: str = ""


def parse_report(text: str | None) -> dict[str, OutputFile]:
    """The files of a report by LFN; an empty report has none. Raises ReportError naming what is wrong."""
    if text is None or not text.strip():
        return {}
    entries = _from_xml(text) if text.lstrip().startswith("<") else _from_json(text)
    return {lfn: _output_file(lfn, entry) for lfn, entry in entries.items()}


def _from_json(text: str) -> dict[str, dict[str, Any]]:
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"output report is not JSON: {error}") from None
    if not isinstance(report, dict):
        raise ReportError("output report is not an object of files")
    entries = {lfn: entry for lfn, entry in report.items() if _said(entry) is not None}
    if not all(isinstance(entry, dict) for entry in entries.values()):
        raise ReportError("output report is not an object of files")
    return entries


def _from_xml(text: str) -> dict[str, dict[str, Any]]:
    if "<!ENTITY" in text:
        raise ReportError("output report declares XML entities")
    try:
        # Entity declarations, the one way XML text grows without bound, were refused above.
        root = ElementTree.fromstring(text)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReportError(f"output report is not XML: {error}") from None
    entries: dict[str, dict[str, Any]] = {}
    for file in root.iter("File"):
        name = file.find("logical/lfn")
        if name is None or not name.get("name"):
            raise ReportError("output report has a File without an lfn")
        metadata = {m.get("att_name", ""): m.get("att_value", "") for m in file.iter("metadata")}
        entries[name.get("name", "")] = {"guid": file.get("ID", ""), **metadata}
    return entries


def _output_file(lfn: str, entry: dict[str, Any]) -> OutputFile:
    if not lfn or not lfn.isprintable():
        raise ReportError(f"output report has a file without a printable name: {ascii(lfn)[:100]}")
    return OutputFile(
        lfn,
        _remark(entry, "guid", 64),
        _size(lfn, entry.get("fsize")),
        _checksum(lfn, entry),
        _remark(entry, "endpoint", _LONGEST_NAME),
        _remark(entry, "full_lfn", _LONGEST_NAME),
    )


def _remark(entry: dict[str, Any], name: str, longest: int) -> str:
    """A value that nothing depends on: one that cannot be kept was not said."""
    value = _said(entry.get(name))
    return value if isinstance(value, str) and len(value) <= longest and value.isprintable() else ""


def _size(lfn: str, sent: Any) -> int | None:
    value = _said(sent)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and (digits := _SIZE.fullmatch(value.strip())):
        value = int(digits[1])
    if isinstance(value, bool) or not isinstance(value, int):
        raise ReportError(f"fsize of {lfn} is not a number")
    if not 0 <= value < 2**62:
        raise ReportError(f"fsize of {lfn} is out of range")
    return value


def _checksum(lfn: str, entry: dict[str, Any]) -> str:
    adler, md5 = _said(entry.get("adler32")), _said(entry.get("md5sum"))
    if adler is not None:
        if not _ADLER.fullmatch(str(adler)):
            raise ReportError(f"adler32 of {lfn} is not hexadecimal")
        return f"ad:{str(adler).lower():0>8}"
    if md5 is not None:
        if not _MD5.fullmatch(str(md5)):
            raise ReportError(f"md5sum of {lfn} is not 32 hexadecimal digits")
        return f"md5:{str(md5).lower()}"
    return ""


def _said(value: Any) -> Any:
    """None for every way of saying nothing."""
    return None if isinstance(value, str) and value.strip() in _NOTHING else value
