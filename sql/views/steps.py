"""The steps of all jobs as they are written, portion by portion."""

from dataclasses import replace

from panda_fsm.views.redaction import shown
from panda_fsm.views.steps import NewSteps, Step, StepsSeen, StepsWanted
from sql.pool import Pool
from sql.queries import load

_Q = load("views_steps")
_SETTLED_S = 1.5
"""Steps are committed so soon after they were given their time; who takes longer is not seen."""
_MOST = 1000


class StepReads:
    """The history, read where it grows. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> StepsSeen:
        """Where somebody begins who wants what comes from now on."""
        return StepsSeen((await self._pool.row(_Q["now"], settled_s=_SETTLED_S))[0])

    async def after(self, seen: StepsSeen, wanted: StepsWanted) -> NewSteps:
        """What came since."""
        found = await self._pool.rows(
            _Q["steps"], at=seen.at, after_job=seen.job_id, after_version=seen.version, settled_s=_SETTLED_S,
            limit=_MOST, job_id=wanted.job_id, site=wanted.site, state=wanted.state,
        )  # fmt: skip
        new = (Step(*row[:-1]) for row in found if row[-1])
        steps = tuple(replace(step, detail=shown(step.detail)) for step in new)
        last = StepsSeen(*found[-1][:3]) if found else seen
        return NewSteps(steps, last, len(found) == _MOST)
