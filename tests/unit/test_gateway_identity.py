"""Who acts: what of a token counts, keys that no two share, and where callers may be believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.identity import Identity, Shown
from gateway.access.loopback import TrustedLoopback, provider
from panda_fsm.errors import SettingsError
from tests.callers import NOBODY, opaque, seen
from tests.gateway_http import bearer


def test_identity_is_what_the_token_claims() -> None:
    who = seen(bearer({"iss": "https://iam", "sub": "s1", "name": "Jane Doe", "groups": ["lab", "lab/production"]}))
    assert (who.issuer, who.subject, who.name, who.shown) == ("https://iam", "s1", "Jane Doe", Shown.SUBJECT)
    assert who.roles == {("lab", "production")}


ROLES: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "groups": ({"groups": ["lab", "lab/production", "/era/pilot"]}, {("lab", "production"), ("era", "pilot")}),
    "the groups of another profile": ({"wlcg.groups": ["/lab", "/lab/production"]}, {("lab", "production")}),
    "roles of a VO": ({"roles": ["lab/production"]}, {("lab", "production")}),
    "a role without a VO": ({"roles": ["production"]}, {("", "production")}),
    "a VO called so": ({"groups": ["production"]}, set()),
    "a VO that no job can name": ({"groups": ["l b/production", "x" * 33 + "/production", "é/production"]}, set()),
    "a group of a group": ({"groups": ["lab/alice/production", "/lab//production", "lab/", "/production"]}, set()),
    "no lists": ({"roles": "production", "groups": {"lab": 1}, "wlcg.groups": [1, None]}, set()),
}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_belongs_to_a_vo(name: str) -> None:
    claims, roles = ROLES[name]
    assert seen(bearer({"sub": "s"} | claims)).roles == roles


def test_a_working_group_is_one_of_a_vo() -> None:
    """A role in it is none in the VO, and none in a group of its own."""
    who = seen(
        bearer({"sub": "s", "groups": ["/lab/Higg/production", "lab/susy/x/production"], "roles": ["era/b/pilot"]})
    )
    assert not who.roles
    assert who.vos == {"lab", "era"}
    assert who.group_roles == {("lab", "higg", "production"), ("era", "b", "pilot")}


@pytest.mark.parametrize(
    ("claims", "home"),
    [
        ({}, ""),
        ({"groups": ["/lab"]}, "lab"),
        ({"groups": ["lab", "lab/production"], "roles": ["production"]}, "lab"),
        ({"roles": ["lab/production"]}, "lab"),
        ({"groups": ["lab"], "wlcg.groups": ["/era"]}, ""),
        ({"roles": ["production"]}, ""),
    ],
)
def test_who_is_in_one_vo_is_at_home_there(claims: dict[str, Any], home: str) -> None:
    assert seen(bearer({"sub": "s"} | claims)).home == home


def test_two_people_of_one_name_are_two() -> None:
    first, second = (seen(bearer({"sub": sub, "name": "Jane Doe"})) for sub in ("s1", "s2"))
    assert first.name == second.name
    assert first.key != second.key


STRANGE = [
    {}, {"authorization": "Bearer"}, {"authorization": "Basic abc"}, {"authorization": "Bearer x"},
    {"authorization": "Bearer a.b.c"}, {"authorization": "Bearer a.%%%.c"}, bearer([1]), bearer({"sub": ["x"]}),
    bearer({"sub": "a\x00b"}), bearer({"sub": "x" * 5000}), bearer({"sub": "s", "roles": "production"}),
    bearer({"sub": "s", "iss": 5, "name": {"a": 1}, "groups": [1, None]}), {"authorization": "Bearer " + "x" * 50_000},
    bearer({"sub": ""}), bearer({"sub": "\x1b[2J", "name": "\x1b[2J"}),
]  # fmt: skip


@pytest.mark.parametrize("headers", STRANGE)
def test_strange_tokens_give_a_plain_label_without_rights(headers: dict[str, str]) -> None:
    who = seen({name.lower(): value for name, value in headers.items()})
    assert who.name
    assert who.name.isprintable()
    assert len(who.key) == len(NOBODY.key)
    assert not who.roles


PARTS = st.one_of(st.text(), st.text("ab|:1\x00", max_size=6), st.text("ab|", min_size=118, max_size=123))


@given(st.tuples(PARTS, PARTS), st.tuples(PARTS, PARTS), st.sampled_from(Shown), st.sampled_from(Shown))
def test_no_two_callers_share_a_key(one: tuple[str, str], two: tuple[str, str], shown: Shown, other: Shown) -> None:
    first, second = Identity(*one, "same name", shown=shown), Identity(*two, "same name", shown=other)
    assert (first.key == second.key) == ((*one, shown) == (*two, other))
    assert len(first.key) == len(second.key) == 66


@given(PARTS.filter(bool), PARTS)
def test_no_token_is_anonymous_or_an_opaque_token(subject: str, issuer: str) -> None:
    claimed = seen({"authorization": bearer({"sub": subject, "iss": issuer})["Authorization"]})
    assert claimed.shown is Shown.SUBJECT
    assert not claimed.is_known_as(seen({}).key)
    assert not claimed.is_known_as(opaque("abc").key)


FORGED = [
    {"iss": "loopback", "sub": "anonymous"}, {"sub": "anonymous"}, {"iss": "", "sub": "anonymous"},
    {"iss": "loopback", "sub": opaque("abc").name}, {"sub": opaque("abc").name}, {"sub": opaque("abc").subject},
]  # fmt: skip


@pytest.mark.parametrize("claims", FORGED)
def test_nobody_takes_the_place_of_who_shows_nothing(claims: dict[str, str]) -> None:
    who = seen(bearer(claims))
    for victim in (seen({}), opaque("abc")):
        assert not who.is_known_as(victim.key)
        assert not who.is_known_as(victim.former_key)


def test_jobs_of_the_release_before_keep_owner_and_holder_where_only_one_could_be_meant() -> None:
    assert seen(bearer({"iss": "https://iam", "sub": "s1"})).is_known_as("https://iam|s1")
    assert seen(bearer({"sub": "s1"})).is_known_as("loopback|s1")
    assert seen({}).is_known_as("loopback|anonymous")
    assert opaque("abc").is_known_as("loopback|token-ba7816bf8f01cfea")
    for issuer, subject in (("a|b", "c"), ("a", "b|c"), ("a", "x" * 121)):
        assert not seen(bearer({"iss": issuer, "sub": subject})).is_known_as(f"{issuer}|{subject[:120]}")
    assert not NOBODY.is_known_as(None)


def test_equal_opaque_tokens_are_one_caller() -> None:
    one, same, other = (opaque(token) for token in ("abc", "abc", "abd"))
    assert one == same != other
    assert one.key != other.key
    assert "abc" not in f"{one}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_trusted(host: str) -> None:
    assert isinstance(provider("trusted_loopback", host), TrustedLoopback)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])  # noqa: S104
def test_nothing_else_is_trusted(host: str) -> None:
    with pytest.raises(SettingsError, match="loopback addresses only"):
        provider("trusted_loopback", host)


def test_unknown_provider_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="PANDA_FSM_IDENTITY_PROVIDER"):
        provider("nobody", "127.0.0.1")
