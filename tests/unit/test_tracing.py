"""Traces in messages: whose a message is, what goes on with it, and nothing of it where nobody writes spans."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pika.spec import Basic, BasicProperties

from broker.deliveries import delivery
from command import tracing
from engine.fold import put_off, to_dead_letter
from engine.following import followed
from engine.receive import Received
from panda_fsm.effects import Effects, Outgoing
from panda_fsm.errors import SettingsError
from panda_fsm.messages import CheckBlock, KillJob, Message
from panda_fsm.spans import publish
from panda_fsm.tracing import TRACEPARENT, TRACING, Parents, Role, within
from tests import factories
from tests.inprocess import Outlet

SENT = f"00-{'4b' * 16}-00f067aa0ba902b7-01"


class Begun:
    """A span that is remembered."""

    def __init__(self, name: str, parent: str | None, number: int) -> None:
        self.name, self.parent = name, parent
        self.traceparent = f"span {number}"
        self.trouble: str | None = "not ended"

    def end(self, trouble: str | None = None, attributes: Mapping[str, Any] | None = None) -> None:
        self.trouble = trouble


class Writer:
    """Remembers spans."""

    def __init__(self) -> None:
        self.spans: list[Begun] = []

    def begin(
        self, name: str, role: Role, parent: str | None, attributes: Mapping[str, Any], began_ns: int | None = None
    ) -> Begun:
        self.spans.append(Begun(name, parent, len(self.spans)))
        return self.spans[-1]


@pytest.fixture
def writer() -> Iterator[Writer]:
    """Whoever writes spans in this process."""
    TRACING.tracer = one = Writer()
    yield one
    TRACING.tracer = None


MESSAGES: list[tuple[Message, str | None]] = [
    (KillJob(job_id=9, code=9, actor="ana", reason="", cause="m1"), "of m1"),
    (KillJob(job_id=2, code=9, actor="ana", reason="", cause="unheard of"), "of job 2"),
    (KillJob(job_id=2, code=9, actor="ana", reason=""), "of job 2"),
    (CheckBlock(block="b", job_id=1), "of all"),
    (KillJob(job_id=9, code=9, actor="ana", reason=""), "of all"),
]


@pytest.mark.parametrize(("message", "parent"), MESSAGES, ids=[str(number) for number in range(len(MESSAGES))])
def test_a_message_belongs_to_what_caused_it(writer: Writer, message: Message, parent: str | None) -> None:
    with within(Parents("of all", {"m1": "of m1"}, {2: "of job 2"})):
        assert Outgoing.of(message).headers == {TRACEPARENT: parent}
    assert Outgoing.of(message).headers is None, "nothing is being done"


def test_off_a_message_is_as_it_was() -> None:
    with within(Parents("of all")):
        assert Outgoing.of(MESSAGES[0][0]).headers is None
    with followed([received(factories.report(1, "running"), SENT)], Effects()):
        assert Outgoing.of(MESSAGES[0][0]).headers is None


def received(message: Any, traceparent: str | None) -> Received:
    """A message that came."""
    return Received(factories.delivery(message, traceparent=traceparent), message, message.job_ids)


def test_each_message_of_a_batch_has_a_span_and_what_it_leads_to_is_a_part_of_it(writer: Writer) -> None:
    old, traced = factories.report(1, "running"), factories.report(2, "running")
    effects = Effects()
    with followed([received(old, None), received(traced, SENT)], effects):
        headers = [Outgoing.of(KillJob(job_id=n, code=9, actor="a", reason="")).headers for n in (1, 2)]
        effects.dead_letters.append(to_dead_letter(factories.delivery(traced), "unknown"))
    assert [span.parent for span in writer.spans] == [None, SENT]
    assert headers == [{TRACEPARENT: "span 0"}, {TRACEPARENT: "span 1"}]
    assert [span.trouble for span in writer.spans] == [None, "unknown"]
    with pytest.raises(ValueError, match="no"), followed([received(old, None)], Effects()):
        raise ValueError("no")
    assert writer.spans[-1].trouble == "ValueError: no"


def test_what_is_published_has_a_span_if_it_belongs_to_a_trace(writer: Writer) -> None:
    messages = [Outgoing("1", "e", "k", b"{}"), Outgoing("2", "e", "k", b"{}", {TRACEPARENT: SENT})]
    publish(Outlet(), messages, 1, "relay")
    publish(Outlet(silent=True), messages[1:], 1, "relay")
    said = "not confirmed by the broker"
    assert [(s.name, s.parent, s.trouble) for s in writer.spans] == [
        ("publish e", SENT, None),
        ("publish e", SENT, said),
    ]


@pytest.mark.parametrize(
    ("headers", "traceparent"),
    [(None, None), ({"retries": 1}, None), ({TRACEPARENT: SENT}, SENT), ({TRACEPARENT: 7}, None),
     ({TRACEPARENT: SENT * 99}, None)],
)  # fmt: skip
def test_a_message_that_waits_or_is_buried_keeps_its_trace(
    headers: dict[str, Any] | None, traceparent: str | None
) -> None:
    body = factories.report(1, "running").encode()
    came = delivery("watcher", Basic.Deliver(delivery_tag=1), BasicProperties(headers=headers), body)
    assert came.traceparent == traceparent
    effects = Effects()
    put_off(came, "later", effects, message_id="m")
    (waits,) = effects.outgoing
    assert waits.headers is not None
    assert waits.headers.get(TRACEPARENT) == traceparent


def test_off_nothing_of_opentelemetry_is_loaded() -> None:
    script = (
        "import sys, command.main, command.serve, gateway.serve, engine.process\n"
        "from command import tracing\n"
        "with tracing.to('', 'watcher'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_wanted_and_not_installed_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'panda-fsm\[otel\]'"), tracing.to("http://h:4318", "x"):
        pass
    assert TRACING.tracer is None
