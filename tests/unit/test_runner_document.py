"""The document of a job from its frames."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import Exit
from common.states import State
from runners.document import Document, is_open, read

HEAD: dict[str, Any] = {
    "kind": "item", "event": "job", "jid": "20260102030405123456", "function": "test.ping", "args": [1],
    "kwargs": {"a": 2}, "target": "*", "target_type": "glob", "user": "root", "published": 5.0,
    "minions": ["m2", "m1"],
}
END = {"kind": "end", "done": 9.0, "counts": {"succeeded": 2}}


def pair(minion: str, state: str = "succeeded") -> dict[str, Any]:
    return {"kind": "item", "event": "pair", "minion": minion, "pair": {"state": state, "retcode": 0}}


def test_a_whole_document() -> None:
    document = read([HEAD, pair("m2"), pair("m1"), END])
    assert document.as_dict() == {
        "jid": "20260102030405123456", "function": "test.ping", "args": [1], "kwargs": {"a": 2}, "target": "*",
        "target_type": "glob", "user": "root", "published": 5.0, "done": 9.0,
        "minions": {"m1": {"state": "succeeded", "retcode": 0}, "m2": {"state": "succeeded", "retcode": 0}},
        "counts": {"succeeded": 2},
    }
    assert list(document.as_dict()["minions"]) == ["m1", "m2"]
    assert document.exit() is Exit.OK


def test_schedule_and_metadata_stand_there_only_when_set() -> None:
    document = read([{**HEAD, "schedule": "nightly", "metadata": {"a": "b"}}, END]).as_dict()
    assert (document["schedule"], document["metadata"]) == ("nightly", {"a": "b"})
    assert "metadata" not in read([{**HEAD, "schedule": None, "metadata": {}}, END]).as_dict()


def test_a_document_that_is_not_complete() -> None:
    document = read([HEAD, pair("m2")])
    assert document.jid == "20260102030405123456"
    assert document.minions == ["m2", "m1"]
    assert document.as_dict()["done"] is None
    assert document.counts == {"succeeded": 1}
    assert document.exit() is Exit.WAITED


def test_nothing_yet() -> None:
    assert (Document().jid, Document().minions, Document().counts) == ("", [], {})


def test_feeding_tells_each_minion() -> None:
    frames = [HEAD, pair("m2"), {"kind": "item", "event": "later"}, pair("m1"), END]
    assert list(Document().feed(frames)) == ["m2", "m1"]


def test_a_later_word_of_a_pair_replaces_the_former() -> None:
    assert read([HEAD, pair("m1", "lost"), pair("m1")]).counts == {"succeeded": 1}


@pytest.mark.parametrize("state", State)
def test_which_states_are_open(state: State) -> None:
    open_states = {"planned", "sent", "accepted", "queued", "running"}
    assert is_open({"state": state.value}) == (state in open_states)
