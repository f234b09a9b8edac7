"""Reads a pilot's output report: JSON today, POOLFILECATALOG XML from old pilots."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from panda_fsm.errors import ReportError

_MD5 = re.compile(r"^[0-9a-fA-F]{32}$")
_ADLER = re.compile(r"^[0-9a-fA-F]{1,8}$")
_SIZE = re.compile(r"([0-9]{1,20})(?:\.0{0,6})?")
_NOTHING = ("", "NULL", "None", "null")
_LONGEST_NAME = 256
_LONGEST_XML = 4 * 1024 * 1024
"""More than the files of any job need; it is read at a megabyte or two a second."""
_MARKS = "{[:<"
_MOST_MARKS = 100_000
"""Of values and elements, four times what the most files need: they take longer to read than their bytes would say."""
_READ = frozenset({"guid", "fsize", "adler32", "md5sum", "endpoint", "full_lfn"})


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the pilot stored. Size in bytes; checksum as `ad:<8 hex>` or `md5:<32 hex>`.

    What the pilot did not say is None or "". `endpoint`: the storage that has it, where the pilot chose another than it
    was told. `full_lfn`: the name that it is to be known by. `fault`: why what is said of it cannot be used, if it
    cannot; the other files of the report are none the worse for that.
    """

    lfn: str
    guid: str
    size: int | None
    checksum: str
    endpoint: str = ""
    full_lfn: str = ""
    fault: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all that a catalogue must know of it was said."""
        return not self.fault and self.size is not None and self.checksum != ""


class _Said(dict[str, Any]):
    """An object of a report, and the keys of which it says two different things."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        is_plain = len(self) == len(pairs)  # nearly always
        self.contradicted = set() if is_plain else {key for key, value in pairs if _differ(self[key], value)}


def parse_report(text: str | None) -> dict[str, OutputFile]:
    """The files of a report by LFN; an empty report has none. Raises ReportError where no file can be told from it."""
    if text is None or not text.strip():
        return {}
    if sum(map(text.count, _MARKS)) > _MOST_MARKS:
        raise ReportError("output report says more than the files of any job need")
    entries = _from_xml(text) if text.lstrip().startswith("<") else _from_json(text)
    files = {}
    for lfn, entry in entries.items():
        if _said(entry) is None:
            continue
        fault = f"{printable(lfn)} is listed twice, each time differently" if lfn in entries.contradicted else ""
        files[lfn] = _output_file(lfn, entry, fault)
    return files


_JSON = json.JSONDecoder(object_pairs_hook=_Said)


def _from_json(text: str) -> _Said:
    try:
        report = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"output report is not JSON: {error}") from None
    if not isinstance(report, _Said):
        raise ReportError("output report is not an object of files")
    return report


def _from_xml(text: str) -> _Said:
    if len(text) > _LONGEST_XML:
        raise ReportError(f"output report is longer than the {_LONGEST_XML} characters that XML may have")
    try:
        root: Element = fromstring(text)
    except DefusedXmlException:
        raise ReportError("output report declares XML entities") from None
    except (ParseError, ValueError, LookupError) as error:
        raise ReportError(f"output report is not XML: {error}") from None
    # Only what stands where it belongs: to look for it at any depth takes minutes if it is nested deeply enough.
    return _Said([_xml_entry(file) for file in root.findall("File")])


def _xml_entry(file: Element) -> tuple[str, _Said]:
    name = file.find("logical/lfn")
    metadata = [(m.get("att_name", ""), m.get("att_value", "")) for m in file.findall("metadata")]
    return "" if name is None else name.get("name", ""), _Said([("guid", file.get("ID", "")), *metadata])


def printable(name: str) -> str:
    """A name as a diagnosis may show it."""
    return (name if name and name.isprintable() else ascii(name))[:_LONGEST_NAME]


def _output_file(lfn: str, entry: Any, fault: str) -> OutputFile:
    if not isinstance(entry, _Said):
        return OutputFile(lfn, "", None, "", fault=fault or f"{printable(lfn)}: nothing is said of it")
    size, checksum = None, ""
    try:
        for name in sorted(entry.contradicted & _READ):
            raise ReportError(f"{name} is said twice, each time differently")
        size, checksum = _size(entry.get("fsize")), _checksum(entry)
    except ReportError as error:
        fault = fault or f"{printable(lfn)}: {error}"
    guid, endpoint, full_lfn = _remark(entry, "guid", 64), _remark(entry, "endpoint"), _remark(entry, "full_lfn")
    return OutputFile(lfn, guid, size, checksum, endpoint, full_lfn, fault)


def _remark(entry: _Said, name: str, longest: int = _LONGEST_NAME) -> str:
    """A value that nothing depends on: one that cannot be kept was not said."""
    value = _said(entry.get(name))
    return value if isinstance(value, str) and len(value) <= longest and value.isprintable() else ""


def _size(sent: Any) -> int | None:
    value = _said(sent)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and (digits := _SIZE.fullmatch(value.strip())):
        value = int(digits[1])
    if isinstance(value, bool) or not isinstance(value, int):
        raise ReportError("fsize is not a number")
    if not 0 <= value < 2**62:
        raise ReportError("fsize is out of range")
    return value


def _checksum(entry: _Said) -> str:
    adler, md5 = _said(entry.get("adler32")), _said(entry.get("md5sum"))
    if adler is not None:
        if not _ADLER.fullmatch(str(adler)):
            raise ReportError("adler32 is not hexadecimal")
        return f"ad:{str(adler).lower():0>8}"
    if md5 is not None:
        if not _MD5.fullmatch(str(md5)):
            raise ReportError("md5sum is not 32 hexadecimal digits")
        return f"md5:{str(md5).lower()}"
    return ""


def _differ(one: Any, other: Any) -> bool:
    return one is not other and bool(one != other)


def _said(value: Any) -> Any:
    """None for every way of saying nothing."""
    return None if isinstance(value, str) and value.strip() in _NOTHING else value
