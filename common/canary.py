"""Proves, at start and every hour, that the main port turns unknown keys away; libzmq would not say if it did not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from common import clock
from common.errors import JrError
from common.keys import generate
from common.link import Closed, Key
from common.zmqline import GIVE_UP, ZmqLine, open_line

EVERY = 3600.0
"""Seconds between two proofs."""
RETRY = 60.0
"""Seconds until the next try after one that proved nothing, as on a host that is too busy to answer."""
TRIES = 5
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}

_log = logging.getLogger("jr.link")


class Canary:
    """Connects with a key that nobody knows, again and again. Made inside the running loop."""

    def __init__(
        self, bind: str, port: int, server_key: Key, alarm: Callable[[str], None],
        *, every: float = EVERY, retry: float = RETRY, give_up: float = GIVE_UP,
    ) -> None:
        """`alarm` gets a sentence when the port let the key in, or never proved that it does not; then the daemon ends.

        It is called once, and no try comes after it.
        """
        self._where = (_LOOPBACK.get(bind, bind), port, server_key)
        self._alarm = alarm
        self._every, self._retry, self._give_up = every, retry, give_up
        self.proved: float | None = None
        """Boot time of the last proof."""
        self._misses = 0
        self._line: ZmqLine | None = None
        self._timer = asyncio.get_running_loop().call_soon(self._try)

    def close(self) -> None:
        """Stop."""
        self._timer.cancel()
        if self._line is not None:
            self._line.close()

    def opened(self) -> None:
        """See `LineEvents`: what must not be."""
        self._give_alarm("the main port lets unknown keys in: its key check does not work")

    def received(self, frame: bytes) -> None:
        """See `LineEvents`."""

    def closed(self, why: Closed) -> None:
        """See `LineEvents`: refused is what must be; anything else proves nothing."""
        if why is Closed.REFUSED:
            self._misses = 0
            self.proved = clock.boottime()
            self._again(self._every)
        else:
            self._missed("nobody answers")

    def _try(self) -> None:
        try:
            self._line = open_line(*self._where, generate(), self, give_up=self._give_up)
        except JrError as error:
            self._missed(str(error))

    def _missed(self, why: str) -> None:
        self._misses += 1
        _log.warning("cannot prove that unknown keys are refused: %s", why, extra={"action": "canary.missed"})
        if self._misses >= TRIES:
            self._give_alarm(f"cannot prove that unknown keys are refused: {TRIES} tries got no answer")
        else:
            self._again(self._retry)

    def _again(self, after: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after, self._try)

    def _give_alarm(self, why: str) -> None:
        self.close()
        _log.critical("%s", why, extra={"action": "canary.alarmed"})
        self._alarm(why)
