"""What a minion finds out about its host."""

from __future__ import annotations

import logging
import os
import platform
import socket
from pathlib import Path

import psutil
import pytest

from common.codec import pack, unpack
from common.ids import MinionId
from common.version import VERSION
from minion import addresses, facts
from minion.facts import collect

ID = MinionId("web1")


def test_what_is_found() -> None:
    facts = collect(ID)
    assert facts["id"] == "web1"
    assert type(facts["id"]) is str
    assert facts["host"] == socket.gethostname()
    assert facts["kernel"] == {"name": os.uname().sysname, "release": os.uname().release}
    assert facts["memory"]["total"] > 0
    assert facts["cpus"] >= 1
    assert facts["python"] == platform.python_version()
    assert facts["jr"] == VERSION
    assert facts["os"]["id"]


def test_plain_data_and_small() -> None:
    facts = collect(ID, {"role": "web"})
    packed = pack(facts)
    assert unpack(packed) == facts
    assert len(packed) < 16_384


def test_custom_facts_stand_beside() -> None:
    assert collect(ID, {"role": "web", "rack": {"row": 3}})["rack"] == {"row": 3}


def test_custom_facts_cannot_replace_found_ones(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jr.facts"):
        assert collect(ID, {"id": "db1", "role": "web"})["id"] == "web1"
    assert [record.getMessage() for record in caplog.records] == [
        "cannot set the fact id from the settings: it is found on the host"]


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "addresses", lambda: iter([
        ("eth0", "192.0.2.7"), ("eth0", "fe80::1"), ("eth1", "fe80::1"), ("lo", "127.0.0.1")]))
    assert collect(ID)["addresses"] == ["192.0.2.7", "fe80::1"]


def test_addresses_are_those_that_others_see() -> None:
    seen = [(name, address.address.partition("%")[0]) for name, every in psutil.net_if_addrs().items()
            for address in every if address.family in (socket.AF_INET, socket.AF_INET6)]
    assert sorted(addresses.addresses()) == sorted(seen)
    assert sorted(addresses._elsewhere()) == sorted(seen)


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(addresses, "_IPV6", tmp_path / "none")
    assert all("." in address for _, address in addresses.addresses())


def test_a_host_of_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "addresses", lambda: (("eth0", f"10.0.{n // 256}.{n % 256}") for n in range(5000)))
    assert len(collect(ID)["addresses"]) == 64


def test_a_host_without_os_release(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise OSError("cannot read")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert collect(ID)["os"] == {"id": platform.system().lower()}


def test_a_host_that_does_not_say_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert collect(ID)["cpus"] == 1
