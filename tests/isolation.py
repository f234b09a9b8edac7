"""Gives every test a database and a virtual host of its own, fast enough to do it for each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql as statements

from broker.policies import policies
from lab.definitions import users
from lab.rabbitmq import RabbitMQ
from lab.services import Services
from sql.migrate import migrate

TEMPLATE = "panda_template"
NOTHING = "template1"
"""The template of a database that nobody has migrated."""
# A call of rabbitmqctl takes about half a second, a virtual host in it 15 ms: hence a batch per call.
BATCH = 20


class Databases:
    """Copies of one migrated template: migrating takes seconds, a copy well under one."""

    def __init__(self, services: Services) -> None:
        self._postgres = services.postgres
        self._numbers = itertools.count(1)
        self._execute("CREATE DATABASE {}", TEMPLATE)
        migrate(self._postgres.url_of(TEMPLATE))

    @contextmanager
    def fresh(self, template: str = TEMPLATE) -> Iterator[str]:
        """The address of a new, migrated database; it is dropped afterwards, whoever is connected."""
        name = f"test_{next(self._numbers)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self._postgres.url_of(name)
        finally:
            # A test may have left the server down.
            self._postgres.start()
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, command: str, *names: str) -> None:
        statement = statements.SQL(command).format(*map(statements.Identifier, names))
        with psycopg.connect(self._postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement)


class VirtualHosts:
    """Virtual hosts made in batches; the used ones go, with all their queues, when the next batch comes."""

    def __init__(self, services: Services) -> None:
        self._rabbitmq: RabbitMQ = services.rabbitmq
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._used: list[str] = []

    def fresh(self) -> str:
        """The address of a virtual host that nothing has used yet."""
        if not self._free:
            self._refill()
        name = self._free.pop(0)
        self._used.append(name)
        return self._rabbitmq.url_of(name)

    @contextmanager
    def kept(self) -> Iterator[str]:
        """The same for several tests: it does not go while they use it."""
        url = self.fresh()
        name = self._used.pop()
        try:
            yield url
        finally:
            self._used.append(name)

    def _refill(self) -> None:
        new = [f"test_{number}" for number in itertools.islice(self._numbers, BATCH)]
        drop = f'[rabbit_vhost:delete(N, <<"tests">>) || N <- [{_binaries(self._used)}]], '
        add = f'[begin rabbit_vhost:add(N, <<"tests">>), {_permissions()}, {_policies()} end'
        self._rabbitmq.control("eval", f"{drop}{add} || N <- [{_binaries(new)}]], ok.")
        self._free, self._used = new, []


def _permissions() -> str:
    """What the laboratory's users may do, in virtual host N."""
    return ", ".join(
        f'rabbit_auth_backend_internal:set_permissions({_binary(user)}, N, {_binaries(list(may))}, <<"tests">>)'
        for user, may in users().items()
    )


def _policies() -> str:
    """Sets the policies that an operator sets, in virtual host N."""
    return ", ".join(
        f"ok = rabbit_policy:parse_set(N, {_binary(one.name)}, {_binary(one.pattern)},"
        f' {_binary(json.dumps(one.definition))}, 0, <<"queues">>, <<"tests">>)'
        for one in policies()
    )


def _binary(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>'


def _binaries(names: list[str]) -> str:
    """Names as Erlang binaries, separated by commas."""
    return ", ".join(map(_binary, names))
