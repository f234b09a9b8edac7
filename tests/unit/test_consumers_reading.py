"""Outputs of which only their pilot knew how many there would be: the rows they get, and what is no output at all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers import adder, patterns, reading
from consumers.adder import Adder
from panda_fsm.effects import Effects
from panda_fsm.jobs.job import Job, NewFile
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, FileType, State
from panda_fsm.messages import JobEvent
from panda_fsm.outcomes import Advance, Defer, Outcome, Record
from panda_fsm.plans import Go, Transfer
from tests import factories
from tests.unit.test_consumers_adder import ALL, LOG, LOG_KEPT, MOVING, SUB, Experiments, F, decide, holding, verdict


def reported(*lfns: str, lfn: str, **fields: Any) -> tuple[list[tuple[int, int, str]], dict[int, FileStatus], str]:
    """New files, statuses and the error where a job declares one output `lfn`, and its pilot reports others."""
    job = holding(LOG | dict.fromkeys(lfns, factories.entry()), **fields)
    job.files[1].lfn = lfn
    outcome = decide(job)
    assert isinstance(outcome, Record)
    new = [(file.seq, file.like, file.lfn) for file in outcome.changes.new_files]
    return new, *verdict(outcome)[1:]


VARIABLE: dict[str, tuple[str, tuple[str, ...], list[tuple[int, int, str]]]] = {
    "none but its own": ("x", ("x",), []),
    "two of them": ("x", ("x._1", "x._2"), [(1, 1, "x._1"), (3, 1, "x._2")]),
    "its own too": ("x", ("x", "x._7"), [(3, 1, "x._7")]),
    "with more dots or none": ("x", ("x.._1", "x_2"), [(1, 1, "x.._1"), (3, 1, "x_2")]),
    "dots of its own": ("x.", ("x._1", "x.._2"), [(1, 1, "x.._2"), (3, 1, "x._1")]),
    "numbers of its own": ("x_1", ("x_1_2", "x_1._3"), [(1, 1, "x_1._3"), (3, 1, "x_1_2")]),
    "an LFN is no pattern": ("x+(.[", ("x+(.[._1",), [(1, 1, "x+(.[._1")]),
    "a pattern": ("regex|^o.*\\.root$", ("o1.root", "o2.root"), [(1, 1, "o1.root"), (3, 1, "o2.root")]),
}


@pytest.mark.parametrize("case", VARIABLE)
def test_a_variable_number_of_outputs(case: str) -> None:
    lfn, names, new = VARIABLE[case]
    assert reported(*names, lfn=lfn) == (new, dict.fromkeys({1, 2, *(seq for seq, _, _ in new)}, F.READY), "")


@pytest.mark.parametrize(
    ("lfn", "name", "why"),
    [
        ("x", "x._1a", "x._1a is not an output"),
        ("xy", "x._1", "is not an output"),
        ("x.y", "xzy._1", "is not an output"),
        ("x", "x/../y_1", "is not an output"),
        ("x", "x._1\n", "is not an output"),
        ("x", f"x{'.' * 255}_1", "is not an output"),
        ("regex|^o$", "p", "p is not an output"),
        ("regex|o", "o/../../etc", "cannot be the name"),
        ("regex|o", "o,p", "cannot be the name"),
        ("regex|o", ".o", "cannot be the name"),
        ("regex|o", "odd", "odd cannot be registered: it is odd"),
    ],
)
def test_what_is_no_output_fails_the_job(lfn: str, name: str, why: str) -> None:
    new, statuses, error = reported(name, lfn=lfn)
    assert (new, statuses) == ([], LOG_KEPT)
    assert why in error


def test_a_pattern_that_runs_for_ever_fails_its_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    _, _, error = reported("a" * 60 + "b", lfn="regex|^(a+)+$")
    assert "cannot be compared" in error


def test_slow_patterns_have_their_turn_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has a limit; what is beyond it comes again, and jobs without patterns are not held up."""
    monkeypatch.setattr(patterns, "LIMIT_S", 0.2)
    monkeypatch.setattr(adder, "PATTERNS_S", 0.1)
    jobs = [holding(LOG | {"a" * 60 + "b": factories.entry()}, job_id=number) for number in (1, 2, 3)]
    for job in jobs[:2]:
        job.files[1].lfn = "regex|^(a+)+$"
    failed, later, other = decide_all(jobs)
    assert "cannot be compared" in verdict(failed)[2]
    assert later == Defer("the reports of others take long", 1.0)
    assert "is not an output" in verdict(other)[2]


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_a_batch_reads_reports_only_so_long(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """The first is read however long it takes; what is not read now is neither failed nor without its log."""
    monkeypatch.setattr(adder, "READ_S", -1.0)
    jobs = [holding(LOG, state, job_id=number, report_waits=number == 1) for number in (1, 2, 3)]
    waiting, *outcomes = decide_all(jobs[:1]) + decide_all(jobs[1:])
    assert waiting == outcomes[1] == Defer("the reports of others take long", 1.0)
    assert verdict(outcomes[0])[0] == "failed"
    jobs[0].entered_at -= timedelta(days=2)
    (given_up,) = decide_all(jobs[:1])
    assert "gave up after 24 h: the reports of others take long" in verdict(given_up)[2]


def decide_all(jobs: list[Job]) -> list[Outcome]:
    """What the Adder makes of one batch."""
    items = [
        factories.item(JobEvent(job_id=job.job_id, version=5, state=State.HOLDING, trigger="x"), job) for job in jobs
    ]
    service = Adder(Experiments())
    service.prepare(items)
    return list(map(service.decide, items))


def test_several_patterns_share_the_names() -> None:
    """A name belongs to the first that it fits."""
    job = holding(LOG | dict.fromkeys(("ab", "b", "c"), factories.entry()))
    job.files[1].lfn = "regex|a"
    job.files += [factories.file(3, FileType.OUTPUT, "regex|b", block="block"), factories.file(4, FileType.OUTPUT, "c")]
    outcome = decide(job)
    assert isinstance(outcome, Record)
    assert [(new.seq, new.lfn) for new in outcome.changes.new_files] == [(1, "ab"), (3, "b")]


def test_a_job_has_no_more_files_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_FILES", 4)
    assert reported("x._1", "x._2", lfn="x")[2] == ""
    assert "more than the 4" in reported("x._1", "x._2", "x._3", lfn="x")[2]


def test_names_beyond_all_measure_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be compared with each output, and with users' patterns."""
    monkeypatch.setattr(reading, "_families", lambda *_: pytest.fail("they were looked at"))
    assert "more than the 2000" in reported(*map(str, range(5_000)), lfn="x")[2]


def test_an_output_may_get_its_full_name() -> None:
    job = holding(LOG | {"out.root": factories.entry(full_lfn="out.full.root")})
    outcome = decide(job, Go(MOVING, transfers=(Transfer(SUB, (1, 2)),)))
    assert isinstance(outcome, Advance)
    assert outcome.changes.new_files == (NewFile(1, 1, "out.full.root"),)
    (request,) = outcome.changes.messages
    assert {file["lfn"] for file in json.loads(request.encode())["files"]} == {"out.full.root", "log.tgz"}


def test_a_job_that_has_its_full_names_already_is_read_alike() -> None:
    """It was looked at before, and its catalogue was away."""
    job = holding(LOG | {"out.root": factories.entry(full_lfn="out.full.root")})
    job.files[1].lfn = "out.full.root"
    outcome = decide(job)
    assert verdict(outcome) == ("finished", {1: F.READY, 2: F.READY}, "")
    assert isinstance(outcome, Record)
    assert outcome.changes.new_files == ()


ALIKE: dict[str, tuple[dict[str, str], str]] = {
    "as the log": ({"out.root": "log.tgz"}, "log.tgz"),
    "as another output": ({"out.root": "out2.root"}, "out2.root"),
    "as an input": ({"out.root": "in.root"}, "in.root"),
    "one that only the pilot knew of, as an input": ({"out.root._1": "in.root"}, "in.root"),
    "one that only the pilot knew of, as another": ({"out.root._1": "log.tgz"}, "log.tgz"),
    "swapped": ({"out.root": "out2.root", "out2.root": "out.root"}, "out.root"),
    "twice": ({"out.root": "full.root", "out2.root": "full.root"}, "full.root"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_two_files_are_never_called_alike(case: str) -> None:
    """Nor does a file get another's name that would be free by then: looked at again it would get its own back."""
    names, full_lfn = ALIKE[case]
    renamed = {lfn: factories.entry(full_lfn=full) for lfn, full in names.items()}
    job = holding(LOG | {"out2.root": factories.entry()} | renamed)
    job.files.append(factories.file(3, FileType.OUTPUT, "out2.root", block="block"))
    outcome = decide(job)
    assert f"two files would be called {full_lfn}" in verdict(outcome)[2]
    assert isinstance(outcome, Record)
    assert outcome.changes.new_files == ()
    assert 0 not in verdict(outcome)[1], "inputs are left alone"


def test_new_files_are_there_for_the_next_message_of_the_batch() -> None:
    job = holding(LOG | dict.fromkeys(("out.root._1", "out.root._2"), factories.entry()))
    outcome, effects = decide(job), Effects()
    assert isinstance(outcome, Record)
    effects.record(job, outcome.changes)
    assert [(file.seq, file.lfn, file.status) for file in job.outputs] == [
        (1, "out.root._1", F.READY), (2, "log.tgz", F.READY), (3, "out.root._2", F.READY)
    ]  # fmt: skip
    assert set(effects.new_files) == {(1, 1), (1, 3)}


NAMES = st.sampled_from(
    ["x", "x._1", "x.._2", "x_3", "o1", "o2", "log.tgz", "log.tgz._1", "in.root", "../e", "a,b", "odd", "", "\x00", "y"]
)
ENTRIES = st.fixed_dictionaries(
    {"guid": st.sampled_from(["", "G"])},
    optional={"fsize": st.sampled_from([5, -1, "NULL"]), "adler32": st.sampled_from(["1", "xyz"]), "full_lfn": NAMES},
)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, ENTRIES, max_size=6), st.sampled_from(["finished", "failed"]))
def test_whatever_is_reported_every_output_is_settled_under_a_name_of_its_own(report: Any, state: str) -> None:
    job = holding(report, state, token="an")
    job.files[1].lfn = "x"
    job.files.append(factories.file(3, FileType.OUTPUT, "regex|^o.$", token="an", block="block"))
    outcome, effects = decide(job), Effects()
    assert isinstance(outcome, Record)
    effects.record(job, outcome.changes)
    assert {file.status for file in job.outputs} <= SETTLED_OUTPUT
    assert len({file.lfn for file in job.files}) == len(job.files)
    assert all(error.diagnostic.isprintable() for error in outcome.changes.errors)


@pytest.mark.parametrize("is_jedis", [True, False])
def test_jedi_is_to_be_told_how_many_events_the_payload_wrote(is_jedis: bool) -> None:
    files = [
        {"name": "out.root", "nentries": 7},
        {"name": "log.tgz", "nentries": "many"},
        {"name": "no", "nentries": 1},
    ]
    metadata = json.dumps({"files": {"output": [{"subFiles": files}]}})
    outcome = decide(holding(ALL, label="managed", metadata=metadata, is_jedis=is_jedis))
    assert isinstance(outcome, Record)
    assert (outcome.changes.pilot or {}) == ({"events_of_files": {"1": 7}} if is_jedis else {})
