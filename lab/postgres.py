"""A private PostgreSQL: its own data folder, password and loopback port, durable and tuned to be fast."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql as statements

from lab import debian, ports
from lab.account import Account
from lab.daemon import Daemon, DaemonError

DATABASE = "panda"
USER = "panda"
START_TIMEOUT_S = 60.0

# Throughput with durability on: what an acknowledged message caused must survive a power cut.
SETTINGS = """
listen_addresses = '127.0.0.1'
# No local socket: the path of a clone may be longer than the 107 bytes that a socket's name has.
unix_socket_directories = ''
max_connections = 200
fsync = on
synchronous_commit = on
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = lz4
random_page_cost = 1.1
jit = off
track_io_timing = off
autovacuum_naptime = 15s
timezone = 'UTC'
log_timezone = 'UTC'
"""


class Postgres:
    """One private PostgreSQL server with a database `panda`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._daemon = Daemon("postgres", directory)

    @property
    def url(self) -> str:
        """The address of the database `panda`, password included."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The address of a database of this server."""
        port = ports.kept(self._directory, "postgres")
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{port}/{database}"

    def owns(self, url: str) -> bool:
        """Whether an address is one of this server's, on whatever port it was: nobody else has its password."""
        return self._password_file.exists() and f":{self._password()}@" in url

    @property
    def is_running(self) -> bool:
        """True while the server process lives."""
        return self._daemon.is_running

    def start(self) -> None:
        """Create the data folder at the first start, start the server and wait until it answers."""
        if self.is_running:
            return
        debian.ensure([debian.POSTGRESQL])
        self._directory.mkdir(parents=True, exist_ok=True)
        account = Account.for_service("postgres")
        home = account.home(self._directory, "postgres")
        if not (home / "data" / "PG_VERSION").exists():
            self._initialise(account, home)
        port = ports.for_start(self._directory, "postgres")
        command = [str(_bin() / "postgres"), "-D", str(home / "data"), "-p", str(port)]
        self._daemon.start(command, _environment(home), account=account, cwd=home)
        self._wait_until_ready()
        self._create_database()

    def stop(self) -> None:
        """Shut down cleanly, without waiting for clients to leave."""
        self._daemon.stop(signal.SIGINT)

    def kill(self) -> None:
        """Crash: the server and all its backends at once; the next start recovers from the log."""
        self._daemon.kill()

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    @property
    def _password_file(self) -> Path:
        return self._directory / "postgres.password"

    def _password(self) -> str:
        file = self._password_file
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24))
        return file.read_text()

    def _initialise(self, account: Account, home: Path) -> None:
        """Run initdb with a password for every connection, so that no other local user gets in."""
        password = home / "password"
        password.write_text(self._password())
        account.own(password)
        command = [str(_bin() / "initdb"), "-D", str(home / "data"), "-U", USER, "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password}"]
        done = subprocess.run(
            command,
            env=_environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **account.popen_arguments(),
        )
        password.unlink()
        if done.returncode != 0:
            raise DaemonError(f"initdb failed:\n{done.stdout}{done.stderr}")
        with (home / "data" / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url_of("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if not self.is_running or time.monotonic() > deadline:
                    self.kill()
                    raise DaemonError(f"PostgreSQL did not start: {error}\n{self._daemon.log_tail()}") from None
                time.sleep(0.1)
            else:
                return

    def _create_database(self) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                connection.execute(statements.SQL("CREATE DATABASE {}").format(statements.Identifier(DATABASE)))


def _bin() -> Path:
    found = debian.postgres_bin()
    if found is None:
        raise DaemonError("PostgreSQL is not installed")
    return found


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
