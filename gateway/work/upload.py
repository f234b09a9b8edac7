"""Receives one uploaded file: multipart parsed as it streams, size, digest and checksum taken from what came."""

import hashlib
import re
import struct
import zlib
from collections.abc import AsyncIterable
from types import TracebackType

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from gateway.http.refusal import RefusalError, TooLargeError, UndecodableError
from gateway.http.route import MB
from gateway.work.sandboxes import Incoming, Sandboxes

NO_CHECKSUM = -1
"""Of what is no gzip file, or one whose footer does not say what it holds: no client can ask for it."""
_SOURCES = "sources."
MAX_SOURCES = 768 * MB
MAX_OTHER = 10 * MB
MAX_BODY = MAX_SOURCES + MB
_MAX_HEADERS = 64 * 1024
_MAX_BOUNDARY = 256
_AT_A_TIME = 256 * 1024
"""So many bytes are parsed, hashed and written in one go, in a thread."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~+=@,:-]{0,199}")
"""What stands in an address as it is, for clients put it there as it is, and in a file system."""
_TAKEN = {"schedconfig", "ddmendpoints.json"}
"""Below /cache/ these are something else."""
_FOOTER = struct.Struct("<II")
_GZIP = 31  # zlib's name for "gzip header and trailer"
_PIECE = 1 * MB
_MAX_INFLATED = 4096 * MB


def safe_name(filename: str) -> str:
    """The last part of a path that a client sent. Raises RefusalError when it could not be asked for by that name."""
    name = re.split(r"[/\\]", filename)[-1]
    if not _SAFE_NAME.fullmatch(name) or name in _TAKEN:
        raise RefusalError(f"file: {name!r:.80} is not a usable file name")
    return name


class Upload:
    """The field `file` of a multipart body, on its way into the cache. It is left behind unless it is kept."""

    def __init__(self, sandboxes: Sandboxes, content_type: str) -> None:
        """Raises UndecodableError unless the body will be multipart; NoRoomError."""
        boundary = _boundary(content_type)
        self.name = ""
        self.size = 0
        self._limit = 0
        self._sha256 = hashlib.sha256()
        self._gzip = GzipFooter()
        self._header: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._header_bytes = 0
        self._is_file = self._is_complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._field,
                "on_header_value": self._value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )
        self._incoming: Incoming = sandboxes.incoming()

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.__exit__(kind, error, trace)

    async def receive(self, chunks: AsyncIterable[bytes]) -> None:
        """Read the whole body; the file is on disk then, without a name. Raises RefusalError, TransientError."""
        came = 0
        held: list[bytes] = []
        waiting = 0
        async for chunk in chunks:
            came += len(chunk)
            if came > MAX_BODY:
                raise TooLargeError(f"the body is larger than {MAX_SOURCES} bytes")
            held.append(chunk)
            waiting += len(chunk)
            if waiting >= _AT_A_TIME:
                await run_in_threadpool(self._parse, b"".join(held))
                held, waiting = [], 0
        await run_in_threadpool(self._finish, b"".join(held))

    @property
    def checksum(self) -> int:
        """The CRC that stands in the footer of a gzip file, which is what panda-client compares; or NO_CHECKSUM."""
        return self._gzip.checksum

    @property
    def digest(self) -> str:
        """What tells this content from any other."""
        return self._sha256.hexdigest()

    def keep(self) -> None:
        """Give the content its name."""
        self._incoming.keep(self.name)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UndecodableError(f"the body is not valid multipart: {error}") from None

    def _finish(self, data: bytes) -> None:
        self._parse(data)
        if not self._is_complete:
            raise UndecodableError("the body ends too early: its closing boundary is missing")
        if not self.name:
            raise RefusalError("file: is missing")
        self._incoming.finish()

    def _part_begin(self) -> None:
        self._header = {}
        self._header_bytes = 0
        self._is_file = False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADERS:
            raise UndecodableError("the headers of a part of the multipart body are too long")

    def _header_end(self) -> None:
        self._header[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._header.get(b"content-disposition", b""))
        self._is_file = options.get(b"name") == b"file"
        if self._is_file and self.name:
            raise RefusalError("file: comes more than once")
        if self._is_file:
            self.name = safe_name(options.get(b"filename", b"").decode(errors="replace"))
            self._limit = MAX_SOURCES if self.name.startswith(_SOURCES) else MAX_OTHER

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            return
        self.size += end - start
        if self.size > self._limit:
            raise TooLargeError(f"file: {self.name} is larger than {self._limit} bytes")
        part = data[start:end]
        self._sha256.update(part)
        self._gzip.feed(part)
        self._incoming.write(part)

    def _end(self) -> None:
        self._is_complete = True


class GzipFooter:
    """The CRC in the footer of a gzip file, believed only once the content was seen to have it."""

    def __init__(self) -> None:
        # None: it is no gzip file, or not one whose footer covers all of it.
        self._inflater: zlib._Decompress | None = zlib.decompressobj(_GZIP)
        self._left = _MAX_INFLATED
        self._footer = b""

    def feed(self, part: bytes) -> None:
        """The next bytes of the file."""
        if self._inflater is None:
            return
        self._footer = (self._footer + part[-_FOOTER.size :])[-_FOOTER.size :]
        try:
            if not self._inflate(self._inflater, part):
                self._inflater = None
        except zlib.error:  # zlib compares the footer with what it inflated
            self._inflater = None

    @property
    def checksum(self) -> int:
        """The CRC, or NO_CHECKSUM."""
        if self._inflater is None or not self._inflater.eof:
            return NO_CHECKSUM
        return int(_FOOTER.unpack(self._footer)[0])

    def _inflate(self, inflater: "zlib._Decompress", part: bytes) -> bool:
        """False when the file goes on behind its end, or inflates to more than anybody's sandbox."""
        while part or not inflater.eof:
            if inflater.eof:
                return False
            content = inflater.decompress(part, _PIECE)
            self._left -= len(content)
            if self._left < 0 or inflater.unused_data:
                return False
            part = inflater.unconsumed_tail
            if not part and len(content) < _PIECE:
                break
        return True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise UndecodableError("the body must be multipart/form-data with the file in the field `file`")
    if len(boundary) > _MAX_BOUNDARY:
        raise UndecodableError(f"the boundary of the body has more than {_MAX_BOUNDARY} characters")
    return boundary
