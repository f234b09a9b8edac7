"""A worker process of the daemon, which only its master starts: `python -m command.worker FD MASTER daemon.worker`."""

import gc
import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection

from command import log, parent
from command.compose import NAMES
from command.duties import duties
from command.settings import settings
from periodic.worker import Notes, Worker
from sql.duty import WorkerSession


def start(talk: int) -> "subprocess.Popen[bytes]":
    """Start one that talks with this process by the file descriptor `talk`."""
    command = [sys.executable, "-m", "command.worker", str(talk), str(os.getpid()), "daemon.worker"]
    return subprocess.Popen(command, pass_fds=[talk], start_new_session=True)


def main(talk: int, master: int) -> None:
    """Work until the master ends, or says so."""
    parent.bind(master, signal.SIGKILL)
    config = settings()
    log.configure("daemon", config.log_level, config.log_json)
    session, notes = WorkerSession(config.database_url, config.statement_timeout_s), Notes()
    worker = Worker(duties(config, notes, session, NAMES), session, notes, Connection(talk))
    gc.freeze()
    worker.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
