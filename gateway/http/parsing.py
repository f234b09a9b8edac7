"""What uvicorn's protocol reads otherwise than the standard says: other protocols, absolute targets, trailers."""

import re
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http.bodies import EXPECTS

_END_OF_AUTHORITY = re.compile(rb"[/?#]")


class NoProxyError(Exception):
    """A tunnel is asked for."""


class _Trailers(list[tuple[bytes, bytes]]):
    """What stands behind a body like headers is neither believed nor held: what decides came before it."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Drop it."""


_TRAILERS = _Trailers()


class PlainProtocol(HttpToolsProtocol):
    """HTTP/1.1 and nothing else, whatever the client would like to speak instead."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.is_in_head = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_in_head = True

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise NoProxyError
            return  # it comes once more, without that wish
        if not self.url.startswith(b"/"):
            self._take_absolute()
        super().on_headers_complete()
        if self.expect_100_continue:
            self.scope[EXPECTS] = True  # type: ignore[literal-required]
            self.cycle.keep_alive = False  # who is told no need not send the body: what comes next would be unclear
        self.is_in_head = False
        self.headers = _TRAILERS

    def on_message_complete(self) -> None:
        if not self.is_in_head:  # else it is of a message that wished to go on with another protocol
            super().on_message_complete()

    def feed(self, data: bytes) -> None:
        """Parse it. A wish to go on with another protocol is passed over: the same comes again without it.

        Raises HttpParserError.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                # The former one has ended with its message, if that was to be the last one.
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _without_upgrade(self) -> bytes:
        """The head that was read, as it were without the wish."""
        version = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        headers = (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return line + b"".join(headers) + b"\r\n"

    def _take_absolute(self) -> None:
        """The target names the host itself: that counts, whatever the header says."""
        _, is_absolute, rest = self.url.partition(b"://")
        if is_absolute:
            authority = _END_OF_AUTHORITY.split(rest, 1)[0]
            path = rest[len(authority) :]
            self.url = path if path.startswith(b"/") else b"/" + path
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]
