"""Installing system packages: never by surprise, never starting a server, and a clear word when it can't."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lab import debian
from lab.debian import MissingPackagesError, Need

ABSENT = Need("rabbitmq-server", lambda: False)
PRESENT = Need("curl", lambda: True)


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The calls of an apt that installs nothing, each with what it was told about starting servers."""
    calls: list[str] = []
    policy = tmp_path / "policy-rc.d"

    def record(*arguments: str) -> None:
        calls.append(f"{arguments[0]} {'exit 101' in policy.read_text() and os.access(policy, os.X_OK)}")

    monkeypatch.setattr(debian, "POLICY", policy)
    monkeypatch.setattr(debian, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(debian, "_apt", record)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return calls


def test_nothing_is_asked_of_apt_when_all_is_there(apt: list[str]) -> None:
    debian.ensure([PRESENT])
    assert not apt


def test_others_than_root_are_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPackagesError, match=r"apt-get install rabbitmq-server$"):
        debian.ensure([ABSENT, PRESENT])


def test_no_server_starts_while_packages_are_installed(apt: list[str]) -> None:
    with pytest.raises(MissingPackagesError, match="is not found"):
        debian.ensure([ABSENT])
    assert apt == ["update True", "install True"]
    assert not debian.POLICY.exists()


def test_a_policy_of_the_machine_s_owner_stays(apt: list[str]) -> None:
    debian.POLICY.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(MissingPackagesError):
        debian.ensure([ABSENT])
    assert debian.POLICY.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_policy_that_a_killed_installation_left_is_ours_to_remove(apt: list[str]) -> None:
    debian.POLICY.write_text(debian.OUR_POLICY)
    with pytest.raises(MissingPackagesError):
        debian.ensure([ABSENT])
    assert apt == ["update True", "install True"]
    assert not debian.POLICY.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_being_told_to_end_waits_for_the_installation(
    apt: list[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    install = debian._apt

    def interrupted(*arguments: str) -> None:
        signal.raise_signal(number)
        install(*arguments)

    ended: list[bool] = []
    monkeypatch.setattr(debian, "_apt", interrupted)
    before = signal.signal(number, lambda *_: ended.append(debian.POLICY.exists()))
    try:
        with pytest.raises(MissingPackagesError):
            debian.ensure([ABSENT])
    finally:
        signal.signal(number, before)
    assert apt == ["update True", "install True"]
    assert ended == [False], "it ends once, and leaves no policy behind"
