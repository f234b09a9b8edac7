"""Outputs that stay where they were stored, though their home is elsewhere."""

from __future__ import annotations

import pytest

from panda_fsm.jobs.job import TO_MERGE
from panda_fsm.jobs.states import FileStatus
from panda_fsm.sites import Sites
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments.generic import GenericPlugin
from tests import factories
from tests.decisions import going
from tests.unit.test_generic_plugin import holding, stored

F = FileStatus
A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE


@pytest.fixture
def plugin(sites: Sites) -> GenericPlugin:
    """On the laboratory's storages."""
    return GenericPlugin(sites, LocalCatalogue(sites))


def test_an_output_in_its_destination_block_stays_where_it_was_stored(plugin: GenericPlugin) -> None:
    """It has no block of its own to go home in."""
    job = holding(destination=A, block="the.data.set")
    for file in job.outputs:
        file.block = file.destination_block
    plan = going(plugin.add_outputs([(job, stored(job))])[1])
    assert {(change.status, change.block, change.destination) for change in plan.files} == {(F.READY, None, B)}
    assert plan.transfers == ()


@pytest.mark.parametrize("destination", ["", A])
def test_an_output_to_be_merged_waits_where_it_is(plugin: GenericPlugin, destination: str) -> None:
    """The log, which is not, goes home."""
    job = holding(destination=destination, block="the.data.set")
    job.files[0].place_token = TO_MERGE
    plan = going(plugin.add_outputs([(job, stored(job))])[1])
    assert [change.status for change in plan.files] == [F.MERGING, F.TRANSFERRING if destination else F.READY]
    assert [transfer.seqs for transfer in plan.transfers] == ([(1,)] if destination else [])
