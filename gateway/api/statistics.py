"""Counts: jobs per site and state from the rollup, and how far a task is."""

from collections import Counter, defaultdict

from starlette.responses import Response

from gateway.context import Gateway
from gateway.http.answers import success
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.pilot_requests import Ask
from gateway.wire.user_requests import TaskRequest
from gateway.work.reading import reading
from panda_fsm.jobs.facts import LIVE


async def active_job_stats_by_site(gateway: Gateway, _call: Call, _ask: Ask) -> Response:
    """Live jobs as {site: {state: jobs}}."""
    by_site: dict[str, dict[str, int]] = defaultdict(dict)
    with reading():
        counts = await gateway.store.reads.job_counts()
    for state, site, jobs in counts:
        if state in LIVE:
            by_site[site][state] = jobs
    return success(by_site)


async def job_states(gateway: Gateway, _call: Call, ask: TaskRequest) -> Response:
    """Jobs of a task per state, and how long the hops of its newest took; without a task the states of all jobs."""
    if ask.task_id is None and "task_id" in ask.model_fields_set:
        raise RefusalError("task_id: which task? Without it all jobs are counted")  # as a script's empty variable says
    with reading():
        if ask.task_id is None:
            return success({"states": _total(await gateway.store.reads.job_counts()), "hops": {}})
        progress = await gateway.store.reads.task_progress(ask.task_id)
    hops = {
        hop.name: {"n": hop.jobs, "p50_ms": hop.p50_ms, "p95_ms": hop.p95_ms, "p99_ms": hop.p99_ms}
        for hop in progress.hops
    }
    return success({"states": progress.states, "hops": hops})


def _total(counts: list[tuple[str, str, int]]) -> Counter[str]:
    states: Counter[str] = Counter()
    for state, _site, jobs in counts:
        states[state] += jobs
    return states
