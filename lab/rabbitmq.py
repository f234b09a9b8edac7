"""A private RabbitMQ node: its own name, cookie, port mapper, data folder and loopback ports."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

import pika
from pika.exceptions import AMQPError

from lab import debian, ports
from lab.account import Account
from lab.daemon import Daemon, DaemonError, tail
from lab.definitions import LAB, definitions, users

PASSWORD = "rabbitmq.password"  # noqa: S105  # the name of the file that holds it
START_TIMEOUT_S = 90.0
_SCHEDULERS = max(1, len(os.sched_getaffinity(0)) // 2)

CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
stomp.listeners.tcp.1 = 127.0.0.1:{stomp_port}
load_definitions = {home}/definitions.json
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.relative = 0.3
log.console = false
log.file = {home}/log/node.log
log.file.level = info
# The log that quorum queues write first: 512 MB by default, too much memory for several nodes on one machine.
raft.wal_max_size_bytes = 134217728
"""
# 4 MiB unless told otherwise, from 3.12.2 on; versions before have no limit, and do not start with this setting.
FRAME_LIMIT = "stomp.max_frame_size = 16777216"


class RabbitMQ:
    """One private RabbitMQ node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._node = Daemon("rabbitmq", directory)
        # A port mapper of our own: the machine's may be missing, serve a system node, or end any time.
        self._mapper = Daemon("epmd", directory)

    @property
    def url(self) -> str:
        """The address of the default virtual host."""
        return self.url_of("%2F")

    def url_of(self, vhost: str, user: str = LAB) -> str:
        """The address of a virtual host of this node."""
        port = ports.kept(self._directory, "amqp")
        return f"amqp://{user}:{self._password(user)}@127.0.0.1:{port}/{vhost}"

    def stomp_url_of(self, vhost: str, user: str) -> str:
        """The same for STOMP."""
        port = ports.kept(self._directory, "stomp")
        return f"stomp://{user}:{self._password(user)}@127.0.0.1:{port}/{vhost}"

    def owns(self, url: str) -> bool:
        """Whether an address is one of this node's, on whatever port it was: nobody else has its password."""
        return (self._directory / PASSWORD).exists() and f":{self._password()}@" in url

    @property
    def is_running(self) -> bool:
        """True while the node's process lives."""
        return self._node.is_running

    def start(self) -> None:
        """Start the port mapper and the node, and wait until the node accepts a real connection."""
        if self.is_running:
            return
        debian.ensure([debian.RABBITMQ])
        self._directory.mkdir(parents=True, exist_ok=True)
        account = Account.for_service("rabbitmq")
        home = account.home(self._directory, "rabbitmq")
        self._configure(account, home)
        self._start_mapper(account, home)
        ports.for_start(self._directory, "erlang")
        self._node.start([str(_script("rabbitmq-server"))], self._environment(home), account=account, cwd=home)
        self._wait_until_ready(home)

    def stop(self) -> None:
        """Shut the node down cleanly, then its port mapper."""
        self._node.stop(signal.SIGTERM, timeout=60.0)
        self._mapper.stop()

    def kill(self) -> None:
        """Crash: the node at once; the port mapper too, since a machine that dies takes both.

        RabbitMQ 3.10 flushes the name of a new quorum queue half a second after its declaration: killed
        before that, it comes back with a queue that never finds a leader. Tests wait a second first.
        """
        self._node.kill()
        self._mapper.kill()

    def restart(self) -> None:
        """Stop and start on the same ports."""
        self.stop()
        self.start()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node (about a second a call) and return its output."""
        account = Account.for_service("rabbitmq")
        home = account.home(self._directory, "rabbitmq")
        done = subprocess.run(
            [str(_script("rabbitmqctl")), "-q", "-n", self._node_name(), *arguments],
            env=self._environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **account.popen_arguments(),
        )
        if done.returncode != 0:
            raise DaemonError(f"rabbitmqctl {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _node_name(self) -> str:
        # The data belongs to the name, and two nodes of one name on a machine would take each other's place.
        return f"panda-{self._kept('rabbitmq.node')}@localhost"

    def _password(self, user: str = LAB) -> str:
        return self._kept(PASSWORD if user == LAB else f"rabbitmq.{user}.password")

    def _kept(self, name: str) -> str:
        """A random word, made up once and kept in a file that only we can read."""
        file = self._directory / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(16))
        return file.read_text()

    def _configure(self, account: Account, home: Path) -> None:
        port, stomp_port = (ports.for_start(self._directory, name) for name in ("amqp", "stomp"))
        text = CONFIGURATION.format(port=port, stomp_port=stomp_port, home=home)
        known = definitions({user: self._password(user) for user in users()})
        # Empty files, so that the node looks at none of those in /etc/rabbitmq.
        files = {"rabbitmq-env.conf": "", "advanced.config": "[].\n", "enabled_plugins": "[rabbitmq_stomp].\n"}
        for name, content in {**files, "rabbitmq.conf": text + _frame_limit(), "definitions.json": known}.items():
            (home / name).touch(mode=0o600)
            (home / name).write_text(content)
            account.own(home / name)

    def _start_mapper(self, account: Account, home: Path) -> None:
        if self._mapper.is_running:
            return
        port = ports.for_start(self._directory, "epmd")
        command = ["epmd", "-address", "127.0.0.1", "-port", str(port)]
        self._mapper.start(command, self._environment(home), account=account, cwd=home)
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline and self._mapper.is_running:
            if _listens(port):
                return
            time.sleep(0.05)
        raise DaemonError(f"epmd did not start\n{self._mapper.log_tail()}")

    def _environment(self, home: Path) -> dict[str, str]:
        erlang = ports.kept(self._directory, "erlang")
        return {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(ports.kept(self._directory, "epmd")),
            "RABBITMQ_NODENAME": self._node_name(),
            "RABBITMQ_DIST_PORT": str(erlang),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "node.pid"),
            # Several nodes share the cores here: schedulers pinned to a core would queue behind each other.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            # Half the cores are our services', and each scheduler more takes CPU with every message. Those that wait
            # busily would take what the services need.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S {_SCHEDULERS}:{_SCHEDULERS}"
            " +sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the script replace itself by the node, so the process we started is the node.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _wait_until_ready(self, home: Path) -> None:
        """Wait for a real handshake; pika is asked only once the port is open, for it logs every refusal."""
        parameters = pika.URLParameters(self.url)
        parameters.socket_timeout = 5.0
        trouble = "nothing listens on its port"
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            if _listens(ports.kept(self._directory, "amqp")):
                try:
                    pika.BlockingConnection(parameters).close()
                except (AMQPError, OSError) as error:
                    trouble = repr(error)
                else:
                    return
            time.sleep(0.1)
        self.kill()
        told = f"{self._node.log_tail()}\n{tail(home / 'log' / 'node.log')}"
        raise DaemonError(f"RabbitMQ did not start: {trouble}\n{told}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _script(name: str) -> Path:
    server = debian.rabbitmq_server()
    if server is None:
        raise DaemonError("RabbitMQ is not installed")
    return server.parent / name


def _frame_limit() -> str:
    """The setting, where this version has it."""
    schemas = _script("rabbitmq-server").resolve().parent.parent.glob("plugins/rabbitmq_stomp-*/priv/schema/*.schema")
    return f"{FRAME_LIMIT}\n" if any("stomp.max_frame_size" in one.read_text() for one in schemas) else ""
