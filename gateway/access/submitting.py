"""What only production managers of a VO submit: labels of production, jobs of JEDI's, priorities above the limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.access.identity import Identity
from gateway.access.policy import Action, may
from gateway.http.refusal import ForbiddenError
from panda_fsm.jobs.drafts import JobDraft

_NEED_THE_ROLE = frozenset({"managed", "prod_test", "test", "install"})
"""What pilots of production take. Those of pilots' tests (`rc_test`, `ptest`) are anybody's, as in the field."""


@dataclass(frozen=True, slots=True)
class PriorityLimits:
    """The highest priority that users may ask for. The field's clients ask for 1000, and 2000 for builds."""

    default: int = 4000
    by_vo: Mapping[str, int] = field(default_factory=dict)

    def of(self, vo: str, is_member: bool) -> int:
        """The VO's own limit, or everybody's; a stranger gets no more by naming another VO."""
        limit = self.by_vo.get(vo, self.default)
        return limit if is_member else min(limit, self.default)


def check(identity: Identity, index: int, job: JobDraft, limits: PriorityLimits) -> None:
    """Raises ForbiddenError, which names the job by its place in the submission, unless they may submit it."""
    if job.label in _NEED_THE_ROLE and not may(identity, Action.SUBMIT_PRODUCTION, job.vo):
        raise ForbiddenError(f"job {index}: prodSourceLabel: {job.label} needs {_role(job.vo)}")
    limit = limits.of(job.vo, job.vo in identity.vos)
    if job.priority > limit and not may(identity, Action.SUBMIT_URGENT, job.vo):
        raise ForbiddenError(f"job {index}: currentPriority: {job.priority}, more than {limit}, needs {_role(job.vo)}")


def may_be_jedis(identity: Identity, job: JobDraft) -> bool:
    """Whether they may say that it is a job of JEDI's, whose destination blocks close by themselves."""
    return may(identity, Action.SUBMIT_PRODUCTION, job.vo)


def _role(vo: str) -> str:
    return f"the production role of the VO {vo}" if vo else "the production role; the job names no VO"
