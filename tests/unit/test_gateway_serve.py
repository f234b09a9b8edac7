"""The gateway's process: told to end while it still starts, it ends; nobody tells it a second time."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from gateway.config import GatewayConfig
from gateway.serve import server
from panda_fsm.sites import Sites
from tests.gateway_inside import NoBroker, Store


class Starting(Store):
    """Its process gets the signal in the middle of its start."""

    async def open(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("is_told_before", [True, False])
def test_a_signal_that_comes_while_it_starts_ends_it(is_told_before: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = server(
        GatewayConfig("127.0.0.1", port, Path(), drain_s=0),
        Store() if is_told_before else Starting(),  # type: ignore[arg-type]
        NoBroker(),
        Sites(),
    )
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: serving.end())
    try:
        if is_told_before:
            signal.raise_signal(signal.SIGTERM)
        serving.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert serving.started, "it listened, and left in order"
