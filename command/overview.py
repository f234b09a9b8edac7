"""`panda-fsm status`: is work flowing, and is all well? One look."""

from collections import Counter
from typing import Any

import typer

from command import asking, health, terminal
from command.settings import settings
from command.terminal import AsJson
from panda_fsm.jobs.states import State


def status(as_json: AsJson = False) -> None:
    """Say how many jobs are in each state and what is not well; exit code 0: all is well, 1: not, 2: cannot tell."""
    from command.compose import NAMES

    states = asking.ask(_states)
    report = health.look(settings(), NAMES)
    if as_json:
        terminal.say_json({"states": states} | health.as_json(report))
    else:
        terminal.show(("state", "jobs"), list(states.items()))
        terminal.say(health.figures(report))
        health.say_troubles(report.trouble)
    raise typer.Exit(1 if report.trouble else 0)


async def _states(store: asking.Store) -> dict[str, int]:
    """Jobs by state, in the order of a job's life, from the rollup."""
    found: Counter[str] = Counter()
    for state, _site, jobs in await store.reads.job_counts():
        found[state] += jobs
    order: dict[str, Any] = {state.value: place for place, state in enumerate(State)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))
