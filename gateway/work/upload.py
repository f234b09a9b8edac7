"""Receives one uploaded file: multipart parsed as it streams, size counted as it comes, written beside its place."""

import filecmp
import re
import struct
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path
from types import TracebackType
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.http.refusal import RefusalError, TooLargeError, UndecodableError
from gateway.http.route import MB

_SOURCES = "sources."
_MAX_SOURCES = 768 * MB
_MAX_OTHER = 10 * MB
_MAX_HEADERS = 64 * 1024
_SAFE_NAME = re.compile(r"^[^\x00-\x1f\x7f/\\.][^\x00-\x1f\x7f/\\]{0,199}$")
_FOOTER = struct.Struct("<II")


def safe_name(filename: str) -> str:
    """The last part of a path that a client sent. Raises RefusalError when that is no plain file name."""
    name = re.split(r"[/\\]", filename)[-1]
    if not _SAFE_NAME.match(name) or len(name.encode()) > 255:
        raise RefusalError(f"file: {name!r:.80} is not a usable file name")
    return name


class Upload:
    """The field `file` of a multipart body, on its way to a temporary file that is removed unless it is kept."""

    def __init__(self, folder: Path, content_type: str) -> None:
        """Raises UndecodableError unless the body will be multipart."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UndecodableError("the body must be multipart/form-data with the file in the field `file`")
        self.name = ""
        self.size = 0
        self._limit = 0
        self._footer = b""
        self._header: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._wanted = False
        self._file: IO[bytes] = tempfile.NamedTemporaryFile(dir=folder, prefix=".upload-", delete=False)  # noqa: SIM115
        self._path = Path(self._file.name)
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._field,
                "on_header_value": self._value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
            },
        )

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    async def receive(self, chunks: AsyncIterable[bytes]) -> None:
        """Read the whole body. Raises RefusalError."""
        came = 0
        try:
            async for chunk in chunks:
                came += len(chunk)
                if came > _MAX_SOURCES + MB:
                    raise TooLargeError(f"the body is larger than {_MAX_SOURCES} bytes")
                self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError as error:
            raise UndecodableError(f"the body is not valid multipart: {error}") from None
        if not self.name:
            raise RefusalError("file: is missing")
        self._file.close()

    @property
    def checksum(self) -> int:
        """The CRC that a gzip file carries in its footer, which is what panda-client compares."""
        return int(_FOOTER.unpack(self._footer.rjust(_FOOTER.size, b"\0"))[0])

    def equals(self, path: Path) -> bool:
        """True when `path` has the same content, byte by byte: the checksum is the client's word only."""
        return path.is_file() and filecmp.cmp(self._path, path, shallow=False)

    def keep(self, path: Path) -> None:
        """Put the file in its place, at once and whole."""
        self._path.chmod(0o644)
        self._path.replace(path)

    def _part_begin(self) -> None:
        self._header = {}
        self._wanted = False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        if len(self._header_value) > _MAX_HEADERS:
            raise UndecodableError("a header of the multipart body is too long")

    def _header_end(self) -> None:
        self._header[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._header.get(b"content-disposition", b""))
        self._wanted = options.get(b"name") == b"file" and not self.name
        if self._wanted:
            self.name = safe_name(options.get(b"filename", b"").decode(errors="replace"))
            self._limit = _MAX_SOURCES if self.name.startswith(_SOURCES) else _MAX_OTHER

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._wanted:
            return
        self.size += end - start
        if self.size > self._limit:
            raise TooLargeError(f"file: {self.name} is larger than {self._limit} bytes")
        part = data[start:end]
        self._file.write(part)
        self._footer = (self._footer + part[-_FOOTER.size :])[-_FOOTER.size :]
