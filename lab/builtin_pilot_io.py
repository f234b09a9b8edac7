"""What the built-in pilot is told and may touch: the gateway, the files of a job, the local storages."""

import contextlib
import http.client
import json
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TRIES, RETRY_S = 5, 2.0
# The real pilot's numbers, so that operators read one language.
STAGE_IN_FAILED, STAGE_OUT_FAILED, PAYLOAD_FAILED, KILLED, NO_TRANSFORMATION = 1099, 1137, 1305, 1144, 1149
CHUNK = 1 << 20


class RefusedError(OSError):
    """The server refused a request."""


class PilotError(Exception):
    """The job fails with this pilot error code."""

    def __init__(self, code: int, diag: str, exit_code: int = 0) -> None:
        super().__init__(diag)
        self.code, self.exit_code = code, exit_code


class Server:
    """The gateway's HTTP interface as a pilot uses it."""

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers |= {"Authorization": f"Bearer {token}", "Origin": "panda.pilot"}

    def get(self, path: str) -> bytes:
        """Body of a GET."""
        return self._send("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The envelope answered to a POST of JSON."""
        reply: dict[str, Any] = json.loads(self._send("POST", path, json.dumps(body).encode()))
        return reply

    def _send(self, method: str, path: str, body: bytes | None) -> bytes:
        """Sends it again after a 5xx or a broken connection: the gateway may be restarting."""
        for _ in range(TRIES - 1):
            answer = None
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self._send_once(method, path, body)
            if answer is not None and answer[0] < 500:
                return _accepted(*answer, path)
            time.sleep(RETRY_S)
        return _accepted(*self._send_once(method, path, body), path)

    def _send_once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        secure = self._address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._address.hostname or "", self._address.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            return response.status, response.read()


@dataclass(frozen=True)
class File:
    """One input, output or log of a job, at one storage."""

    lfn: str
    scope: str
    storage: str
    checksum: str = ""
    guid: str = ""


@dataclass
class Job:
    """A job as acquired, and its working directory."""

    spec: dict[str, Any]
    directory: Path
    report: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @property
    def job_id(self) -> int:
        """PandaID."""
        return int(self.spec["PandaID"])

    def inputs(self) -> Iterator[File]:
        """Inputs with their checksums."""
        columns = [self._list(name) for name in ("inFiles", "scopeIn", "ddmEndPointIn", "checksum")]
        for lfn, scope, storage, checksum in zip(*columns, strict=True):
            yield File(plain_name(lfn), scope, storage, checksum)

    def outputs(self) -> Iterator[File]:
        """Outputs, then the log; the server lists the log anywhere among the output names."""
        log, scopes = self._text("logFile"), iter(self._list("scopeOut"))
        for lfn, storage in zip(self._list("outFiles"), self._list("ddmEndPointOut"), strict=True):
            if lfn != log:
                yield File(plain_name(lfn), next(scopes), storage, guid=str(uuid.uuid4()).upper())

    def log(self) -> File | None:
        """The log tarball, if the job has one."""
        names = dict(zip(self._list("outFiles"), self._list("ddmEndPointOut"), strict=True))
        lfn = self._text("logFile")
        if lfn not in names:
            return None
        guid = self._text("logGUID") or str(uuid.uuid4()).upper()
        return File(plain_name(lfn), self._text("scopeLog"), names[lfn], guid=guid)

    def _list(self, name: str) -> list[str]:
        return self._text(name).split(",") if self._text(name) else []

    def _text(self, name: str) -> str:
        """The field; absent, null and NULL are all nothing."""
        value = str(self.spec.get(name) or "")
        return "" if value == "NULL" else value


def adler32(path: Path) -> str:
    """Checksum as eight hex digits."""
    value = 1
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            value = zlib.adler32(chunk, value)
    return f"{value:08x}"


def storage_paths(endpoints: dict[str, Any]) -> dict[str, Path]:
    """Local root of every storage that has one."""
    protocols = {name: endpoint["arprotocols"].get("write_lan") or [] for name, endpoint in endpoints.items()}
    return {name: Path(entries[0]["path"]) for name, entries in protocols.items() if entries}


def plain_name(name: str) -> str:
    """The name, which becomes part of a path, unless it would lead elsewhere."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise PilotError(STAGE_IN_FAILED, f"{name!r} is no file name")
    return name


def _accepted(status: int, content: bytes, path: str) -> bytes:
    """The content, if the server accepted the request."""
    if status == 200:
        return content
    raise RefusedError(f"{path}: HTTP {status} {content[:200].decode(errors='replace')}")
