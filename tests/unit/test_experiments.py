"""All experiments side by side: each job asks its own, and one in trouble costs the others nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from string import ascii_lowercase, ascii_uppercase
from typing import Any, ClassVar

import pytest

from panda_fsm.errors import SettingsError
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.names import NameRule
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.outcomes import FileChange
from panda_fsm.plans import Go, Later, Plan
from panda_fsm.ports import Catalogue
from panda_fsm.sites import Queue, Sites
from panda_fsm.trouble import Condition
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments import registry
from plugins.experiments.registry import GROUP, IsolatedExperiments
from tests import factories
from tests.polling import wait_until

SITES = Sites(queues={factories.QUEUE: Queue(site="LAB", storage="LAB_DISK")})


class Quiet:
    """A plugin that works, and notes which jobs it saw."""

    names: ClassVar[NameRule] = NameRule(ascii_lowercase, 5, "small letters")
    seen: list[int]

    def __init__(self, sites: Sites, catalogue: Catalogue) -> None:
        assert sites is SITES
        type(self).seen = []

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        self.seen.extend(job.job_id for job in jobs)
        return {job.job_id: Go() for job in jobs}

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        return {job.job_id: Go(tuple(FileChange(f.seq, FileStatus.READY) for f in job.files if f.lfn in stored))
                for job, stored in jobs}  # fmt: skip

    keep_logs = add_outputs


class Sold(Quiet):
    """Another."""

    names: ClassVar[NameRule] = NameRule(ascii_uppercase, 5, "large letters")


class Broken(Quiet):
    """Does not load."""

    def __init__(self, sites: Sites, catalogue: Catalogue) -> None:
        raise ModuleNotFoundError("no client of its catalogue")


class Stuck(Quiet):
    """Does not come to the end of its loading."""

    def __init__(self, sites: Sites, catalogue: Catalogue) -> None:
        Hung.gate.wait()


class Nameless(Quiet):
    """Has no rule for names."""

    names: ClassVar[Any] = None


class Misspelt(Quiet):
    """Has a rule for names that cannot be used."""

    @property
    def names(self) -> NameRule:  # type: ignore[override]
        return NameRule(ascii_lowercase, 5, "small\x00letters")


class First(Quiet):
    """Cannot answer before the other one was asked."""

    other_was_asked = threading.Event()

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        assert self.other_was_asked.wait(20)
        return super().setup(jobs)


class Second(Quiet):
    """The other one."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        First.other_was_asked.set()
        return super().setup(jobs)


class Hung(Quiet):
    """Never answers, until the test is over."""

    gate = threading.Event()

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        self.gate.wait()
        return {}


@pytest.fixture(autouse=True)
def gates() -> Iterator[None]:
    """Closed before a test, open after it."""
    First.other_was_asked.clear()
    Hung.gate.clear()
    yield
    Hung.gate.set()


def experiments(condition: Condition | None = None, limit_s: float = 30.0, **plugins: str) -> IsolatedExperiments:
    """Experiments by VO, each a class of this module; `generic` unless given is Quiet."""
    classes = {"generic": "Quiet"} | plugins
    entries = [EntryPoint(vo, f"{__name__}:{name}", GROUP) for vo, name in classes.items()]
    return IsolatedExperiments(SITES, LocalCatalogue(SITES), condition or Condition(), limit_s, entries)


def jobs(*vos: str) -> list[Job]:
    """A new job of each VO, numbered from 1."""
    return [factories.job(State.DEFINED, job_id=number, vo=vo) for number, vo in enumerate(vos, 1)]


def test_each_experiment_sees_its_own_jobs_and_generic_those_of_all_others() -> None:
    both = experiments(y="Sold")
    assert both.setup(jobs("x", "y", "", "generic")) == dict.fromkeys((1, 2, 3, 4), Go())
    assert (sorted(Quiet.seen), Sold.seen) == ([1, 3, 4], [2])


