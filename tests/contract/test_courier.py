"""Verdicts reach the master in order, each page until it is noted: S25, P9."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.errors import JrError
from common.messages import Message, Occurrences
from common.schedule.model import Occurrence
from minion import courier as couriers
from minion.courier import Courier


class Desk:
    """A journal of pages of two, and a master that hears."""

    def __init__(self) -> None:
        self.rows: list[Occurrence] = []
        self.done = 0
        self.said: list[tuple[int, list[float]]] = []
        self.broken = False
        self.courier = Courier(self.page, self.noted, self.hear)

    def add(self, count: int) -> None:
        for _ in range(count):
            planned = float(len(self.rows) + 1)
            self.rows.append(Occurrence(schedule="tick", planned=planned, verdict="missed", at=planned))
        self.courier.more()

    async def page(self) -> tuple[int, list[Occurrence]]:
        if self.broken:
            raise JrError("Input/output error")
        rows = self.rows[self.done:self.done + 2]
        return (self.done + len(rows) if rows else 0), rows

    def noted(self, place: int) -> None:
        self.done = place

    def hear(self, message: Message) -> None:
        assert isinstance(message, Occurrences)
        self.said.append((message.n, [one.planned for one in message.items]))

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60.0):
            while not condition():
                # Nothing tells the test that the courier went on.
                await asyncio.sleep(0.005)


def play(story: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk()
        desk.courier.open()
        try:
            await story(desk)
        finally:
            await desk.courier.close()

    asyncio.run(run())


def test_one_page_after_the_other() -> None:
    async def story(desk: Desk) -> None:
        desk.add(3)
        await asyncio.sleep(0)
        assert desk.said == [], "nobody is there"
        desk.courier.connected()
        await desk.until(lambda: desk.said == [(2, [1.0, 2.0])])
        desk.add(1)
        desk.courier.noted(7)
        desk.courier.noted(2)
        await desk.until(lambda: desk.said[1:] == [(4, [3.0, 4.0])])
        desk.courier.noted(4)
        desk.add(1)
        await desk.until(lambda: desk.said[2:] == [(5, [5.0])])

    play(story)


def test_a_page_that_is_not_noted_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "AGAIN", 0.02)

    async def story(desk: Desk) -> None:
        desk.courier.connected()
        desk.add(1)
        await desk.until(lambda: desk.said == [(1, [1.0])] * 3)
        desk.courier.disconnected()
        count = len(desk.said)
        desk.courier.connected()
        await desk.until(lambda: len(desk.said) > count)

    play(story)


def test_a_new_connection_hears_it_at_once() -> None:
    async def story(desk: Desk) -> None:
        desk.courier.connected()
        desk.add(1)
        await desk.until(lambda: len(desk.said) == 1)
        desk.courier.disconnected()
        desk.courier.connected()
        await desk.until(lambda: len(desk.said) == 2)

    play(story)


def test_a_journal_that_cannot_be_read_is_tried_again(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(couriers, "AGAIN", 0.02)

    async def story(desk: Desk) -> None:
        desk.broken = True
        desk.courier.connected()
        desk.add(1)
        await desk.until(lambda: "cannot read the verdicts of the schedule for now" in caplog.text)
        desk.broken = False
        await desk.until(lambda: desk.said)

    play(story)
