"""Filters of all pages: whatever stands in an address, it is understood or refused with a reason, never a fault."""

from __future__ import annotations

import contextlib

import pytest

from gateway.dashboard.filters import FilterError, Filters
from gateway.dashboard.table import PAGES
from panda_fsm.specs.values import Repeated

FILTERS = [
    pytest.param(page.filters, name, id=f"{page.path}-{name}") for page in PAGES for name in page.filters.model_fields
]
CRAFTED = [
    "\x00", "-", "--5", "²", "1e3", "9" * 400, "x" * 5000, ":", "pilot:", "NULL", "\U000ee14a\\",
    "0001-01-01T00:00+23:59", "999999w", "W10", "é", " ", "[]", "1,2", "inf",
]  # fmt: skip


@pytest.mark.parametrize(("model", "name"), FILTERS)
def test_each_stands_once(model: type[Filters], name: str) -> None:
    with pytest.raises(FilterError, match=name):
        model.model_validate({name: Repeated(["1", "2"])})


@pytest.mark.parametrize(("model", "name"), FILTERS)
def test_whatever_is_sent_is_understood_or_refused(model: type[Filters], name: str) -> None:
    for value in CRAFTED:
        with contextlib.suppress(FilterError):
            model.model_validate({name: value})
