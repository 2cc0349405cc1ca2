"""Bad names through every field that names something: none gets as far as a path, a query or a lookup. R-A8, S2."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest

from common import codec
from common.codec import encode
from common.control_server import Caller
from common.errors import JrError, NotFoundError, UsageError
from common.functions import Failed, Job
from common.ids import Jid, MinionId
from common.messages import Message
from common.requests import Request, checked
from common.schedule.entries.entries import parse_entry
from common.targets import parse
from master import requests
from minion.functions import job
from runners import registry
from tests.contract.test_roles import SAMPLES, verbs
from tests.lib.bad_names import BAD_IDS, NEARLY_JIDS, traps

NAMING = (Jid, MinionId)
DECODERS = (codec.from_minion, codec.from_master, codec.enrol, codec.enrolled)


def test_the_corpus_is_large_enough() -> None:
    assert len(set(BAD_IDS)) >= 60


@pytest.mark.parametrize("text", [*BAD_IDS, *NEARLY_JIDS], ids=ascii)
def test_no_bad_name_becomes_an_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a jid"):
        Jid(text)
    if text not in NEARLY_JIDS:
        with pytest.raises(ValueError, match="is not a minion id"):
            MinionId(text)


def _naming() -> Iterator[tuple[str, str]]:
    """Every field of every message that names a job or a minion."""
    for name, sample in SAMPLES.items():
        for field, kind in get_type_hints(type(sample)).items():
            if kind in NAMING:
                yield name, field


def test_the_fields_that_name_something() -> None:
    assert set(_naming()) == {("Accepted", "jid"), ("Refused", "jid"), ("Started", "jid"), ("Return", "jid"),
                              ("Stopped", "jid"), ("Publish", "jid"), ("Stop", "jid"), ("Ack", "jid"), ("Enrol", "id")}


@pytest.mark.parametrize(("name", "field"), sorted(_naming()))
def test_no_message_carries_a_bad_name(name: str, field: str) -> None:
    sample: Message = SAMPLES[name]
    good = codec.pack(str(getattr(sample, field)))
    frame = encode(sample)
    assert frame.count(good) == 1
    decoder: Any = next(decoder for decoder in DECODERS if _decodes(decoder, frame))
    for text in [*BAD_IDS, *(NEARLY_JIDS if field == "jid" else ())]:
        with pytest.raises(codec.CodecError):
            decoder.decode(frame.replace(good, codec.pack(text)))
    for other in (1, None, [], {}, 1.5, True, b"m1", ["m1"], {"m1": 1}):
        with pytest.raises(codec.CodecError):
            decoder.decode(frame.replace(good, codec.pack(other)))


def test_no_held_job_has_a_bad_name() -> None:
    sample = SAMPLES["Held"]
    for text in [*BAD_IDS, *NEARLY_JIDS]:
        page = msgspec.msgpack.encode({"v": 1, "kind": "held", "jobs": [[text, "running"]], "last": True})
        assert _decodes(codec.from_minion, encode(sample))
        with pytest.raises(codec.CodecError):
            codec.from_minion.decode(page)


def _decodes(decoder: Any, frame: bytes) -> bool:
    try:
        decoder.decode(frame)
    except codec.CodecError:
        return False
    return True


REQUESTS: dict[str, tuple[type[Request], dict[str, Any]]] = {
    "watch.jid": (requests.WatchRequest, {}), "jobs.cursor": (requests.JobsRequest, {}),
    "active.minion": (requests.ActiveRequest, {}), "active.cursor": (requests.ActiveRequest, {}),
    "stop.jid": (requests.StopRequest, {"how": "kill"}), "token.minion": (requests.TokenRequest, {}),
    "stop.minions": (requests.StopRequest, {
        "how": "kill", "jid": "20260102030405123456"}),
}


@pytest.mark.parametrize("where", REQUESTS)
def test_no_request_carries_a_bad_name(where: str) -> None:
    kind, more = REQUESTS[where]
    field = where.rpartition(".")[2]
    for text in BAD_IDS:
        value = [text] if field in ("ids", "minions") else text
        with pytest.raises(UsageError, match=f"^cannot use {field}"):
            checked({"v": 1, "verb": "x", **more, field: value}, kind)


@pytest.mark.parametrize("verb", ["keys.accept", "keys.reject", "keys.delete", "keys.rotate"])
def test_no_key_is_found_by_a_bad_name(verb: str) -> None:
    async def story() -> None:
        async def reply(item: Any) -> None:
            raise AssertionError(item)

        for text in BAD_IDS:
            with pytest.raises((UsageError, NotFoundError), match=r"^cannot "):
                await verbs().handle({"v": 1, "verb": verb, "ids": [text]}, Caller(0, "root", 1), reply)

    asyncio.run(story())


def test_no_list_of_targets_names_a_bad_minion() -> None:
    for text in BAD_IDS:
        words = text.replace(",", " ").split()
        if text and words == [text]:
            with pytest.raises(UsageError, match=r"^cannot use the list"):
                parse("list", f"m1,{text}")


def test_a_pattern_of_bad_names_picks_nobody_but_by_its_own_rules() -> None:
    ids = [MinionId("m1"), MinionId("web-2.example")]
    for text in BAD_IDS:
        if text.strip() and not set(text) & set("*?["):
            assert parse("glob", text).match(ids) == []


def test_no_schedule_has_a_bad_name_or_function() -> None:
    fine = {"every": "1h", "function": "test.ping"}
    for text in BAD_IDS:
        if text.isascii() and text.replace(".", "").isalnum() and text[0] != ".":
            continue  # CON, NUL.txt, a long or a capital word: a schedule names no file
        with pytest.raises(UsageError):
            parse_entry(text, fine)
        with pytest.raises(UsageError):
            parse_entry("fine", {**fine, "function": text})


@pytest.mark.parametrize("name", ["find_job", "signal_job", "term_job", "kill_job"])
def test_no_function_takes_a_bad_jid(name: str) -> None:
    class Nobody:
        async def jobs(self) -> list[Any]:
            return []

        async def stop(self, *_: Any) -> Any:
            raise AssertionError("asked")

    async def story() -> None:
        asking = Job(jid=Jid("20260102030405123456"), function=f"job.{name}", user="ann")
        more: dict[str, Any] = {} if name == "find_job" else {"job": asking}
        arguments = {"signal": "HUP"} if name == "signal_job" else {}
        for text in [*BAD_IDS, *NEARLY_JIDS]:
            with pytest.raises(Failed, match=r"^cannot .*: .*is not a jid"):
                await getattr(job, name)(text, **arguments, agent=Nobody(), **more)

    asyncio.run(story())


@pytest.mark.parametrize("runner", [name for name in registry.BUILT_IN if registry.accepts(name, "jid")])
def test_no_runner_gets_further_with_a_bad_jid(runner: str) -> None:
    """It asks the master, whose verbs take jids alone: over a real one nothing of it comes back but an error."""
    class Asked(Exception):
        pass

    class Mastery:
        def __getattr__(self, verb: str) -> Any:
            def ask(jid: str, *_: Any, **__: Any) -> Any:
                raise Asked(jid)

            return ask

    for text in BAD_IDS:
        with pytest.raises((Asked, JrError)) as caught:
            registry.call(runner, Mastery(), [text, "HUP"][:2 if runner == "jobs.signal" else 1], {})  # type: ignore[arg-type]
        if isinstance(caught.value, Asked):
            assert caught.value.args == (text,), "as it was typed, for the master to refuse"


def test_what_is_text_stays_text() -> None:  # R-A9
    """Metadata, users and stop ids are no names of anything: they are kept as they are, and have an end."""
    for trap in traps("/tmp/marker"):
        made = checked({"v": 1, "verb": "publish", "target": "*", "function": "test.echo", "args": [trap.text],
                        "metadata": {"note": trap.text}}, requests.PublishRequest)
        assert (made.args, made.metadata) == ([trap.text], {"note": trap.text})
    for field, value in (("metadata", {"a": "x" * 4001}), ("metadata", {"a" * 201: "x"}), ("function", "x" * 201),
                         ("metadata", {str(number): "" for number in range(201)}), ("target", "x" * 100_001)):
        body = {"v": 1, "verb": "publish", "target": "*", "function": "test.echo", field: value}
        with pytest.raises(UsageError, match=rf"^cannot use .*{field if field == 'metadata' else ''}"):
            checked(body, requests.PublishRequest)


def test_the_verbs_say_which_name_is_bad() -> None:
    async def story() -> None:
        async def reply(item: Any) -> None:
            raise AssertionError(item)

        for text in BAD_IDS:
            with pytest.raises(UsageError, match=r"^cannot use jid: "):
                await verbs().handle({"v": 1, "verb": "watch", "jid": text}, Caller(0, "root", 1), reply)

    asyncio.run(story())
