"""Jobs under everything at once (any order, repetition, death, kill, deadline, answer), beside a model of the rules."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from panda_fsm.jobs.facts import TableLimits
from plugins.experiments.registry import IsolatedExperiments
from sql.gateway_store import GatewayStore
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.inprocess import Serve
from tests.life_services import Services
from tests.life_world import World

JOBS, EXAMPLES = 3, 25
PLANS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([False, False, False, True])),
    min_size=JOBS,
    max_size=JOBS,
)
"""Of each job: how many inputs are away, whether its outputs go elsewhere, and whether an input is nowhere yet."""
NUMBER = st.integers(0, 7)
HOW = st.sampled_from(["well", "well", "well", "again", "dies before", "dies after"])
SAID = st.sampled_from(
    ["starting", "running", "running", "running", "holding", "transferring", "finished", "failed", "gives back"]
)
ARRIVES = st.sampled_from([True, True, True, False])
STEPS = {
    "deliver": (8, st.tuples(NUMBER, NUMBER, st.integers(1, 3), HOW)),
    "flow": (4, st.tuples(st.integers(1, 6))),
    "claim": (4, st.tuples()),
    "report": (6, st.tuples(NUMBER, SAID)),
    "transfer": (4, st.tuples(NUMBER, ARRIVES, st.booleans())),
    "relay": (1, st.tuples()),
    "kill": (1, st.tuples(NUMBER, st.sampled_from([2, 9, 51, 91]), st.booleans())),
    "wait": (1, st.tuples(NUMBER)),
    "appear": (2, st.tuples(NUMBER)),
    "reassign": (1, st.tuples(NUMBER)),
    "throttle": (2, st.tuples(NUMBER)),
}
"""What may happen: how often, with what."""
STEP = st.sampled_from([name for name, (weight, _) in STEPS.items() for _ in range(weight)]).flatmap(
    lambda name: st.tuples(st.just(name), STEPS[name][1])
)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_the_model_and_the_services_agree(
    database_url: str, database: Database, serve: Serve, registry: IsolatedExperiments, run_dir: Path
) -> None:
    numbers = count(1)
    source = run_dir / "lab" / "storage" / factories.SOURCE_STORAGE
    clock = Clock(database_url)
    with asyncio.Runner() as runner:
        store = GatewayStore(database_url, 2, 20, TableLimits({}, {}))
        runner.run(store.open())
        services = Services(serve, registry, store, runner)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(PLANS, st.lists(STEP, min_size=60, max_size=120))
        def play(plans: list[tuple[int, bool, bool]], steps: list[tuple[str, tuple[Any, ...]]]) -> None:
            world = World(next(numbers), services, database, clock, lambda lfn: factories.store_file(source, lfn))
            world.submit(plans)
            for name, arguments in steps:
                getattr(world, name)(*arguments)
                world.check()
            world.settle()

        try:
            play()
        finally:
            clock.close()
            runner.run(store.close())
