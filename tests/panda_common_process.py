"""The process in which the real panda-common works: it starts threads, sets up logs and reads a configuration file.

Run as a program: `send`, `offend` (which waits to be thrown out) or `listen`; a STOMP address, a destination; as JSON
bodies to send, or how many to wait for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.polling import wait_until

CONFIGURATION = """
[logger]
loghost = 127.0.0.1
monport-apache = 9
monurlprefix = /nothing
method = GET
encoding = url
logdir = {directory}
"""


def panda_common(directory: Path, verb: str, url: str, destination: str, argument: Any) -> Any:
    """What was heard, or None; logs are in the directory."""
    home = directory / "etc" / "panda"
    home.mkdir(parents=True, exist_ok=True)
    (home / "panda_common.cfg").write_text(CONFIGURATION.format(directory=directory))
    done = subprocess.run(
        [sys.executable, "-m", "tests.panda_common_process", verb, url, destination, json.dumps(argument)],
        env={**os.environ, "PANDA_HOME": str(directory), "HOME": str(directory)},
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def log_of(directory: Path) -> str:
    """What it wrote of the broker's answers."""
    return (directory / "panda-msg_bkr_utils.log").read_text()


def _run(verb: str, url: str, destination: str, argument: Any) -> Any:
    from pandacommon.pandamsgbkr.msg_bkr_utils import MBListenerProxy, MBSenderProxy

    parts = urlsplit(url)
    place: dict[str, Any] = {
        "host_port_list": [f"{parts.hostname}:{parts.port}"],
        "destination": destination,
        "vhost": unquote(parts.path[1:]),
        "username": parts.username,
        "passcode": parts.password,
        "verbose": True,
    }
    if verb in {"send", "offend"}:
        sender = MBSenderProxy("requests", **place)
        sender.go()
        for body in argument:
            sender.send(body)
        if verb == "send":
            sender.stop()
        else:
            wait_until(lambda: sender.got_disconnected, "the broker hangs up")
        return None
    listener = MBListenerProxy("statuses", prefetch_size=5, use_transaction=False, **place)
    listener.go()
    heard: list[str] = []

    def is_all() -> bool:
        for message in listener.get_messages():
            with message:
                heard.append(message.data)
        return len(heard) >= int(argument)

    wait_until(is_all, "all are heard")
    listener.stop()
    return heard


if __name__ == "__main__":
    what, address, where, rest = sys.argv[1:]
    print(json.dumps(_run(what, address, where, json.loads(rest))))
