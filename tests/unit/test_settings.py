"""Settings: wrong ones stop the start with a sentence that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import sites
from command.duties import duties
from command.settings import Settings, settings
from panda_fsm.errors import SettingsError
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.states import State
from panda_fsm.trouble import Condition
from sql.duty import WorkerSession

ADDRESSES = {"DATABASE_URL": "postgresql://db/x", "BROKER_URL": "amqp://mq/x"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("PANDA_FSM_")]:
        monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of an environment with these variables and the two addresses."""
    for name, value in (ADDRESSES | variables).items():
        monkeypatch.setenv(f"PANDA_FSM_{name}", value)
    return settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOG_LEVEL", "verbose", "PANDA_FSM_LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
        ("BROKER_URL", "http://mq", "PANDA_FSM_BROKER_URL: string should match pattern"),
        ("GATEWAY_PORT", "70000", "PANDA_FSM_GATEWAY_PORT: input should be less than or equal to 65535"),
        ("DEADLINES", "sent", "PANDA_FSM_DEADLINES: not JSON: "),
        ("DEADLINES", '{"sent": "soon"}', "PANDA_FSM_DEADLINES: sent: input should be a valid integer"),
        ("DEADLINES", '{"gone": 5}', "PANDA_FSM_DEADLINES: gone: input should be 'pending'"),
        ("DEADLINES", '{"finished": 5}', "PANDA_FSM_DEADLINES: a job in finished has no deadline"),
        ("REMINDERS", '{"activated": 5}', "PANDA_FSM_REMINDERS: nothing is said again of a job in activated"),
        ("PERIODS", '{"flow": 0}', "PANDA_FSM_PERIODS: flow: 0 must be from 0.01 s to 31 d"),
        ("PERIODS", '{"flow": "daily"}', r"PANDA_FSM_PERIODS: flow: 'daily' is no cron expression \(Wrong number"),
        ("PERIODS", '{"flow": []}', "PANDA_FSM_PERIODS: flow: "),
        ("RELAY_AGE_S", "5", r"PANDA_FSM_RELAY_AGE_S \(5\) must exceed PANDA_FSM_CONFIRM_TIMEOUT_S \(5\)"),
        ("TEMPORARY_FILES", "/a/x.*:tmp/y", "PANDA_FSM_TEMPORARY_FILES: tmp/y: one folder, by its whole path"),
        ("TEMPORARY_FILES", "/a/*/core.*", r"PANDA_FSM_TEMPORARY_FILES: /a/\*/core.\*: one folder, by its whole path"),
        ("TEMPORARY_FILES", "/a/[!a-z]*", r"PANDA_FSM_TEMPORARY_FILES: .*: would be any file of the folder: please"),
        ("RETAIN_AUDIT_DAYS", "0", "PANDA_FSM_RETAIN_AUDIT_DAYS: input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        read(monkeypatch, **{name: value})


def test_sandboxes_are_no_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PANDA_FSM_TEMPORARY_FILES names files in PANDA_FSM_CACHE_DIR: sandboxes"):
        read(monkeypatch, CACHE_DIR=str(tmp_path), TEMPORARY_FILES=f"{tmp_path}/sources.*")


def test_what_is_missing_is_named_with_a_hint() -> None:
    with pytest.raises(SettingsError, match=r"PANDA_FSM_DATABASE_URL: field required; .*make up"):
        settings()


def test_the_command_says_it_without_a_traceback() -> None:
    environment = {**os.environ, "PANDA_FSM_LOG_LEVEL": "verbose"}
    command = [sys.executable, "-m", "command", "serve", "closer"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("SettingsError: PANDA_FSM_DATABASE_URL")
    assert "PANDA_FSM_LOG_LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


def test_levels_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, LOG_LEVEL="WARNING").log_level == "warning"


def test_duties_are_done_as_often_as_is_set_and_one_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerSession("postgresql://db/x", 30)
    config = read(monkeypatch, PERIODS='{"flow": 10, "partitions": "30 3 * * *"}')
    every = {duty.name: duty.every for duty in duties(config, Condition(), worker, ())}
    assert (every["flow"], every["partitions"], every["pulse"]) == (10.0, "30 3 * * *", 1.0)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"PANDA_FSM_PERIODS: there is no duty 'flows': it is one of pulse, .*flow"):
        duties(read(monkeypatch, PERIODS='{"flows": 10}'), Condition(), worker, ())


def test_limits_are_those_of_the_table_but_for_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = read(monkeypatch, DEADLINES='{"sent": 7}', REMINDERS='{"defined": 9}').limits()
    sent, too_old = FACTS[State.SENT].deadlines
    (running, *_) = FACTS[State.RUNNING].deadlines
    assert limits.deadline_s(State.SENT, sent) == 7
    assert limits.deadline_s(State.SENT, too_old) == too_old.seconds
    assert limits.deadline_s(State.RUNNING, running) == running.seconds
    assert limits.remind_s(State.DEFINED) == 9
    assert limits.remind_s(State.HOLDING) == FACTS[State.HOLDING].remind_s


def test_a_sites_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "sites.json"
    for content, what in (
        ("{", "it is no whole JSON"),
        ('{"queues": {"Q": {"storage": "S"}}}', "queue Q: site: Field required"),
    ):
        file.write_text(content)
        with pytest.raises(SettingsError, match=rf"PANDA_FSM_SITES_FILE=.*sites\.json: {what}"):
            sites.load(file)
    with pytest.raises(SettingsError, match=r"PANDA_FSM_SITES_FILE=.*nowhere"):
        sites.load(tmp_path / "nowhere")


def test_no_sites_file_means_no_queues() -> None:
    assert sites.load(None).queues == {}
