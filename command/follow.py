"""`panda-fsm tail`: the steps of jobs as they are written, until Ctrl-C."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from command import asking, terminal
from command.asking import Store
from command.terminal import AsJson
from panda_fsm.jobs.states import State

if TYPE_CHECKING:
    from panda_fsm.views.steps import Step, StepsWanted

PERIOD_S = 1.0
Job = Annotated[int | None, typer.Option(min=1, max=2**63 - 1, metavar="PANDAID", help="of this job only")]
Site = Annotated[str | None, typer.Option(metavar="QUEUE", help="of jobs at this PanDA queue only")]
To = Annotated[State | None, typer.Option(help="only steps to this state")]


def tail(job: Job = None, site: Site = None, state: To = None, as_json: AsJson = False) -> None:
    """Follow the steps of jobs as they are written, one a line, until Ctrl-C."""
    from panda_fsm.views.steps import StepsWanted

    wanted = StepsWanted(job, site, None if state is None else state.value)
    try:
        asking.ask(lambda store: _follow(store, wanted, as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _follow(store: Store, wanted: "StepsWanted", as_json: bool) -> None:
    seen = await store.dashboards.steps.now()
    while True:
        new = await store.dashboards.steps.after(seen, wanted)
        for step in new.steps:
            if as_json:
                terminal.say_json(asdict(step))
            else:
                terminal.say(sentence(step))
        seen = new.seen
        if not new.more:
            await asyncio.sleep(PERIOD_S)


def sentence(step: "Step") -> str:
    """A step on a line, the same parts in the same places."""
    way = f"{step.source or 'new'} → {step.state}"
    cause = f"{step.trigger} by {step.service}"
    said = f"{step.at:%H:%M:%S.%f}"[:12] + f"  {step.job_id:<12} {way:<26} {step.site or '-':<14} {cause}"
    detail = " ".join((step.detail or "").split())
    return f"{said}: {detail}" if detail else said
