"""Bounds what the gateway's publisher has on its way, in messages and bytes; who comes later waits in line."""

import asyncio
from collections import deque


class Window:
    """So many messages and bytes at a time. One that is heavier than all may go alone."""

    def __init__(self, messages: int, octets: int) -> None:
        self._most = messages, octets
        self._messages = self._octets = 0
        self._line: deque[tuple[asyncio.Future[None], int]] = deque()

    def enter_at_once(self, octets: int) -> bool:
        """False where there is no room, or others wait for it."""
        if self._line or not self._has_room(octets):
            return False
        self._take(octets)
        return True

    async def enter(self, octets: int) -> None:
        """Returns when there is room, first come, first served."""
        if self.enter_at_once(octets):
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((admitted, octets))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self.leave(octets)  # there was room just when nobody waited for it any more
            raise

    def leave(self, octets: int) -> None:
        """A message that entered is not on its way any more."""
        self._messages -= 1
        self._octets -= octets
        while self._line and (self._line[0][0].done() or self._has_room(self._line[0][1])):
            admitted, wanted = self._line.popleft()
            if not admitted.done():
                self._take(wanted)
                admitted.set_result(None)

    def _has_room(self, octets: int) -> bool:
        messages, most = self._most
        return self._messages == 0 or (self._messages < messages and self._octets + octets <= most)

    def _take(self, octets: int) -> None:
        self._messages += 1
        self._octets += octets
