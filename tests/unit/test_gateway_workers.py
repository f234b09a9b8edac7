"""Descriptions of machines: whatever pilots send can be written down."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.workers import _cut, _storable

SCALARS = st.none() | st.booleans() | st.integers() | st.integers(min_value=10**400) | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
def test_every_description_can_be_written(value: Any) -> None:
    assert b"\\u0000" not in orjson.dumps(_storable(value))


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"])
def test_what_lies_too_deep_is_left_out(wrap: Any) -> None:
    value: Any = 1
    for _ in range(900):
        value = wrap(value)
    assert len(orjson.dumps(_storable(value))) < 500
    assert _storable(wrap(1)) == wrap(1)


def test_of_a_long_description_is_kept_what_there_is_room_for() -> None:
    told = {
        "a": 1,
        "long": "é" * 20_000,
        "list": ["x" * 1000] * 30,
        "b": "end",
        **{f"n{n}": "x" * 1000 for n in range(30)},
    }
    kept = _cut(told)
    assert (kept["a"], kept["long"], kept["b"], "list" in kept) == (1, "é" * 1024, "end", False)
    assert 15_000 < len(orjson.dumps(kept)) < 16_384
