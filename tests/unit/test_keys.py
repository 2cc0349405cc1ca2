"""CURVE key pairs and the files they lie in."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from zmq.utils import z85

from common import keys
from common.errors import JrError, UsageError
from common.keys import KeyPair
from common.link import Key

SEALED = "not a key file of jr"


def test_pairs_differ_and_hide_their_secret() -> None:  # R-A23
    one, two = keys.generate(), keys.generate()
    assert one.public != two.public
    assert one.secret not in repr(one)
    assert one.secret not in f"{one} {[one]}"


def test_a_fingerprint_is_the_hash_of_the_raw_key() -> None:
    key = keys.generate().public
    shown = keys.fingerprint(key)
    assert shown.replace(":", "") == hashlib.sha256(z85.decode(key.encode())).hexdigest()
    assert len(shown.split(":")) == 32


def test_raw_keys_and_text_are_the_same() -> None:
    key = keys.generate().public
    assert keys.key_from_raw(z85.decode(key.encode())) == key
    assert keys.parse_key(key) == key


@pytest.mark.parametrize("text", ["", "x", "x" * 39, "x" * 41, "#" * 40, "x" * 39 + "\n", "x" * 39 + '"', "é" * 40,
                                  " " * 40])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:  # S11
    with pytest.raises(UsageError, match=r"^cannot use this key: a key is 40 characters of Z85") as caught:
        keys.parse_key(text)
    assert len(text) < 2 or text not in str(caught.value)


def test_a_pair_is_kept_and_found_again(tmp_path: Path) -> None:
    pair = keys.generate()
    path = keys.save(pair, tmp_path / "pki", "master")
    assert keys.load(tmp_path / "pki", "master") == pair
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["master.key"]


def test_no_file_is_no_pair(tmp_path: Path) -> None:
    assert keys.load(tmp_path, "master") is None
    assert keys.load(tmp_path / "no folder", "master") is None


def test_ensure_makes_a_pair_once(tmp_path: Path) -> None:
    made = keys.ensure(tmp_path / "pki", "minion")
    assert keys.ensure(tmp_path / "pki", "minion") == made
    assert keys.ensure(tmp_path / "pki", "other") != made


def test_a_damaged_file_is_never_replaced(tmp_path: Path) -> None:  # S10
    path = keys.save(keys.generate(), tmp_path, "master")
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=SEALED):
        keys.ensure(tmp_path, "master")
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe\x00", b"jr-curve-key 1\n", b"jr-curve-key 2\npublic %p\nsecret %s\n", b"x" * 5000,
     b"jr-curve-key 1\nsecret %s\npublic %p\n", b"jr-curve-key 1\npublic %p\nsecret %s\nmore\n"],
    ids=["empty", "binary", "half", "other version", "huge", "turned round", "too long"],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, data: bytes) -> None:
    pair = keys.generate()
    path = keys.save(pair, tmp_path, "master")
    path.write_bytes(data.replace(b"%p", pair.public.encode()).replace(b"%s", pair.secret.encode()))
    with pytest.raises(UsageError, match=f"^cannot use {path}: it is {SEALED}$"):
        keys.load(tmp_path, "master")


def test_every_cut_of_a_key_file_is_refused(tmp_path: Path) -> None:
    path = keys.save(keys.generate(), tmp_path, "master")
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError):
            keys.load(tmp_path, "master")


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    mixed = KeyPair(keys.generate().public, keys.generate().secret)
    keys.save(mixed, tmp_path, "master")
    with pytest.raises(UsageError, match="do not belong together"):
        keys.load(tmp_path, "master")


def test_a_secret_that_is_none_is_refused_and_not_repeated(tmp_path: Path) -> None:
    keys.save(KeyPair(Key("x" * 40), "#" * 40), tmp_path, "master")
    with pytest.raises(UsageError, match="its secret key is damaged") as caught:
        keys.load(tmp_path, "master")
    assert "####" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:  # S10
    path = keys.save(keys.generate(), tmp_path, "master")
    path.chmod(mode)
    with pytest.raises(UsageError, match="others can read it; set its mode to 0600"):
        keys.load(tmp_path, "master")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:  # S10
    path = keys.save(keys.generate(), tmp_path, "master")
    os.chown(path, 12345, 12345)
    with pytest.raises(UsageError, match="it belongs to uid 12345"):
        keys.load(tmp_path, "master")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:  # S10
    real = keys.save(keys.generate(), tmp_path, "real")
    path = tmp_path / "master.key"
    if kind == "link":
        path.symlink_to(real)
    elif kind == "folder":
        path.mkdir(0o700)
    else:
        os.mkfifo(path, 0o600)
    with pytest.raises(JrError):
        keys.load(tmp_path, "master")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JrError, match=r"^cannot use "):
        keys.save(keys.generate(), tmp_path / "file" / "pki", "master")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "master.key").mkdir()
    with pytest.raises(JrError, match=r"^cannot save "):
        keys.save(keys.generate(), tmp_path, "master")


@pytest.mark.parametrize("raw", [b"", b"x" * 31, b"x" * 33, b"x" * 36])
def test_raw_keys_have_32_bytes(raw: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keys.key_from_raw(raw)
