"""The identity provider of a laboratory: believes what the caller says of itself, on loopback addresses only."""

import hashlib
import ipaddress
import re
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from gateway.access.identity import GroupRole, Identity, IdentityProvider, Shown, VoRole
from gateway.access.sessions import PAGES, of_claim, session_of
from panda_fsm.errors import SettingsError
from panda_fsm.jobs.drafts import Name

_MAX_TOKEN = 16_384
_MAX_LABEL = 120
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_GROUP = re.compile(r"/?([A-Za-z0-9_.\-]{1,32})(?:/([^/\s]+))??(?:/([^/\s]+))?")
_ROLE = re.compile(r"[^/\s]+")
_FORMER_ISSUER = "loopback"
_ANONYMOUS = Identity("", "", "anonymous", shown=Shown.NOTHING, former_key=f"{_FORMER_ISSUER}|anonymous")


class TrustedLoopback:
    """Believes what the caller says of itself. Only for addresses that nobody else can reach."""

    asks_for_names = True

    def __init__(self, host: str) -> None:
        """Raises SettingsError unless `host` is a loopback address."""
        if not _is_loopback(host):
            raise SettingsError(
                f"PANDA_FSM_GATEWAY_HOST={host}: the identity provider trusted_loopback believes everybody,"
                " so the gateway binds to loopback addresses only (use 127.0.0.1)"
            )

    async def identify(self, request: HTTPConnection) -> Identity:
        """The identity that the bearer token claims, on pages the one of the browser's session; else the anonymous."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return _of_token(token.strip())
        if request.scope["path"].startswith(f"{PAGES}/"):
            return of_claim(session_of(request)) or _ANONYMOUS
        return _ANONYMOUS


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
    subject, issuer = claims.get("sub"), claims.get("iss") or ""
    if not isinstance(subject, str) or not subject or not isinstance(issuer, str):
        # Not a token that says whose it is: it is told from others by its hash, and kept nowhere.
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
        label = f"token-{digest[:16]}"
        return Identity("", digest, label, shown=Shown.OPAQUE, former_key=f"{_FORMER_ISSUER}|{label}")
    name = _label(claims.get("name")) or _label(subject) or "unnamed"
    roles, group_roles, vos = _memberships(claims)
    former_key = _former_key(issuer, subject)
    return Identity(issuer, subject, name, roles, vos, former_key=former_key, group_roles=group_roles)


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_TOKEN:
        return {}
    try:
        claims = orjson.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _memberships(claims: dict[str, Any]) -> tuple[frozenset[VoRole], frozenset[GroupRole], frozenset[str]]:
    """A group `vo/role` gives a role in a VO, `vo/working group/role` one in a working group of it, `vo` none; a role
    may be named without a VO."""
    roles = _texts(claims.get("roles"))
    bare = [role for role in roles if _ROLE.fullmatch(role)]
    groups = [*_texts(claims.get("groups")), *_texts(claims.get("wlcg.groups")), *(set(roles) - set(bare))]
    found = [match.groups() for match in map(_GROUP.fullmatch, groups) if match]
    in_vos = {(vo, role) for vo, group, role in found if role and not group}
    in_groups = {(vo, group.casefold(), role) for vo, group, role in found if group}
    return frozenset(in_vos | {("", role) for role in bare}), frozenset(in_groups), frozenset(vo for vo, *_ in found)


def _former_key(issuer: str, subject: str) -> str | None:
    """`issuer|subject`, unless another pair, an opaque token or nobody could have had the same."""
    ambiguous = "|" in issuer or "|" in subject or len(issuer) > _MAX_LABEL or len(subject) > _MAX_LABEL
    reserved = not issuer and (subject == "anonymous" or subject.startswith("token-"))
    if ambiguous or reserved or issuer == _FORMER_ISSUER:
        return None
    return f"{issuer or _FORMER_ISSUER}|{subject}"


def _label(claim: Any) -> str:
    """A claim that may label somebody: a short text without control characters, else nothing."""
    try:
        return _NAME.validate_python(claim)[:_MAX_LABEL]
    except ValidationError:
        return ""


def _texts(claim: Any) -> list[str]:
    return [item for item in claim if isinstance(item, str)] if isinstance(claim, list) else []
