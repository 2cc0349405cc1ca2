"""The ZAP handler, asked in the words of RFC 27: whatever it is asked, an answer that lets nobody in by mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import zmq
from zmq.utils import z85

from common.link import Key
from common.zap import Refusal, ZapHandler
from common.zmqbase import new_context
from tests.lib.links import until_async

KEY = bytes(range(32))


class Inquirer:
    """libzmq's side of the conversation."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.connect("inproc://zeromq.zap.01")

    def ask(self, *fields: bytes) -> None:
        self._socket.send_multipart([b"", *fields])

    async def answer(self) -> list[bytes]:
        await until_async(lambda: self._socket.poll(0), "the answer")
        return self._socket.recv_multipart()[1:]

    def close(self) -> None:
        self._socket.close(0)


def play(judge: Callable[[Key, str], str | Refusal], story: Callable[[Inquirer], Awaitable[None]]) -> None:
    async def run() -> None:
        context = new_context()
        handler = ZapHandler(asyncio.get_running_loop(), context)
        handler.serve(b"jr", judge)
        inquirer = Inquirer(context)
        try:
            await story(inquirer)
        finally:
            inquirer.close()
            handler.close()
            context.term()

    asyncio.run(run())


def test_the_judge_gets_key_and_address_and_its_word_is_the_user_id() -> None:
    asked: list[tuple[Key, str]] = []

    def judge(key: Key, address: str) -> str:
        asked.append((key, address))
        return "m1 secret 1"

    async def story(inquirer: Inquirer) -> None:
        inquirer.ask(b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", KEY)
        assert await inquirer.answer() == [b"1.0", b"7", b"200", b"", b"m1 secret 1", b""]

    play(judge, story)
    assert asked == [(Key(z85.encode(KEY).decode()), "192.0.2.9")]


@pytest.mark.parametrize("verdict", list(Refusal))
def test_a_refusal_has_its_status_and_no_user_id(verdict: Refusal) -> None:
    async def story(inquirer: Inquirer) -> None:
        inquirer.ask(b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", KEY)
        assert await inquirer.answer() == [b"1.0", b"7", verdict.value, b"", b"", b""]

    play(lambda key, address: verdict, story)


@pytest.mark.parametrize(
    "fields",
    [
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"NULL"),
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"PLAIN", b"admin", b"secret"),
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"PLAIN", KEY),
        (b"2.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", KEY),
        (b"1.0", b"7", b"other", b"192.0.2.9", b"", b"CURVE", KEY),
        (b"1.0", b"7", b"", b"192.0.2.9", b"", b"CURVE", KEY),
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", KEY[:31]),
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", b""),
        (b"1.0", b"7", b"jr", b"\xff", b"", b"CURVE", KEY),
        (b"1.0", b"7", b"jr", b"192.0.2.9", b"", b"CURVE", KEY, b"more"),
        (b"1.0", b"7"),
    ],
)
def test_what_is_not_our_handshake_is_refused(fields: tuple[bytes, ...]) -> None:  # R-A10, S5
    async def story(inquirer: Inquirer) -> None:
        inquirer.ask(*fields)
        version, number, status, _, user_id, _ = await inquirer.answer()
        assert (version, number) == fields[:2]
        assert status in {b"400", b"500"}
        assert user_id == b""

    play(lambda key, address: "m1 secret 1", story)


def test_a_judge_that_fails_lets_nobody_in_and_the_next_one_is_served() -> None:  # R-A10
    answers: list[str | Exception] = ["m1 secret 2", ValueError("a fault")]

    def judge(key: Key, address: str) -> str:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def story(inquirer: Inquirer) -> None:
        inquirer.ask(b"1")  # not even a number to answer to
        for number in (b"1", b"2"):
            inquirer.ask(b"1.0", number, b"jr", b"192.0.2.9", b"", b"CURVE", KEY)
        assert (await inquirer.answer())[1:3] == [b"1", b"500"]
        assert (await inquirer.answer())[1:3] == [b"2", b"200"]

    play(judge, story)
