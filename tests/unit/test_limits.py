"""The limit of open files: how many jobs it has room for, and what the service files grant."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

import config
from common.proc import limits

SYSTEMD = Path(config.__file__).parent / "systemd"
FOR_EVER = resource.RLIM_INFINITY


class Limit:
    """The limit of this process, as the test has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.now)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, _: int, wanted: tuple[int, int]) -> None:
        if wanted[1] > self.now[1]:
            raise ValueError("not allowed to raise maximum limit")
        self.now = wanted


@pytest.mark.parametrize(("soft", "wanted", "room"), [
    (1024, 0, 768), (1024, 10, 10), (1024, 5000, 768), (65536, 0, 65280), (300, 0, 150), (64, 0, 32),
    (FOR_EVER, 0, 0), (FOR_EVER, 5, 5)])
def test_jobs_are_no_more_than_can_be_watched(monkeypatch: pytest.MonkeyPatch, soft: int, wanted: int,
                                              room: int) -> None:  # R-B34
    Limit(monkeypatch, soft, FOR_EVER)
    assert limits.most_jobs(wanted) == room


@pytest.mark.parametrize(("before", "limit", "after"), [
    ((4096, 4096), 1024, (1024, 4096)), ((FOR_EVER, FOR_EVER), 1024, (1024, FOR_EVER)),
    ((4096, 4096), FOR_EVER, (4096, 4096)), ((FOR_EVER, FOR_EVER), FOR_EVER, (FOR_EVER, FOR_EVER))])
def test_the_limit_is_lowered_as_far_as_it_may(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], limit: int,
                                               after: tuple[int, int]) -> None:
    found = Limit(monkeypatch, *before)
    limits.lower_files(limit)
    assert found.now == after


def test_a_host_that_refuses_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Limit(monkeypatch, 1024, 4096)

    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    limits.lower_files(64)
    assert found.now == (1024, 4096)


@pytest.mark.parametrize("name", ["jr-master.service", "jr-minion.service"])
def test_a_service_may_open_many_files_and_its_jobs_as_many_as_any(name: str) -> None:
    assert "\nLimitNOFILE=1024:65536\n" in (SYSTEMD / name).read_text()


def test_a_flooded_master_is_ended_before_its_host_and_no_agent_for_its_jobs() -> None:  # R-B24, R-B25
    master, minion = ((SYSTEMD / f"jr-{name}.service").read_text() for name in ("master", "minion"))
    assert "\nMemoryMax=50%\n" in master
    assert all("\nRestart=always\n" in unit for unit in (master, minion)), "a worn daemon ends with 0: R-I07"
    assert "\nMemoryMax=" not in minion
