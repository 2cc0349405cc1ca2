"""Keeps what the master said and what must outlive this process: keys, and how often the agent was started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from common.link import Key
from minion.assembly import Parts
from minion.core import effects as do
from minion.pki import Pki
from minion.starts import Starts

_log = logging.getLogger("jr.minion.link")
T = TypeVar("T")

KEPT = (do.MakeKey, do.TakeUpKey, do.KeepMasters, do.CatchUp)
"""The effects that are done here."""


class Keeping:
    """Writes on the disk thread, and tells the core once it is durable."""

    def __init__(self, pki: Pki, starts: Starts, master: Key | None, parts: Parts,
                 apply: Callable[[Sequence[Any]], None]) -> None:
        """`master` is the key that the settings name; `apply` does what the core wants then."""
        self._pki = pki
        self._starts = starts
        self._master = master
        self._parts = parts
        self._apply = apply

    def do(self, effect: Any) -> None:
        """One of `KEPT`."""
        match effect:
            case do.MakeKey():
                self._keep(self._pki.make_spare, self._parts.agent.made)
            case do.TakeUpKey():
                self._keep(self._pki.take_up, lambda _: [])
                _log.info("this minion's new key is in use", extra={"action": "key.rotated"})
            case do.KeepMasters(keys):
                assert self._master is not None  # without a master nobody says such a thing
                self._keep(partial(self._pki.keep_masters, self._master, keys), lambda _: self._parts.agent.kept(keys))
            case do.CatchUp(starts):
                _log.warning("this state folder is an older copy: its key has been at %d starts; going on from there",
                             starts, extra={"action": "state.behind"})
                self._keep(partial(self._starts.keep, starts), lambda _: [])

    def _keep(self, write: Callable[[], T], then: Callable[[T], Sequence[Any]]) -> None:
        asyncio.ensure_future(self._parts.hands.queue.disk(write)).add_done_callback(partial(self._kept, then))

    def _kept(self, then: Callable[[T], Sequence[Any]], done: asyncio.Future[T]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            # Nobody is told of a key, so the old one goes on being the one that counts.
            _log.error("cannot keep what the master said: %s", error, extra={"action": "state.failed"})
            return
        self._apply(then(done.result()))
