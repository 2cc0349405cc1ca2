"""The join string, and which master an agent goes to."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import keys
from common.errors import JrError, UsageError
from common.ids import MinionId
from common.join import Join, read_join, write_join
from config.settings import MinionSettings
from minion.where import where

KEY = keys.key_from_raw(bytes(range(32)))
OTHER = keys.key_from_raw(bytes(range(1, 33)))
JOIN = Join(master="jr.example.org", port=4520, enrol_port=4521, key=KEY, token="secret")


def packed(fields: Any) -> str:
    return "jr1." + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def test_there_and_back() -> None:
    text = write_join(JOIN)
    assert read_join(text) == JOIN
    assert read_join(f"{text}\n") == JOIN
    assert text.replace(".", "").replace("-", "").replace("_", "").isalnum()  # one word for every shell


@pytest.mark.parametrize("text", [
    "", "jr1.", "jr2.xx", "jr1.\u00e9", "jr1.////", "jr1.bm90IGpzb24", write_join(JOIN)[:-7], write_join(JOIN)[4:],
    packed({}), packed([]), packed(["m", 1, 2, KEY]), packed(["m", "1", 2, KEY, "t"]), packed(["m", 0, 2, KEY, "t"]),
    packed(["m", 65536, 2, KEY, "t"]), packed(["m", 1, 65536, KEY, "t"]), packed(["m", 1, -1, KEY, "t"]),
    packed(["m", 1, 2, None, "t"])])
def test_what_is_no_join_string(text: str) -> None:
    with pytest.raises(UsageError, match=r"^cannot use the join string: it is not what `jr-key token` printed"):
        read_join(text)


def test_a_join_string_with_a_key_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"^cannot use this key: "):
        read_join(packed(["m", 1, 2, "short", "t"]))


# where an agent goes


def settings(**given: Any) -> MinionSettings:
    return MinionSettings(id=MinionId("m1"), **given)


def test_a_join_string_has_to_be_given_once(tmp_path: Path) -> None:
    found = where(settings(join=write_join(JOIN), master="ignored"), tmp_path)
    assert found is not None
    assert (found.host, found.port, found.enrol_port, found.key, found.token) == (
        "jr.example.org", 4520, 4521, KEY, "secret")
    kept = where(settings(), tmp_path)
    assert kept == msgspec.structs.replace(found, token=None)
    assert "secret" not in (tmp_path / "pki" / "master.json").read_text("utf-8")


def test_the_single_settings(tmp_path: Path) -> None:
    found = where(settings(master="host", port=1, enrol_port=2, master_key=KEY), tmp_path)
    assert found is not None
    assert (found.host, found.port, found.enrol_port, found.key, found.token) == ("host", 1, 2, KEY, None)
    assert where(settings(), tmp_path) is None  # nothing is kept of what the settings say


def test_a_master_without_a_key_is_not_trusted(tmp_path: Path) -> None:  # no trust on first use
    with pytest.raises(UsageError, match=r"^cannot connect to the master: master_key is not set; "):
        where(settings(master="host"), tmp_path)
    where(settings(join=write_join(JOIN)), tmp_path)
    moved = where(settings(master="new-name"), tmp_path)
    assert moved is not None
    assert (moved.host, moved.key) == ("new-name", KEY)  # it moved, and still has to prove the same key
    assert where(settings(master="new-name", master_key=OTHER), tmp_path) != moved


def test_nobody_was_ever_named(tmp_path: Path) -> None:
    assert where(settings(), tmp_path) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"host": 5}', b"\xff", b" " * 5000])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    where(settings(join=write_join(JOIN)), tmp_path)
    (tmp_path / "pki" / "master.json").write_bytes(damage)
    with pytest.raises(UsageError, match=r"^cannot use .*master\.json: .*; remove it and join again$"):
        where(settings(), tmp_path)


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "pki" / "master.json").mkdir(parents=True)
    with pytest.raises(JrError, match=r"^cannot keep the master's address in .*master\.json: "):
        where(settings(join=write_join(JOIN)), tmp_path)
