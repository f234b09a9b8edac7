"""Jobs as access to them is decided: with their working groups, for those who have a role in one."""

from collections.abc import Sequence

from gateway.access.identity import Identity
from gateway.ports import JobRows
from panda_fsm.jobs.judgement import JobRow


async def job_rows(store: JobRows, identity: Identity, job_ids: Sequence[int]) -> dict[int, JobRow]:
    """Jobs by id, live or archived."""
    found = await store.jobs(job_ids)
    if found and identity.group_roles:  # few have one, and the group lies with the specification
        for job_id, group in (await store.working_groups(list(found))).items():
            found[job_id].working_group = group
    return found