def test_jobs_with_many_files_are_asked_about_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once would take longer than a plugin is waited for. The first is asked about whatever it has."""
    monkeypatch.setattr(registry, "MOST_FILES", 3)
    asked = jobs("x", "x", "x", "y")
    for job, files in zip(asked, (4, 1, 0, 3), strict=True):
        job.files = [factories.file(seq, FileType.OUTPUT, f"o{seq}") for seq in range(files)]
    both = experiments(y="Sold")
    later = Later("jobs with many files are asked about a few at a time")
    assert both.setup(asked) == {1: Go(), 2: later, 3: later, 4: Go()}
    assert both.setup(asked[1:3]) == {2: Go(), 3: Go()}
    assert both.add_outputs([(job, {}) for job in asked])[2] == later


def test_jobs_whose_outputs_stay_are_asked_about_elsewhere_whatever_their_vo() -> None:
    local, usual = jobs("y", "y")
    local.destination = "local"
    assert experiments(y="Quiet", local="Sold").setup([local, usual]) == {1: Go(), 2: Go()}
    assert (Sold.seen, 2 in Quiet.seen) == ([1], True)


def test_experiments_are_asked_side_by_side() -> None:
    both = experiments(a="First", b="Second")
    assert both.setup(jobs("a", "b")) == {1: Go(), 2: Go()}


def test_an_experiment_that_hangs_keeps_no_other_from_its_plans() -> None:
    condition = Condition()
    plans = experiments(condition, limit_s=1.0, a="Hung").setup(jobs("a", "b", "a"))
    assert plans[2] == Go()
    assert plans[1] == plans[3] == Later("experiment a did not answer within 1 s")
    assert condition.trouble == "experiment a: did not answer within 1 s"


def test_an_experiment_that_does_not_load_stops_itself_only() -> None:
    condition = Condition()
    plans = experiments(condition, a="Broken", b="NoSuchClass").setup(jobs("a", "b", "c"))
    assert plans[1] == Later("experiment a does not load: ModuleNotFoundError: no client of its catalogue")
    assert isinstance(plans[2], Later)
    assert "experiment b does not load: AttributeError" in plans[2].reason
    assert plans[3] == Go()
    assert "experiment a: does not load" in str(condition.trouble)
    assert "experiment b: does not load" in str(condition.trouble)


def test_an_experiment_that_takes_long_to_load_keeps_no_other_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "START_S", 0.05)
    condition = Condition()
    both = experiments(condition, a="Stuck", b="Sold")
    assert both.setup(jobs("a", "b")) == {1: Later("experiment a is still being loaded"), 2: Go()}
    assert condition.trouble == "experiment a: is still being loaded"
    assert both.refusal("a", "name") is None
    Hung.gate.set()
    wait_until(lambda: both.setup(jobs("a")) == {1: Go()}, "its answer")


def test_an_experiment_without_a_usable_rule_for_names_does_not_load() -> None:
    """Its rule is asked where nothing is isolated: in the Adder beside other experiments' jobs, and in the gateway."""
    condition = Condition()
    odd = experiments(condition, a="Nameless", b="Misspelt", d="Own")
    assert [odd.refusal(vo, "name") for vo in "abd"] == [None, None, None]
    plans = odd.setup(jobs("a", "b", "c", "d"))
    assert plans[1] == Later("experiment a does not load: TypeError: names is NoneType, not a NameRule")
    assert isinstance(plans[2], Later)
    assert "experiment b does not load: " in plans[2].reason
    assert plans[3] == Go()
    assert plans[4] == Later("experiment d does not load: TypeError: names is Lenient, not a NameRule")
    assert "experiment a: does not load" in str(condition.trouble)


class Lenient(NameRule):
    """Asks somewhere else, and takes its time."""


class Own(Quiet):
    """Has a rule for names of its own make."""

    names: ClassVar[NameRule] = Lenient("a", 5, "a")


@pytest.mark.parametrize(
    ("characters", "longest", "meaning", "begins"),
    [(None, 5, "a", ""), (b"a", 5, "a", ""), ("a", "5", "a", ""), ("a", None, "a", ""), ("a", True, "a", ""),
     ("a", 5, None, ""), ("a", 5, "x" * 257, ""), ("a", 5, "\udcff", ""), ("a", 5, "a", None)],
)  # fmt: skip
def test_a_rule_for_names_that_cannot_be_used_cannot_be_made(
    characters: Any, longest: Any, meaning: Any, begins: Any
) -> None:
    with pytest.raises((ValueError, TypeError)):
        NameRule(characters, longest, meaning, begins)


@pytest.mark.parametrize(
    ("lfn", "is_taken"),
    [("a", True), ("b.a", True), ("ab.", True), ("", False), (".a", False), ("aXb", False), ("a\n", False),
     ("abababab", True), ("ababababa", False)],
)  # fmt: skip
def test_names_are_of_the_rules_characters_from_the_first_to_the_last(lfn: str, is_taken: bool) -> None:
    assert (NameRule("ab.", 8, "a, b and '.'", begins="ab").refusal(lfn) is None) == is_taken


@pytest.mark.parametrize("name", ["Broken", "NoSuchClass"])
def test_without_the_generic_plugin_nothing_starts(name: str) -> None:
    with pytest.raises(SettingsError, match="plugin generic does not load"):
        experiments(generic=name)


def test_a_missing_generic_plugin_is_said() -> None:
    with pytest.raises(SettingsError, match="no plugin called generic"):
        IsolatedExperiments(SITES, LocalCatalogue(SITES), Condition(), 30.0, [])


def test_outputs_reach_the_plugin_with_what_was_stored() -> None:
    (job,) = jobs("x")
    job.files = [factories.file(0, FileType.OUTPUT, "out"), factories.file(1, FileType.LOG, "log")]
    stored = {"log": OutputFile("log", "GUID", 5, "ad:00000001")}
    assert experiments().add_outputs([(job, stored)]) == {1: Go((FileChange(1, FileStatus.READY),))}


def test_each_experiment_has_its_own_rule_for_names() -> None:
    """As long as a plugin does not load nobody knows its rule, and no name is refused for it."""
    both = experiments(y="Sold", z="Broken")
    assert [both.refusal(vo, "name") for vo in ("x", "y", "z", "")] == [
        None, "cannot be registered: it must be of large letters", None, None
    ]  # fmt: skip
    assert both.refusal("x", "letters") == "cannot be registered: it is longer than 5 characters"
