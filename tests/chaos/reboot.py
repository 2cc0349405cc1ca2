"""R-A5: a minion's host is switched off in the middle of its jobs, its master away, and comes back in another boot.

All processes of the host die at one moment. What the kernel says of the boot is changed for the agent that comes
next: another boot id is bound over the file in /proc, and a time namespace lets the boot clock begin anew. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from common import clock
from tests.chaos.members import Member, Members
from tests.lib.wait import until

BOOT_ID = "/proc/sys/kernel/random/boot_id"
UPTIME = 30
"""Seconds that the host seems to be up when its agent comes back."""
_WORLD = 'mount --bind "$0" ' + BOOT_ID + ' && exec "$@"'


def missing(folder: Path) -> str:
    """Why this cannot be done here; empty when it can. `folder` takes a file."""
    if os.geteuid() != 0:
        return "only root may bind a file over the kernel's"
    if shutil.which("unshare") is None:
        return "unshare(1) is not there"
    fresh = "5a1e0f3c-0000-4000-8000-00000000b007"
    seen = subprocess.run([*_other_boot(folder, fresh), "cat", BOOT_ID], capture_output=True, text=True, check=False)
    return "" if seen.stdout.strip() == fresh else f"this kernel gives no other boot here: {seen.stderr.strip()}"


def switch_off(fleet: Members, member: Member) -> list[str]:
    """End every process of a minion's host at once: agent, spawner, supervisors, payloads. Returns their commands."""
    marks = [f"JR_STATE={member.state}", str(member.state.parents[2])]
    agent = member.pid
    assert agent is not None
    os.kill(agent, signal.SIGSTOP)  # it must not see the others die: at a power cut nobody sees anything
    gone = fleet.fleet.processes(*marks)
    supervisors = [pid for pid, line in gone.items() if "common.proc.spawner" in line]
    for pid in [agent, *supervisors, *gone]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not fleet.fleet.processes(*marks), what="the host is off")
    member.reap()
    return list(gone.values())


def boot(fleet: Members, member: Member) -> str:
    """Start a minion's agent in another boot; its boot id."""
    fresh = f"{os.getpid():08x}-0000-4000-8000-{int(clock.wall()):012x}"
    member.within = _other_boot(fleet.fleet.base, fresh)
    until(lambda: member.start() and member.ready, 30.0, f"{member.name} is up")
    return fresh


def _other_boot(folder: Path, boot_id: str) -> Sequence[str]:
    path = folder / f"boot-{boot_id}"
    path.write_text(f"{boot_id}\n")
    since = UPTIME - int(clock.boottime())
    return ["unshare", "--mount", "--time", "--fork", "--boottime", str(min(0, since)), "sh", "-c", _WORLD, str(path)]
