"""Jobs under everything at once (any order, repetition, death, kill, deadline, answer), beside a model of the rules."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from panda_fsm.jobs.facts import TableLimits
from plugins.experiments.registry import IsolatedExperiments
from sql.gateway_store import GatewayStore
from tests import factories, life_plans, life_rules
from tests.clockwork import Clock
from tests.driver import Database
from tests.inprocess import Serve
from tests.life_model import FINAL
from tests.life_plans import Plan
from tests.life_services import Services
from tests.life_world import AT_WORK, LIVE, World

JOBS, EXAMPLES = 3, 30
SEED = int(os.environ.get("LIFE_SEED", "45"))
"""The same plays each time, unless somebody wants others."""
SELDOM = st.sampled_from([False, False, False, True])
AIM = st.sampled_from([("running",), ("running",), AT_WORK, (*LIVE, *FINAL)])
"""Of which jobs one is taken, if there is one: most end before they run, and have not much of a life."""
LABEL, NO = st.sampled_from(["user", "managed"]), st.just(False)
PLANS = st.one_of(
    *(
        st.lists(plan, min_size=JOBS, max_size=JOBS)
        for plan in (
            st.builds(Plan, st.integers(0, 2), SELDOM, st.booleans(), st.booleans(), SELDOM, LABEL),
            st.builds(Plan, st.just(0), NO, NO, st.just(True), NO, LABEL),
        )
    )
)
"""Jobs of all kinds, or such as are soon to be merged."""
NUMBER = st.integers(0, 7)
HOW = st.sampled_from(["well", "well", "well", "again", "dies before", "dies after"])
SAYS = st.sampled_from(["running"] * 8 + ["in trouble"] * 4 + ["finished"] * 4 + list(life_plans.SAYS))
ARRIVES = st.sampled_from([True, True, True, False])
STEPS = {
    "deliver": (10, st.tuples(NUMBER, NUMBER, st.integers(1, 3), HOW)),
    "flow": (6, st.tuples(st.integers(1, 6))),
    "claim": (2, st.tuples()),
    "run": (4, st.tuples()),
    "report": (7, st.tuples(NUMBER, SAYS)),
    "ghost": (1, st.tuples(NUMBER, SAYS, st.booleans())),
    "transfer": (4, st.tuples(NUMBER, ARRIVES, st.booleans())),
    "relay": (1, st.tuples()),
    "kill": (3, st.tuples(NUMBER, st.sampled_from(life_rules.CODES), AIM, st.booleans(), SELDOM)),
    "tell": (1, st.tuples(NUMBER, AIM, st.booleans())),
    "wait": (1, st.tuples(NUMBER, AIM)),
    "appear": (1, st.tuples(NUMBER)),
    "release": (2, st.tuples(NUMBER)),
    "reassign": (1, st.tuples(NUMBER)),
    "throttle": (1, st.tuples(NUMBER)),
    "merge": (4, st.tuples(st.booleans())),
    "strand": (4, st.tuples(NUMBER)),
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

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(PLANS, st.lists(STEP, min_size=80, max_size=150))
        def play(plans: list[Plan], steps: list[tuple[str, tuple[Any, ...]]]) -> None:
            world = World(next(numbers), services, database, clock, lambda lfn: factories.store_file(source, lfn))
            world.submit(plans)
            for name, arguments in steps:
                getattr(world, name)(*arguments)
                world.check()
            world.settle()

        try:
            play()
        except BaseException as error:
            error.add_note(f"LIFE_SEED={SEED}")
            raise
        finally:
            clock.close()
            runner.run(store.close())
