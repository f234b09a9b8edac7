"""What is looked up around a job to say why it waits: as far as its state makes that matter."""

from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.views.fitting import Ask
from panda_fsm.views.flow import percentile
from panda_fsm.views.jobs import JobNow
from panda_fsm.views.redaction import shown
from panda_fsm.views.stuck import AT_MOST, NEARLY_ALL, NEXT
from panda_fsm.views.waiting import Around
from sql.pool import Pool
from sql.queries import load

_Q = load("views_job")
_HAVE_A_USUAL_TIME = frozenset({State.ASSIGNED, State.TRANSFERRING, State.HOLDING, State.DEFINED})
"""How long others stay here says something of this one."""


async def look_around(pool: Pool, now: JobNow) -> Around:
    """A few bounded looks, each by an index."""
    job = now.job
    if job.state in FINAL:
        return Around()
    if job.state is State.ACTIVATED:
        return await _for_pilots(pool, now)
    away = {name: shown(why) for name, why in await pool.rows(_Q["services"], services=list(NEXT.get(job.state, ())))}
    if job.state not in _HAVE_A_USUAL_TIME:
        return Around(away=away)
    rows = await pool.rows(_Q["stays"], state=job.state.value, site=job.site)
    stays = dict(rows)
    return Around(usual_s=percentile(stays, NEARLY_ALL), away=away)


async def _for_pilots(pool: Pool, now: JobNow) -> Around:
    job = now.job
    asks = tuple(Ask(*row) for row in await pool.rows(_Q["asks"], site=job.site))
    turn = {"site": job.site, "priority": job.priority, "job_id": job.job_id, "most": AT_MOST}
    ahead, is_paused, by, reason, until = await pool.row(_Q["turn"], **turn)
    return Around(ahead, is_paused, by, reason, until, asks)
