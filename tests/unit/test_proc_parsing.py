"""What the kernel says of processes, mounts and cgroups, as text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.proc import cgroup, processes
from common.proc.cgroup import Cgroup
from common.proc.processes import Seen, below, parse_stat

TAIL = " 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 100 18446744073709551615"


@pytest.mark.parametrize("name", ["sh", "a b", ") R 1 1", "((", "Z) S 5 6 (x", "grüße"])
def test_names_may_hold_anything(name: str) -> None:
    seen = parse_stat(7, f"7 ({name}) S 3 5 5{TAIL}")
    assert seen == Seen(pid=7, parent=3, group=5, state="S", ticks=12345, name=name)


@pytest.mark.parametrize("text", ["", "7 sh S 1", "7 (sh", "7 (sh) S"])
def test_what_is_no_stat(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_stat(7, text)


def test_we_see_ourselves() -> None:
    me = processes.look(os.getpid())
    assert me is not None
    assert (me.pid, me.parent, me.group) == (os.getpid(), os.getppid(), os.getpgrp())
    assert processes.is_alive(me.pid, me.ticks)
    assert not processes.is_alive(me.pid, me.ticks + 1)
    assert me.pid in [seen.pid for seen in processes.living()]
    assert processes.look(4_194_305) is None


def seen(pid: int, parent: int) -> Seen:
    return Seen(pid, parent, pid, "S", 1, "x")


def test_descent() -> None:
    everything = [seen(pid, parent) for pid, parent in [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (9, 9)]]
    assert sorted(one.pid for one in below(2, everything)) == [3, 4]
    assert sorted(one.pid for one in below(1, everything)) == [2, 3, 4, 5, 6]
    assert below(4, everything) == []
    assert [one.pid for one in below(9, everything)] == [9]  # a circle has an end


MOUNTS = """25 1 0:23 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd
27 25 0:25 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw
"""


def test_where_cgroups_are_mounted() -> None:
    assert cgroup.parse_mount(MOUNTS) == "/sys/fs/cgroup/unified"
    assert cgroup.parse_mount(MOUNTS.replace("cgroup2 cgroup2", "cgroup cgroup")) is None
    assert cgroup.parse_mount("") is None


@pytest.mark.parametrize(("text", "path"), [
    ("0::/", "/"), ("12:pids:/a\n0::/system.slice/jr-minion.service\n", "/system.slice/jr-minion.service"),
    ("0::/gone (deleted)", "/gone"), ("12:pids:/a", None), ("", None), ("0::/../outside", None)])
def test_our_own_cgroup(text: str, path: str | None) -> None:
    assert cgroup.parse_own(text) == path


def test_folders_that_are_no_cgroups(tmp_path: Path) -> None:
    """A host without cgroups, or with a read-only tree, is a host where the sweep has to do."""
    assert cgroup.create(tmp_path, "x") is None
    assert list(tmp_path.iterdir()) == []
    assert cgroup.create(tmp_path / "none", "x") is None
    gone = Cgroup(tmp_path / "gone")
    gone.kill()
    assert (gone.is_empty(), gone.pids(), gone.remove()) == (True, [], True)
    cgroup.remove_empty(tmp_path / "none")
    with pytest.raises(OSError, match="No such file"):
        gone.add(1)
