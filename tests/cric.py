"""A CRIC inside the test: documents of queues and storages over HTTP, with the marks and the faults of the real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from panda_fsm.information.models import Kind
from panda_fsm.information.sources import Source

_PATHS = {Kind.STORAGE: "/ddmendpoints.json", Kind.SITE: "/sites.json", Kind.QUEUE: "/schedconfig.json",
          Kind.NETWORK: "/closeness.json"}  # fmt: skip
Fault = Callable[["BaseHTTPRequestHandler", bytes], None]
"""Answers instead of the document."""


def queue(name: str, **fields: Any) -> dict[str, Any]:
    """A queue as schedconfig has it."""
    activities = ("pr", "pw", "read_lan", "write_lan")
    return {
        "nickname": name, "panda_resource": name, "lab_site": f"{name}_SITE", "state": "ACTIVE", "status": "online",
        "type": "unified", "astorages": {activity: [f"{name}_DISK"] for activity in activities},
        "copytools": {"mv": {"setup": ""}}, "maxrss": 4000, "maxtime": "86400", "corecount": 1, "maxwdir": 20000,
        "capability": "score", "timefloor": 60,
    } | fields  # fmt: skip


def storage(name: str, site: str, **fields: Any) -> dict[str, Any]:
    """A DDM endpoint."""
    way = {"endpoint": "file://localhost", "flavour": "POSIX", "id": 1, "path": f"/data/{name}"}
    return {"name": name, "site": site, "state": "ACTIVE", "type": "DATADISK", "token": "",
            "arprotocols": {"read_lan": [way], "write_lan": [way]}, "rprotocols": {}} | fields  # fmt: skip


@dataclass
class Cric:
    """Its documents may be changed at any time; `faults` answer instead of one, `asked` is what was sent."""

    documents: dict[Kind, Any] = field(default_factory=lambda: {kind: {} for kind in _PATHS})
    faults: dict[Kind, Fault] = field(default_factory=dict)
    asked: list[tuple[Kind, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def fill(self, count: int) -> None:
        """So many queues, each with a storage of its own."""
        names = [f"CRIC_{number:04d}" for number in range(count)]
        self.documents[Kind.QUEUE] = {name: queue(name) for name in names}
        self.documents[Kind.STORAGE] = {f"{name}_DISK": storage(f"{name}_DISK", f"{name}_SITE") for name in names}

    def url(self, kind: Kind) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{_PATHS[kind]}"

    def source(self, kind: Kind) -> Source:
        return Source(f"cric.{kind}", self.url(kind), kind)

    @property
    def settings(self) -> dict[str, str]:
        """Of a process that asks it for queues and storages."""
        return {
            "PANDA_FSM_CRIC_QUEUES_URL": self.url(Kind.QUEUE),
            "PANDA_FSM_CRIC_STORAGES_URL": self.url(Kind.STORAGE),
        }

    def answers(self, kind: Kind) -> list[int]:
        """The status codes that it answered of one kind."""
        return [status for one, status in self.asked if one is kind]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cric = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                (kind,) = (kind for kind, path in _PATHS.items() if path == self.path)
                content = json.dumps(cric.documents[kind]).encode()
                if kind in cric.faults:
                    cric.asked.append((kind, 0))
                    cric.faults[kind](self, content)
                    return
                etag = f'"{hash(content)}"'
                if self.headers.get("If-None-Match") == etag:
                    cric.asked.append((kind, 304))
                    self.send_response(304)
                    self.end_headers()
                    return
                cric.asked.append((kind, 200))
                answer(self, content, ETag=etag)

            def log_message(self, *_: object) -> None:
                """Not on the test's output."""

        return Handler


def answer(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
