"""Who is let in at all, before anybody asks who it is: addressed to us, not sent by a foreign page, not by a proxy."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from gateway.http.refusal import ForbiddenError, RefusalError

Headers = Sequence[tuple[bytes, bytes]]

_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([0-9a-z._-]{1,253}))(?::[0-9]{0,5})?")
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 1000, 256
_PROXIED = re.compile(
    rb"via|(?:.*-)?forwarded(?:-.*)?|(?:.*-)?(?:client|real|connecting|remote|proxyuser|source)-?ip"
    rb"|(?:.*-)?(?:remote|client|external)-?addr(?:ess)?"
)
"""How proxies call it whom they speak for; some write it with underscores."""
_OF_OURS = (b"same-origin", b"none")
"""Asked by a page of ours, or by the reader himself. A page of another port of this machine is of the *same site*."""
_WATCHED = frozenset({b"host", b"origin", b"sec-fetch-site"})


class MisdirectedError(RefusalError):
    """The request was meant for somebody else."""

    status = 421


class NoHostError(RefusalError):
    """HTTP/1.1 names the host once, always."""


class Admission:
    """What a browser or a proxy cannot help to say of itself decides; pilots and clients say none of it.

    A page of somebody else reaches a loopback address from its reader's browser, by name (DNS rebinding) or by
    form; a proxy on this machine makes the whole world come from a loopback address.
    """

    def __init__(self, hosts: Iterable[str], trusts_loopback: bool) -> None:
        """`hosts` beside the loopback names. `trusts_loopback`: who comes from a loopback address is believed."""
        self._names = {name.lower().strip("[]") for name in (*hosts, *_LOOPBACK_NAMES)}
        self._trusts_loopback = trusts_loopback
        self._known: set[bytes] = set()
        self._of_clients: set[bytes] = set()
        """Names of headers that no proxy adds."""

    def refusal(self, headers: Headers, http_version: str = "1.1") -> RefusalError | None:
        """Why it is not let in; nothing if it is."""
        host: bytes | None = None
        origins: list[bytes] = []
        for name, value in headers:
            if name not in _WATCHED:
                if name not in self._of_clients and self._trusts_loopback and self._is_of_proxy(name):
                    return _proxied(name)
            elif name == b"host":
                if host is not None:
                    return NoHostError("more than one Host header")
                host = value
            elif name == b"origin":
                origins.append(value)
            elif value.strip().lower() not in _OF_OURS:
                return ForbiddenError("sent by a page of another site")
        refused = self._wrong_host(host, http_version)
        for origin in origins:  # one that is ours does not hide one that is not
            refused = refused or _foreign(origin, host)
        return refused

    def _is_of_proxy(self, name: bytes) -> bool:
        if _PROXIED.fullmatch(name.replace(b"_", b"-")):
            return True
        if len(self._of_clients) < _MOST_REMEMBERED and len(name) < _LONGEST_REMEMBERED:
            self._of_clients.add(name)
        return False

    def _wrong_host(self, host: bytes | None, http_version: str) -> RefusalError | None:
        if host in self._known:
            return None
        if host is None:
            return None if http_version == "1.0" else NoHostError("the Host header is missing")
        text = host.decode("latin-1").strip().lower()
        if not self._is_ours(text):
            return MisdirectedError(f"this server is not called {text!r:.80}")
        if len(self._known) < _MOST_REMEMBERED:
            self._known.add(host)
        return None

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match[1] or match[2]).removesuffix(".")
        return name in self._names or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _foreign(origin: bytes, host: bytes | None) -> RefusalError | None:
    """Pilots and clients send `vo` or `vo.role`; a browser sends the page's address, or `null` to hide it."""
    sent = origin.strip().lower()
    if b"://" not in sent and sent != b"null":
        return None
    ours = (host or b"").strip().lower()
    if sent in (b"http://" + ours, b"https://" + ours):
        return None
    return ForbiddenError(f"sent by a page of {sent.decode('latin-1')!r:.80}")


def _proxied(name: bytes) -> RefusalError:
    return ForbiddenError(
        f"came through a proxy ({name.decode('latin-1'):.40}): this server believes whoever reaches it,"
        " so nothing may stand before it"
    )
