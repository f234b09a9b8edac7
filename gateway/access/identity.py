"""Who acts: issuer and subject, never a name. The provider that finds it out is chosen by configuration."""

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from starlette.requests import HTTPConnection

PILOT, PRODUCTION = "pilot", "production"
VIEWER, SHIFTER, OPERATOR, ADMIN = LADDER = ("viewer", "shifter", "operator", "admin")
"""The roles that decide something, as tokens name them; of those on the ladder each includes the ones before it."""

VoRole = tuple[str, str]
"""A VO and a role in it. A role that came without a VO stands beside "", so it counts for jobs that name no VO."""
GroupRole = tuple[str, str, str]
"""A VO, a working group of it in small letters, and a role in that."""


class Shown(Enum):
    """What a caller showed of itself; each kind has keys that no other kind can have."""

    NOTHING = "a"
    OPAQUE = "o"
    """A token that does not say whose it is: equal tokens are one caller, and a renewed one looks like another."""
    SUBJECT = "s"


@dataclass(frozen=True, slots=True)
class Identity:
    """Issuer and subject say who it is; the name is a label for people and decides nothing."""

    issuer: str
    subject: str
    name: str
    roles: frozenset[VoRole] = frozenset()
    vos: frozenset[str] = frozenset()
    """Where it is a member, with a role or without."""
    shown: Shown = Shown.SUBJECT
    former_key: str | None = None
    """The key of the release before, where only this caller could have it."""
    group_roles: frozenset[GroupRole] = frozenset()
    key: str = field(init=False)
    """What owners and holders of jobs are compared by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.shown, self.issuer, self.subject))

    def is_known_as(self, key: str | None) -> bool:
        """Whether a job's owner or holder is this caller."""
        return key is not None and (key == self.key or key == self.former_key)

    def may_have_been(self, key: str | None) -> bool:
        """The same, or an opaque token stands in for another: a renewed one cannot be told from a stranger's."""
        if key is None or self.is_known_as(key):
            return key is not None
        return self.shown is Shown.OPAQUE and key.startswith((f"{Shown.OPAQUE.value}:", "loopback|token-"))

    @property
    def home(self) -> str:
        """The VO of those who are in one only: that of jobs which name none."""
        return next(iter(self.vos)) if len(self.vos) == 1 else ""

    def has(self, role: str, vo: str) -> bool:
        """Whether it has the role in that VO."""
        return (vo, role) in self.roles

    def operates(self, role: str, vo: str) -> bool:
        """Whether it has that role of operators, or a higher one, in that VO; one that came without a VO counts
        everywhere, and for what is nobody's VO's only such a one does."""
        enough = LADDER[LADDER.index(role) :]
        return any(held in enough and where in (vo, "") for where, held in self.roles)

    def operates_in(self, role: str) -> frozenset[str]:
        """The VOs in which it has that role of operators, or a higher one; "": everywhere."""
        enough = LADDER[LADDER.index(role) :]
        return frozenset(where for where, held in self.roles if held in enough)

    @property
    def rank(self) -> str:
        """The highest role of operators that it has anywhere; whoever it is may look."""
        return max((held for _, held in self.roles if held in LADDER), key=LADDER.index, default=VIEWER)

    def has_in_group(self, role: str, vo: str, group: str) -> bool:
        """Whether it has the role in that working group; jobs may name it with something before it: `AP_HIGG`."""
        named = group.casefold()
        return any(
            (in_vo, held) == (vo, role) and (named == name or named.endswith(f"_{name}"))
            for in_vo, name, held in self.group_roles
        )


class IdentityProvider(Protocol):
    """Says who sent a request."""

    @property
    def asks_for_names(self) -> bool:
        """Whether somebody with a browser tells it by a form who they are, and is believed."""

    async def identify(self, request: HTTPConnection) -> Identity:
        """Raises UnauthenticatedError for credentials that are wrong, ForbiddenError for somebody who is shut out."""


def _key(shown: Shown, issuer: str, subject: str) -> str:
    """A hash of kind, issuer and subject, each with its length, so that no two callers share one; always as long."""
    parts = (part.encode(errors="surrogatepass") for part in (issuer, subject))
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()
    return f"{shown.value}:{digest}"
