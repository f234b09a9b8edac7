"""How experiments bunch jobs and name blocks: by the job itself, however jobs came, and never as a closed block."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.drafts import BlockName
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus
from panda_fsm.outcomes import NewBlock
from panda_fsm.plans import Later, Plan, Refuse, Replicas, StoredFile, fault
from panda_fsm.sites import Queue, Sites, Storage
from panda_fsm.trouble import Condition
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.decisions import defined, going

F = FileStatus
A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE


class Everything:
    """A catalogue in which every file is at the source."""

    def replicas(self, files: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Replicas]:
        return dict.fromkeys(files, Replicas((A,)))

    def register(self, files: Sequence[StoredFile]) -> dict[StoredFile, Later | Refuse]:
        return {}

    def register_blocks(self, blocks: Mapping[NewBlock, Sequence[tuple[str, str]]]) -> None:
        pass


NOWHERE = Sites(
    queues={name: Queue(site="LAB", storage=B) for name in (factories.QUEUE, "OTHER")},
    storages={name: Storage(site="LAB") for name in (A, B)},
)


def anywhere() -> GenericPlugin:
    """Where only names matter."""
    return GenericPlugin(NOWHERE, Everything())


def subs(plan: Plan) -> list[NewBlock]:
    """The sub blocks of a plan, of each output in turn."""
    return [block for block in going(plan).blocks if block.kind is BlockKind.SUB]


def names(plan: Plan) -> list[str]:
    """Their names."""
    return [block.name for block in subs(plan)]


def test_an_urgent_job_of_a_user_shares_with_nobody() -> None:
    urgent: dict[str, Any] = {"priority": 6001}
    assert together(anywhere(), (defined(number, **urgent) for number in range(101, 105))) == 4
    assert together(anywhere(), (defined(number, **urgent, label="panda_like") for number in range(101, 105))) == 1
    assert together(anywhere(), (defined(number, priority=6000) for number in range(101, 105))) == 1


NOT_BUNCHED: dict[str, dict[str, Any]] = {
    "build": {"label": "panda"},
    "tag": {"special_handling": "dm, disable_file_aggregation"},
    "test by pathena": {"label": "ptest", "processing_type": "pathena"},
    "test by prun": {"label": "ptest", "processing_type": "prun"},
    "robot": {"processing_type": "gangarobot-pft"},
}


@pytest.mark.parametrize("what", NOT_BUNCHED)
def test_what_is_not_bunched_goes_into_its_destination_block(what: str) -> None:
    job = defined(1, **NOT_BUNCHED[what])
    plan = going(anywhere().setup([job])[1])
    assert {block.kind for block in plan.blocks} == {BlockKind.DESTINATION}
    assert [change.block for change in plan.files] == ["user.lab.output.block", "user.lab.log.block"]
    assert fault(plan, job, BlockKind.DISPATCH) is None


CLOSING: dict[str, tuple[dict[str, Any], bool]] = {
    "task": ({"is_jedis": True}, True),
    "user at home": ({"destination": "local"}, True),
    "build at home": ({"destination": "local", "label": "panda"}, True),
    "production at home": ({"destination": "local", "label": "managed"}, False),
    "user": ({"destination": A}, False),
}


@pytest.mark.parametrize("whose", CLOSING)
def test_whose_destination_blocks_close(whose: str) -> None:
    fields, closes = CLOSING[whose]
    plan = going(anywhere().setup([defined(1, **fields)])[1])
    assert {block.closes for block in plan.blocks if block.kind is BlockKind.DESTINATION} == {closes}
    assert not any(block.closes for block in plan.blocks if block.kind is BlockKind.SUB)


@pytest.mark.parametrize("bunched", [{"label": "ptest"}, {"processing_type": "prun"}, {"special_handling": "dm"}])
def test_what_resembles_them_is_bunched(bunched: dict[str, Any]) -> None:
    assert len(names(anywhere().setup([defined(1, **bunched)])[1])) == 2


def test_the_same_jobs_get_the_same_plans() -> None:
    """A batch may be handled again after a crash, by another process, on another day."""
    jobs = [defined(number, "far.csv", entered_at=datetime(2026, 1, 1, tzinfo=UTC)) for number in range(1, 30)]
    assert anywhere().setup(jobs) == anywhere().setup(list(reversed(jobs)))


JOBS = [
    defined(number, "far.csv", task_id=task, destination=home, site=queue)
    for number, (task, home, queue) in enumerate(
        itertools.islice(itertools.cycle(itertools.product((0, 7), (A, B), (factories.QUEUE, "OTHER"))), 120), 1_000_020
    )
]


@settings(max_examples=30)
@given(st.permutations(JOBS), st.lists(st.integers(1, 40), min_size=120))
def test_sub_blocks_do_not_depend_on_how_jobs_came(jobs: list[Job], sizes: list[int]) -> None:
    """A trickle fills the same blocks as a flood."""
    expected = {job_id: names(plan) for job_id, plan in anywhere().setup(JOBS).items()}
    plugin, found, left = anywhere(), dict[int, list[str]](), iter(jobs)
    for size in sizes:
        found |= {job_id: names(plan) for job_id, plan in plugin.setup(list(itertools.islice(left, size))).items()}
    assert found == expected


def together(plugin: GenericPlugin, jobs: Iterable[Job]) -> int:
    """How many sub blocks the outputs of these jobs are in."""
    return len({names(plan)[0] for plan in plugin.setup(list(jobs)).values()})


def test_fifty_neighbours_share_a_sub_block() -> None:
    assert together(anywhere(), (defined(number) for number in range(101, 151))) == 1
    assert together(anywhere(), (defined(number) for number in range(150, 152))) == 2


def test_jobs_that_were_submitted_together_share_their_blocks_with_nobody_else() -> None:
    """PandaIDs are given out in blocks of a thousand that begin with 1001, 2001..."""
    plugin = anywhere()
    first, second = range(1001, 1101), range(1101, 1201)
    assert together(plugin, map(defined, first)) == 2
    assert together(plugin, map(defined, [*first, *second])) == 4


def test_blocks_say_where_files_come_from_and_go_to() -> None:
    plans = anywhere().setup([defined(1), defined(2), defined(3, destination=A), defined(4, task_id=8)])
    assert names(plans[1]) == names(plans[2])
    assert len({name for number in (1, 3, 4) for name in names(plans[number])}) == 6
    output, log = subs(plans[3])
    assert (output.parent, output.source, output.destination) == ("user.lab.output.block", B, A)
    assert log.parent == "user.lab.log.block"
    joined = [change.block for change in going(plans[3]).files]
    assert joined == [output.name, log.name]
    tops = {block.name for block in going(plans[1]).blocks if block.kind is BlockKind.DESTINATION}
    assert tops == {"user.lab.output.block", "user.lab.log.block"}


@pytest.mark.parametrize(
    ("block", "task_id", "stem"),
    [
        ("user.me.test.more/", 7, "user.me.test.7_sub"),
        ("mc26.1234.physics.merge.AOD.e1_s2", 7, "mc26.1234.NA.merge.AOD.7_sub"),
        ("mc26.1234.physics.merge.AOD.e1_s2", 0, "mc26.1234.physics.merge.AOD.e1_s2_sub"),
        ("short", 7, "short.7_sub"),
    ],
)
def test_sub_blocks_are_called_as_panda_calls_them(block: str, task_id: int, stem: str) -> None:
    (name, _) = names(anywhere().setup([defined(1, block=block, task_id=task_id)])[1])
    assert name.startswith(stem)
    assert name.removeprefix(stem).isdigit()


SAME_STEM = {
    "home": {"destination": A},
    "queue": {"site": "OTHER"},
    "experiment": {"vo": "else"},
    "destination block": {"block": "user.lab.out.b"},
}


@pytest.mark.parametrize("what", SAME_STEM)
@pytest.mark.parametrize("task_id", [0, 7])
def test_what_does_not_belong_together_shares_no_name(what: str, task_id: int) -> None:
    fields: dict[str, Any] = {"block": "user.lab.out.a", "task_id": task_id}
    one, other = defined(1, **fields), defined(2, **fields | SAME_STEM[what])
    plans = anywhere().setup([one, other])
    assert names(plans[1])[0] != names(plans[2])[0]


def test_outputs_for_different_places_share_no_block() -> None:
    one, other = defined(1), defined(2)
    for file in other.outputs:
        file.place_token = "TAPE"
    assert together(anywhere(), (one, other)) == 2


def test_the_longest_names_fit_in_each_generation() -> None:
    job = defined(2**63 - 1, block="x" * 256, task_id=2**62)
    for _ in range(3):
        found = names(anywhere().setup([job])[job.job_id])
        assert [TypeAdapter(BlockName).validate_python(name) for name in found] == found
        job.closed_blocks |= frozenset(found)


def test_a_job_that_comes_late_finds_a_block_within_three_names() -> None:
    """Fifty jobs that come one by one, each after the block of the one before was closed: a trickle."""
    closed = set[str]()
    for number in range(100, 150):
        job, rounds = defined(number), 0
        while closed.intersection(found := names(anywhere().setup([job])[number])):
            job.closed_blocks |= closed.intersection(found)
            rounds += 1
        assert rounds <= 2
        closed.update(found)


def test_what_one_job_found_closed_the_next_need_not_find_out() -> None:
    plugin = anywhere()
    closed = frozenset(names(plugin.setup([defined(100)])[100]))
    late = defined(101, closed_blocks=closed)
    second = names(plugin.setup([late])[101])
    assert closed.isdisjoint(second)
    assert names(plugin.setup([defined(102)])[102]) == second, "at the first attempt, and they share"


def test_a_job_that_is_set_up_again_gets_another_block_of_its_own() -> None:
    closed = frozenset[str]()
    for version in (1, 6, 11, 16, 21):
        job = defined(100, version=version, closed_blocks=closed)
        for _ in range(3):
            found = frozenset(names(anywhere().setup([job])[100]))
            if not found & closed:
                break
            job.closed_blocks |= found
        assert not found & closed
        closed = job.closed_blocks | found


def test_okapi_names_its_sub_blocks_in_its_own_way() -> None:
    """The living reference, found as any experiment is: by the entry points of what is installed."""
    experiments = IsolatedExperiments(NOWHERE, Everything(), Condition())
    plans = experiments.setup([defined(1, vo="okapi"), defined(2, vo="lab")])
    assert all(name.startswith(f"okapi.{factories.QUEUE}.7_sub") for name in names(plans[1]))
    assert len(set(names(plans[1]))) == 2
    assert names(plans[2])[0].startswith("user.lab.output.7_sub")
