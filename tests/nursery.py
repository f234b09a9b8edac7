"""Starts panda-fsm processes by forking one that has loaded all their code: a tenth of the time of a fresh start.

What is forked goes on as `panda-fsm` itself does: the same entry, with arguments and environment of its own. Run as a
program, this is the process that is forked: it reads one order a line and answers with a pid.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_PACKAGES = (
    "panda_fsm", "engine", "consumers", "periodic", "plugins", "broker", "sql", "gateway", "jedi", "command",
)  # fmt: skip
_LIBRARIES = ("uvloop", "httptools")


class Nursery:
    """A process that has everything loaded; made when it is needed first, it ends with us."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> int:
        """Start `panda-fsm` with these arguments, detached, its output appended to the log; its pid."""
        return self._order(arguments, environment, cwd, [log, log])

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run `panda-fsm` with these arguments to its end, its output nobody's terminal."""
        with tempfile.TemporaryDirectory() as place:
            output, errors, code = files = [Path(place, name) for name in ("output", "errors", "code")]
            _wait_for(self._order(arguments, environment, cwd, files))
            return subprocess.CompletedProcess(arguments, int(code.read_text()), output.read_text(), errors.read_text())

    def _order(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, files: Sequence[Path]) -> int:
        """Have it forked: `files` are where output and errors go, and, if anybody wants it, the exit code."""
        order = {
            "arguments": arguments, "environment": dict(environment), "cwd": str(cwd), "files": list(map(str, files)),
        }  # fmt: skip
        with self._one_at_a_time:
            if self._process is None or self._process.poll() is not None:
                command = [sys.executable, "-P", __file__]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(order), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, "the process that is forked has ended: it says above why"
            return int(answer)


NURSERY = Nursery()


def _wait_for(pid: int) -> None:
    """Return when the process has ended, which is nobody's child."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([ended], [], [])
    os.close(ended)


def _serve() -> None:
    """Fork at each order, until nobody can give one any more."""
    for name in (*_LIBRARIES, *_modules()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended: no zombie may pass for a living one
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            return _become(**json.loads(line))
        print(pid, flush=True)
    return None


def _modules() -> Iterator[str]:
    """All of ours that can be imported; services import theirs when they begin."""
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                yield module.name


def _become(arguments: Sequence[str], environment: Mapping[str, str], cwd: str, files: Sequence[str]) -> None:
    """In the fork: what a fresh process would be, and then its work. What was loaded before is not looked through."""
    from command.main import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path += filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, name in enumerate(files[:2], start=1):
        with Path(name).open("ab") as file:
            os.dup2(file.fileno(), number)
    sys.argv = ["panda-fsm", *arguments]
    if len(files) == 2:
        main()
    else:
        _note_code(main, Path(files[2]))


def _note_code(main: Callable[[], None], file: Path) -> None:
    """Work, and write down with which code it exits."""
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        file.write_text(str(code))


if __name__ == "__main__":
    _serve()
