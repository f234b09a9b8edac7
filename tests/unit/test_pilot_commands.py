"""What a pilot is told: debug mode and commands, said as often as they must be; and what it shows is kept apart."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from consumers.watcher import Watcher
from gateway.access.identity import Identity
from gateway.work.publishing import Publishing
from gateway.work.reports import Reports
from gateway.work.requests import Requests
from panda_fsm.effects import Effects
from panda_fsm.jobs.facts import FACTS, TableLimits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.pilot_commands import changed, for_last_words, refusal, said_twice, spoken, without
from panda_fsm.jobs.plain import Taken
from panda_fsm.jobs.samples import sample
from panda_fsm.jobs.states import Phase, State
from panda_fsm.messages import PilotReport, TellPilot, decode
from panda_fsm.outcomes import Advance, Ignore, Outcome, Record
from tests import factories
from tests.gateway_memory import Broker, Memory

PILOT = Identity("iss", "pilot", "pilot")
COMMANDS: dict[str, str | None] = {
    "softkill": None, "ls -l workDir": None, "tail -30 payload.stdout": None, "ps -ef": None,
    "du -sk": None, "gdb -batch --pid % -ex 'generate-core-file'": None,
    "gdb --batch -nx -p 4711 -ex 'thread apply all bt full' -ex bt": None, "ls -ltr a/b/*.log": None,
    "tail workDir/payload.std*": None, "ps -eo pid": None, "ps axo pid": None, "ls .hidden": None,
    "ls ..": "lead out", "ls ../../x": "lead out", "ls a/../../b": "lead out", "du /": "lead out",
    "ls a /tmp": "lead out", "tail /tmp/x509up_u500": "lead out", "ls '/tmp'": "lead out", "ls ''/tmp": "lead out",
    "ls 'a /tmp'": "lead out", "ls '.'./x": "lead out", "ls a/.*": "lead out", "ls '.'*": "lead out",
    "du .*": "lead out", "du --exclude-from=/etc/x": "lead out", "ls ~/.globus": "arguments", "ls ~": "arguments",
    "tail -f x": "would not end", "tail -30f x": "would not end", "tail --follow x": "would not end",
    "tail --retry x": "would not end", "tail -": "would not end", "du --files0-from=-": "no names from files",
    "ps axe": "no environments", "ps -f e": "no environments", "ps -o environ": "no environments",
    'ps "': "quote", "ls it's": "quote", "gdb --pid % -ex 'bt": "quote",
    "gdb -p 1": "gdb takes", "gdb --pid % -ex 'generate-core-file'": "gdb takes", "gdb -batch -ex bt": "gdb takes",
    "gdb -batch -p % -ex bt": "gdb takes", "gdb -batch -p 1 -p 2": "gdb takes", "gdb -batch -p": "gdb takes",
    "gdb -batch -ex 'shell cat x509up_u500'": "gdb takes", "gdb -batch -p 1 -ex 'python print'": "gdb takes",
    "gdb -batch -p 1 -x script": "gdb takes", "gdb -batch -p 1 -ex": "gdb takes",
    "gdb -batch -p 1 program": "gdb takes",
    "ls": "needs an argument", "ls ": "needs an argument", "rm -rf .": "one of", "debug": "one of",
    "debugoff": "one of", "tobekilled": "one of", "lsof x": "one of", "": "one of", "ls tobekilled": "would end",
    "ls a,b": "arguments", "du a; rm b": "arguments", "du a && rm b": "arguments", "du a|sh": "arguments",
    "du $(rm b)": "arguments", "du `rm b`": "arguments", "du > b": "arguments", "du a\nrm b": "arguments",
    f"ls {'x' * 250}": "longer than 250",
}  # fmt: skip
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the pilot's, not ours
    from pilot.control.job import get_debug_command
# what is told, the command and the debug mode that are wanted: what is told then
CHANGES: list[tuple[str | None, str | None, bool | None, str]] = [
    (None, None, True, "debug"), (None, "ls -l", None, "ls -l"), ("debug", "ls -l", None, "debug,ls -l"),
    ("ls -l", None, True, "debug,ls -l"), ("debug,ls -l", None, False, "ls -l"), ("debug", None, False, ""),
    ("debug,ls -l", "", None, "debug"), ("ls -l", "softkill", None, "softkill"), ("softkill", "", None, ""),
    (None, None, False, ""), (None, "ls debug", None, "ls debug"), ("ls debug", None, False, "ls debug"),
    ("ls -l,", None, True, "debug,ls -l"), ("debug,ls -l,", None, False, "ls -l"), ("ls -l,", "ls -l", None, "ls -l"),
    ("debug,ls -l,", "", None, "debug"), ("softkill", None, True, "softkill"), ("debug", "softkill", None, "softkill"),
    ("softkill", "ls -l", True, "debug,ls -l"),
]  # fmt: skip


def decide(message: Any, job: Job) -> Outcome:
    """What the Watcher makes of it."""
    return Watcher(TableLimits({}, {})).decide(factories.item(message, job))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_pilot_may_be_told(command: str) -> None:
    why_not = COMMANDS[command]
    said = refusal(command)
    assert said is None if why_not is None else why_not in (said or "")


@pytest.mark.parametrize("command", [one for one, why_not in COMMANDS.items() if why_not is None and " " in one])
@pytest.mark.parametrize("debug", [False, True])
def test_the_real_pilot_finds_the_command_in_what_it_is_told(command: str, debug: bool) -> None:
    assert get_debug_command(changed(None, command, debug)) == (True, command)


@pytest.mark.parametrize(("told", "command", "debug", "then"), CHANGES)
def test_debug_mode_and_a_command_stand_side_by_side(
    told: str | None, command: str | None, debug: bool | None, then: str
) -> None:
    assert changed(told, command, debug) == then
    job = factories.job(State.RUNNING, command=told)
    outcome = decide(TellPilot(job_id=1, command=command, debug=debug), job)
    assert isinstance(outcome, Record)
    assert not outcome.renews, "it says nothing of the pilot's life"
    effects = Effects()
    effects.record(job, outcome.changes)
    assert (job.command or "") == then
    assert effects.jobs[1]["command"] == then, "nothing at all would leave it as it was"


def test_off_is_silence() -> None:
    """Real pilots take `debugoff` for `debug`, and fail their job over null."""
    assert "off" not in changed("debug", None, False)
    assert for_last_words(changed("debug", None, False)) is None


@pytest.mark.parametrize("state", State)
def test_only_a_job_whose_pilot_listens_is_told(state: State) -> None:
    outcome = decide(TellPilot(job_id=1, debug=True), factories.job(state))
    assert isinstance(outcome, Ignore if FACTS[state].phase is Phase.FINAL else Record)
    outcome = decide(TellPilot(job_id=1, debug=True), factories.job(state, has_report=True))
    done = FACTS[state].phase in (Phase.POST_PROCESSING, Phase.FINAL)
    assert isinstance(outcome, Ignore if done else Record)


def test_a_kill_goes_before_every_command() -> None:
    killed = factories.job(State.RUNNING, command="tobekilled")
    for tell in (TellPilot(job_id=1, command=""), TellPilot(job_id=1, command="ls -l", debug=True)):
        assert isinstance(decide(tell, killed), Ignore)


def test_a_command_is_said_twice_and_debug_mode_and_soft_kills_again_and_again() -> None:
    """The first answer may be lost on its way: what was told with it is told with the next one too."""
    assert said_twice("debug,ls -l") == said_twice("ls -l") == "ls -l"
    assert said_twice("debug") is said_twice("softkill") is said_twice(None) is None
    for told, then in (("debug,ls -l", "debug"), ("ls -l", "")):
        once = without(told, said_twice(told))
        assert once is not None
        assert spoken(once) == told
        assert without(once, said_twice(told)) is None, "the same message came again"
        assert without(once, said_twice(once)) == then
    assert without("ls -a", "ls -l") is None, "another one was asked for meanwhile"
    assert without("tobekilled", "ls -l") is None


@pytest.mark.parametrize("said", ["running", "finished"])
def test_what_the_pilot_was_told_is_taken_back_with_the_second_report_that_was_answered(said: str) -> None:
    job = factories.job(State.RUNNING, command="debug,ls -l")
    outcome = decide(factories.report(1, said, told="ls -l"), job)
    assert isinstance(outcome, Record | Advance)
    assert spoken(outcome.changes.command or "") == "debug,ls -l"
    job.command = outcome.changes.command
    assert _of(decide(factories.report(1, said, told=said_twice(job.command)), job)).command == "debug"
    assert _of(decide(factories.report(1, said), job)).command is None


def test_a_pilot_that_holds_by_its_own_word_is_told_twice_and_shows_it() -> None:
    job = factories.job(State.TRANSFERRING, command="ls -l")
    beat = factories.report(1, "transferring", heartbeat=True, told="ls -l", attributes={"stdout": "a file"})
    changes = _of(decide(beat, job))
    assert (changes.command, changes.stdout) == ("ls -l,", "a file")


def _of(outcome: Outcome) -> Any:
    assert isinstance(outcome, Record | Advance)
    return outcome.changes


def test_what_the_pilot_shows_goes_apart() -> None:
    changes = _of(decide(factories.report(1, "running", attributes={"stdout": "line", "node": "n"}), factories.job()))
    assert (changes.stdout, changes.pilot) == ("line", {"node": "n"})
    assert _of(decide(factories.report(1, "running", attributes={"stdout": ""}), factories.job())).stdout is None
    last = _of(decide(factories.report(1, "failed", attributes={"stdout": "the end"}), factories.job()))
    assert last.stdout == "the end"


def test_how_the_payload_does_is_sampled_where_the_heartbeat_says_it() -> None:
    said = {"max_rss": 2048, "cpu_consumption_time": 17.5, "node": "n", "n_events": "many"}
    assert sample(said) == {"max_rss": 2048, "cpu_consumption_time": 17}
    assert sample({"node": "n", "core_count": 1}) is None
    assert sample({"n_events": "many"}) is None
    changes = _of(decide(factories.report(1, "running", attributes=said), factories.job()))
    assert changes.sample == {"max_rss": 2048, "cpu_consumption_time": 17}
    assert _of(decide(factories.report(1, "finished", attributes=said), factories.job())).sample is None


ANSWERS = [
    # state, what is told, what the pilot says, its answer, what is noted with the report
    (State.RUNNING, "debug", "running", "debug", None),
    (State.RUNNING, "debug,ls -l", "running", "debug,ls -l", "ls -l"),
    (State.RUNNING, "softkill", "running", "softkill", None),
    (State.STARTING, "ls -l", "running", "ls -l", "ls -l"),
    (State.RUNNING, "debug,ls -l,", "running", "debug,ls -l", "ls -l,"),
    (State.RUNNING, "ls -l,", "running", "ls -l", "ls -l,"),
    (State.RUNNING, "debug,ls -l", "finished", "NULL", "ls -l"),
    (State.RUNNING, "tobekilled", "finished", "tobekilled", None),
    (State.HOLDING, "debug", "running", "debug", None),
    (State.TRANSFERRING, "debug,ls -l", "transferring", "debug,ls -l", "ls -l"),
    (State.TRANSFERRING, "debug,ls -l", "finished", "NULL", "ls -l"),
    (State.HOLDING, "tobekilled", "running", "tobekilled", None),
]


@pytest.mark.parametrize(("state", "told", "said", "answer", "noted"), ANSWERS)
def test_what_a_pilot_hears(state: State, told: str, said: Any, answer: str, noted: str | None) -> None:
    async def scene() -> None:
        job = JobRow(1, state, 0, "owner", PILOT.key, "user", told, None, has_report=False)
        store, broker = Memory(job), Broker()
        behind = Publishing(broker, store.leave)
        report = PilotReport(job_id=1, state=said)
        assert await Reports(store, Requests(store, behind)).accept(report, PILOT) == answer
        await behind.drain()
        if broker.published:
            assert report.told == noted

    asyncio.run(scene())


def test_the_usual_heartbeat_says_what_its_pilot_was_told() -> None:
    async def scene() -> None:
        store, broker = Memory(), Broker()
        store.plain[1] = Taken("debug,ls -l", is_heartbeat=True)
        behind = Publishing(broker, store.leave)
        report = PilotReport(job_id=1, state="running")
        assert await Reports(store, Requests(store, behind)).accept(report, PILOT) == "debug,ls -l"
        await behind.drain()
        assert decode(report.encode()) == report
        assert (report.told, broker.published) == ("ls -l", ["heartbeat"])

    asyncio.run(scene())
