"""What tests ask of any store, and rows to put into it."""

from __future__ import annotations

import math

from msgspec import Raw

from common.codec import pack
from common.ids import Jid, MinionId
from common.link import Key
from common.states import State
from master.records import (
    Minion,
    Stop,
)
from master.store.base import Filter, Store
from tests.lib.stored import NOON, jid

FOREVER = math.inf


def listed(store: Store, wanted: Filter, limit: int = 1000) -> list[Jid]:
    """The jids of all pages of a list, newest first."""
    found: list[Jid] = []
    before: Jid | None = None
    while True:
        page = store.page(wanted, limit, before)
        found += [one.job.jid for one in page.jobs]
        if page.next is None:
            return found
        before = page.next


def counts(store: Store, name: Jid) -> dict[State, int]:
    """What a list says of one job's states."""
    return next(one.counts for one in store.page(Filter(), 1000).jobs if one.job.jid == name)


def expire_all(store: Store, values_before: float, pairs_before: float, batch: int = 100) -> int:
    """Steps of retention until nothing is left to do; how many there were."""
    for steps in range(10_000):
        if not store.expire(values_before, pairs_before, batch):
            return steps
    raise AssertionError("retention never comes to its end")


def stop(name: str, minion: str = "a", number: int = 1) -> Stop:
    return Stop(stop=name, jid=jid(number), minion=MinionId(minion), how="term", signal=15, grace=10.0, by="root@host",
                at=NOON)


def minion(name: str, key: str, start: int = 1) -> Minion:
    return Minion(id=MinionId(name), key=Key(key), state="accepted", filed=NOON, version="0.1.0", last_seen=NOON + 5,
                  start=start, connection=2, facts=Raw(pack({"os": "Linux"})), boot_id="3f", highest=7, strange=True,
                  reason="two hosts")
