"""Built-in pilots in threads of the test: their payloads are played, and no trouble of the server ends them."""

from __future__ import annotations

import contextlib
import http.client
import threading
from pathlib import Path
from typing import Self

from lab.builtin_pilot import Pilot
from lab.builtin_pilot_io import PAYLOAD_FAILED, Job, PilotError, Server
from lab.site import LabFiles
from tests import factories

EXIT_CODE = 7
SPOILT = f"--fail {EXIT_CODE}"
"""Parameters with which a payload fails."""
_PAUSE_S = 0.05


class _OverError(Exception):
    """The test is over."""


class _PatientServer(Server):
    """What is not answered, or not served now, is sent again for as long as the test goes on."""

    def __init__(self, url: str, token: str, over: threading.Event) -> None:
        super().__init__(url, token)
        self._over = over

    def _send(self, method: str, path: str, body: bytes | None) -> bytes:
        while not self._over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, content = self._send_once(method, path, body)
                if status == 200:
                    return content
                if status < 500:
                    raise AssertionError(f"{path} was refused: {status} {content!r}")
            self._over.wait(_PAUSE_S)
        raise _OverError


class _QuickPilot(Pilot):
    """It writes its outputs instead of running something."""

    def _run_payload(self, job: Job) -> None:
        if SPOILT in str(job.spec["jobPars"]):
            raise PilotError(PAYLOAD_FAILED, "Failed to execute payload", EXIT_CODE)
        for file in job.outputs():
            (job.directory / file.lfn).write_bytes(factories.CONTENT)


class QuickPilots:
    """`with QuickPilots(...):` they take jobs until the block ends."""

    def __init__(self, url: str, lab: LabFiles, directory: Path, label: str, count: int = 4) -> None:
        self._url, self._lab, self._directory, self._label = url, lab, directory, label
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(f"node-{one}",)) for one in range(count)]
        self._trouble: list[BaseException] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        if self._trouble:
            raise AssertionError(f"the pilots failed: {self._trouble}") from self._trouble[0]

    def _work(self, node: str) -> None:
        workdir = self._directory / node
        workdir.mkdir(parents=True)
        server = _PatientServer(self._url, self._token(), self._over)
        try:
            pilot = _QuickPilot(server, factories.QUEUE, self._label, workdir, node)
            while not self._over.is_set():
                if not pilot.run_one():
                    self._over.wait(_PAUSE_S)
        except _OverError:
            pass
        except BaseException as error:
            self._trouble.append(error)

    def _token(self) -> str:
        return (self._lab.root / self._lab.env["OIDC_AUTH_TOKEN"]).read_text().strip()


__all__ = ["EXIT_CODE", "SPOILT", "QuickPilots"]
