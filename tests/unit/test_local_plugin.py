"""Jobs whose destination is `local`: what they make stays where it is."""

from __future__ import annotations

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import LOCAL
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus
from panda_fsm.sites import Sites
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments.local import LocalPlugin
from tests import factories
from tests.decisions import defined, going

F = FileStatus
HOME = factories.SOURCE_STORAGE


def test_what_a_local_job_makes_stays_where_it_is(sites: Sites) -> None:
    """Nothing is called `local`: the job would run, and fail for it."""
    plugin = LocalPlugin(sites, LocalCatalogue(sites))
    job = defined(1, destination=LOCAL, block="the")
    output, log = job.outputs
    output.destination, log.destination = LOCAL, HOME
    subs = {block.destination for block in going(plugin.setup([job])[1]).blocks if block.kind is BlockKind.SUB}
    assert subs == {"", HOME}
    output.block, log.block = "the_sub1", "the_sub2"
    stored = {file.lfn: OutputFile(file.lfn, "GUID", 5, "ad:00000001") for file in job.outputs}
    plan = going(plugin.add_outputs([(job, stored)])[1])
    assert [change.status for change in plan.files] == [F.READY, F.TRANSFERRING], "unless it has a home of its own"
    assert [(one.block.destination, one.seqs) for one in plan.transfers] == [(HOME, (log.seq,))]
    log.destination = LOCAL
    kept = going(plugin.keep_logs([(job, {log.lfn: stored[log.lfn]})])[1])
    assert [(change.seq, change.status) for change in kept.files] == [(log.seq, F.READY)]
    assert (job.destination, log.destination) == (LOCAL, LOCAL), "as it was submitted"
