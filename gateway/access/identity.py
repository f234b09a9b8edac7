"""Who acts. Every request gets an identity; the provider behind it is chosen by configuration."""

import hashlib
import ipaddress
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import orjson
from pydantic import TypeAdapter, ValidationError

from panda_fsm.errors import SettingsError
from panda_fsm.jobs.drafts import Name

PRODUCTION = "production"
_MAX_TOKEN = 16_384
_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Identity:
    """Issuer and subject say who it is; the name is a label for people and decides nothing."""

    issuer: str
    subject: str
    name: str
    roles: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What owners and holders of jobs are compared by."""
        return f"{self.issuer}|{self.subject}"

    @property
    def is_production(self) -> bool:
        return PRODUCTION in self.roles


class IdentityProvider(Protocol):
    """Says who sent a request, from its headers."""

    def identify(self, headers: Mapping[str, str]) -> Identity: ...


class TrustedLoopback:
    """Believes what the caller says of itself. Only for addresses that nobody else can reach."""

    issuer = "loopback"

    def __init__(self, host: str) -> None:
        """Raises SettingsError unless `host` is a loopback address."""
        if not _is_loopback(host):
            raise SettingsError(
                f"PANDA_FSM_GATEWAY_HOST={host}: the identity provider trusted_loopback believes everybody,"
                " so the gateway binds to loopback addresses only (use 127.0.0.1)"
            )

    def identify(self, headers: Mapping[str, str]) -> Identity:
        """The identity that the bearer token claims; without a token, the anonymous one."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Identity(self.issuer, "anonymous", "anonymous")
        return _of_token(token.strip())


def provider(name: str, host: str) -> IdentityProvider:
    """The identity provider called `name`. Raises SettingsError for an unknown one."""
    if name != "trusted_loopback":
        raise SettingsError(f"PANDA_FSM_IDENTITY_PROVIDER={name}: the only provider is trusted_loopback")
    return TrustedLoopback(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _of_token(token: str) -> Identity:
    claims = _claims(token)
    subject = _label(claims.get("sub"))
    if not subject:
        # Not a token that says who it is: equal tokens are one caller, and the token itself is kept nowhere.
        digest = hashlib.sha256(token.encode(errors="replace")).hexdigest()[:16]
        return Identity(TrustedLoopback.issuer, f"token-{digest}", f"token-{digest}")
    roles = [role for claim in ("roles", "groups", "wlcg.groups") for role in _list(claims.get(claim))]
    issuer = _label(claims.get("iss")) or TrustedLoopback.issuer
    # A group `vo/production` gives the role production.
    return Identity(
        issuer, subject, _label(claims.get("name")) or subject, frozenset(role.rsplit("/", 1)[-1] for role in roles)
    )


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_TOKEN:
        return {}
    try:
        claims = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _label(claim: Any) -> str:
    """A claim that may label somebody: a short text without control characters, else nothing."""
    try:
        return _NAME.validate_python(claim)[:120]
    except ValidationError:
        return ""


def _list(claim: Any) -> list[str]:
    return [item for item in claim if isinstance(item, str)] if isinstance(claim, list) else []
