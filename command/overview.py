"""`panda-fsm status`: is work flowing, and is all well? One look."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from command import asking, health, lists, terminal
from command.settings import settings
from command.terminal import AsJson
from panda_fsm.jobs.states import State
from panda_fsm.views import words

if TYPE_CHECKING:
    from panda_fsm.views.pipeline import FlowView


def status(as_json: AsJson = False) -> None:
    """Say how jobs flow and what is not well; exit code 0: all is well, 1: it is not, 2: cannot tell."""
    from command.compose import NAMES
    from gateway.dashboard import flow, typed

    states = asking.ask(_states)
    flowing: FlowView = lists.look(flow.PAGE, {})
    report = health.look(settings(), NAMES)
    if as_json:
        shown = {"stages": typed.plain(flowing.stages), "ended": typed.plain(flowing.ended)}
        terminal.say_json({"states": states} | shown | health.as_json(report))
    else:
        terminal.show(("state", "jobs", "leave it", "note"), rows(states, flowing))
        terminal.say(health.figures(report))
        health.say_troubles(report.trouble)
    raise typer.Exit(1 if report.trouble else 0)


def rows(states: dict[str, int], flowing: "FlowView") -> list[tuple[object, ...]]:
    """Jobs of each state, how many a second leave it or, of ended ones, come to it, and where it piles up."""
    stages = {stage.name: stage for stage in flowing.stages}
    ended = {one.name: one for one in flowing.ended}
    found: list[tuple[object, ...]] = []
    for state, jobs in states.items():
        if state in stages:
            found.append((state, jobs, words.rate(stages[state].rate), stages[state].note))
        else:
            found.append((state, jobs, "", f"{words.rate(ended[state].per_s)} come" if state in ended else ""))
    return found


async def _states(store: asking.Store) -> dict[str, int]:
    """Jobs by state, in the order of a job's life, from the rollup."""
    found: Counter[str] = Counter()
    for state, _site, jobs in await store.reads.job_counts():
        found[state] += jobs
    order: dict[str, Any] = {state.value: place for place, state in enumerate(State)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))
