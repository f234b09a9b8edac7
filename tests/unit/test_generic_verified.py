"""Outputs that are looked at before their job is finished, where a storage is to be verified."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.site import LabFiles
from panda_fsm.codes import DdmCode
from panda_fsm.plans import Go, Later, Refuse
from panda_fsm.sites import Sites
from plugins.ddm import catalogue
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments.generic import GenericPlugin
from tests import factories
from tests.unit.test_generic_plugin import CHECKSUM, CONTENT, A, B, at, holding, stored


def verifying(sites: Sites) -> GenericPlugin:
    """Where the queue's storage is looked at before a job is finished."""
    storages = {name: storage.model_copy(update={"verify": True}) for name, storage in sites.storages.items()}
    sites = sites.model_copy(update={"storages": storages})
    return GenericPlugin(sites, LocalCatalogue(sites))


def test_outputs_that_stay_are_looked_for_where_that_is_wanted(lab: LabFiles, sites: Sites) -> None:
    job = holding()
    output, log = factories.output_lfns(1)
    factories.store_file(lab.queue_storage, output, CONTENT)
    plans = verifying(sites).add_outputs([(job, stored(job))])
    assert plans[1] == Refuse(f"{log} is not on {B}, where its pilot stored it", DdmCode.LOCATION)
    factories.store_file(lab.queue_storage, log, CONTENT)
    assert isinstance(verifying(sites).add_outputs([(job, stored(job))])[1], Go)
    lab.queue_storage.rename(lab.queue_storage.with_suffix(".unmounted"))
    plan = verifying(sites).add_outputs([(job, stored(job))])[1]
    assert plan == Later(f"nobody can say whether {output} was stored: {B} cannot be reached")


def test_outputs_that_move_are_looked_for_too(sites: Sites) -> None:
    job = holding(destination=A)
    plan = verifying(sites).add_outputs([(job, stored(job))])[1]
    assert isinstance(plan, Refuse)
    assert plan.code == DdmCode.LOCATION


@pytest.mark.parametrize("content", [b"1234", b"12346"], ids=["size", "checksum"])
def test_an_output_that_is_not_what_its_pilot_reported_is_refused(lab: LabFiles, sites: Sites, content: bytes) -> None:
    job = holding()
    output, log = factories.output_lfns(1)
    factories.store_file(lab.queue_storage, output, CONTENT)
    factories.store_file(lab.queue_storage, log, content)
    plan = verifying(sites).add_outputs([(job, stored(job))])[1]
    assert plan == Refuse(f"{log} on {B} has another size or checksum than reported", DdmCode.LOCATION)


def test_files_are_compared_a_few_at_a_time(lab: LabFiles, sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them takes a while, and a plugin's answer is waited for only so long. Each has its turn."""
    monkeypatch.setattr(catalogue, "COMPARE_S", 0.0)
    job = holding()
    for lfn in factories.output_lfns(1):
        factories.store_file(lab.queue_storage, lfn, CONTENT)
    plan = verifying(sites).add_outputs([(job, stored(job))])[1]
    assert isinstance(plan, Later)
    assert [change.seq for change in plan.files] == [0]
    job.files[0] = replace(job.files[0], guid="GUID", size=5, checksum=CHECKSUM)
    assert isinstance(verifying(sites).add_outputs([(job, stored(job))])[1], Go)


def test_an_output_is_looked_for_where_its_pilot_stored_it(lab: LabFiles, sites: Sites) -> None:
    job = holding()
    for lfn in factories.output_lfns(1):
        factories.store_file(lab.queue_storage, lfn)
    assert isinstance(verifying(sites).add_outputs([(job, at(job, A))])[1], Refuse)
    for lfn in factories.output_lfns(1):
        factories.store_file(lab.source_storage, lfn, CONTENT)
    assert isinstance(verifying(sites).add_outputs([(job, at(job, A))])[1], Go)
