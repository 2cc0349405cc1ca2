"""R-A17: pids of dead jobs are given to strangers. `unshare --pid --fork --mount-proc python -m tests.chaos.recycled`.

In a pid namespace of its own, root may say which pid the kernel gives next. A stranger here is a process that leads a
session and a group of its own, calls itself jr-minion, and has every signal blocked: whatever is sent to it stays
pending, or kills it, and so can be told. None may ever be signalled, nor counted as a job.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from common.proc import processes
from tests.chaos.members import Members, members
from tests.lib.wait import until

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
SECONDS = 20.0
"""How long others may stand in the way: daemons that fork now and then, a child of the dead that nobody has reaped."""
_REAPER = '"$@" & wait $!'
"""The first process of a pid namespace inherits all orphans, and a shell that waits reaps them."""
TICK = {"tick": {"function": "cmd.run", "args": ["sleep 600"], "every": "1s"}}


def missing() -> str:
    """Why this cannot be done here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may make a pid namespace and choose pids in it"
    if shutil.which("unshare") is None:
        return "unshare(1) is not there"
    tried = subprocess.run(inside("sh", "-c", f"echo 300 >{LAST_PID} && true"), capture_output=True, text=True,
                           check=False)
    return "" if tried.returncode == 0 else f"this kernel lets nobody choose pids here: {tried.stderr.strip()}"


def inside(*words: str) -> list[str]:
    """A command in a pid namespace of its own; when it ends nothing is left of the namespace."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _REAPER, "sh", *words]


class Stranger(NamedTuple):
    """A process that has nothing to do with jr but the pid of a dead job."""

    pid: int

    def check(self) -> None:
        """Raises AssertionError when it was signalled."""
        seen = processes.look(self.pid)
        assert seen is not None, f"the stranger {self.pid} is gone"
        assert seen.state == "S", f"the stranger {self.pid} is in state {seen.state}"
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        pending = {line for line in lines if line.startswith(("SigPnd", "ShdPnd"))}
        assert all(int(line.split()[1], 16) == 0 for line in pending), f"the stranger {self.pid} was sent: {pending}"


def settle_in(pid: int) -> Stranger:
    """A stranger with this pid, which nobody has any more."""
    until(lambda: processes.look(pid) is None, what=f"{pid} is free")
    until(lambda: _got(pid), SECONDS, f"a stranger gets the pid {pid}")
    until(lambda: _is_settled(pid), what="the stranger waits in a group of its own")
    return Stranger(pid)


def _got(pid: int) -> bool:
    """Try to start a stranger with this pid. The kernel passes it over as long as a group or session is called so."""
    LAST_PID.write_text(str(pid - 1))
    child = os.fork()
    if child == 0:
        _be_strange(wanted=os.getpid() == pid)
    if child != pid:
        os.waitpid(child, 0)
    return child == pid


def _is_settled(pid: int) -> bool:
    seen = processes.look(pid)
    return seen is not None and (seen.group, seen.state) == (pid, "S")


def _be_strange(*, wanted: bool) -> None:
    if wanted:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        Path("/proc/self/comm").write_text("jr-minion")
        os.setsid()
        while True:
            signal.pause()
    os._exit(0)


def main() -> int:
    """Three ways to die, and strangers in the place of each; the story is over when none was touched."""
    with members(1) as fleet:
        minion = fleet.minions[0]
        fleet.fleet.configure("m1", schedule=TICK)
        minion.end()
        fleet.up()
        strangers: list[Stranger] = []
        try:
            for story in (_ended, _died_with_the_agent, _died_beside_the_agent):
                strangers += story(fleet)
                for stranger in strangers:
                    stranger.check()
                print(f"{story.__name__[1:]}: {len(strangers)} strangers by now, none was touched", flush=True)
        finally:
            for stranger in strangers:
                os.kill(stranger.pid, signal.SIGKILL)
                os.waitpid(stranger.pid, 0)
    return 0


def _ended(members: Members) -> list[Stranger]:
    """A job that has ended long ago is killed and signalled."""
    fleet = members.fleet
    jid = fleet.start("m1", "cmd.run", "sleep 0.5")
    pids = _pids(members, jid)
    fleet.ended(jid)
    strangers = [settle_in(pid) for pid in pids]
    for words in (["job.kill_job", jid], ["job.term_job", jid], ["job.signal_job", jid, "TERM"]):
        told = fleet.job("m1", *words)
        assert "has ended" in told.out, told
    fleet.run("jobs.kill", jid)
    _is_no_job(members, jid)
    return strangers


def _died_with_the_agent(members: Members) -> list[Stranger]:
    """A job and the run of a schedule die, their supervisors and the agent too, and the agent comes back."""
    fleet, minion = members.fleet, members.minions[0]
    jids = [_tick(members), fleet.start("m1", "cmd.run", "sleep 600")]
    pids = [pid for jid in jids for pid in _pids(members, jid)]
    spawner = minion.spawner()
    minion.end(signal.SIGKILL)
    assert spawner is not None
    until(lambda: processes.look(spawner) is None, what="the spawner is gone")
    strangers = _replaced(members, pids, jids)
    members.up()
    for jid in jids:
        assert fleet.ended(jid)["state"] == "lost", fleet.lookup(jid)
        _is_no_job(members, jid)
    until(lambda: _tick(members) != jids[0], what="the schedule goes on")
    return strangers


def _died_beside_the_agent(members: Members) -> list[Stranger]:
    """A job and its supervisor die, and are replaced, while the agent stands still; meanwhile the job is killed."""
    fleet, minion = members.fleet, members.minions[0]
    jid = fleet.start("m1", "cmd.run", "sleep 600")
    pids = _pids(members, jid)
    minion.send(signal.SIGSTOP)
    try:
        strangers = _replaced(members, pids, [jid])
        assert fleet.run("jobs.kill", jid, "wait=0").code == 124
    finally:
        minion.send(signal.SIGCONT)
    assert fleet.ended(jid)["state"] == "lost", fleet.lookup(jid)
    _is_no_job(members, jid)
    return strangers


def _pids(members: Members, jid: str) -> list[int]:
    """The payload and the supervisor of a job that runs, from its proc record."""
    path = members.fleet.record(jid)
    until(lambda: path.exists() and json.loads(path.read_text()).get("pid"), what=f"{jid} runs")
    record = json.loads(path.read_text())
    return [record["pid"], record["supervisor"]]


def _tick(members: Members) -> str:
    """The jid of the run of the schedule that is under way."""
    def look() -> str:
        records = [json.loads(path.read_text()) for path in (members.minions[0].state / "proc").glob("*.json")]
        return next((record["jid"] for record in records if record["schedule"] == "tick" and record["pid"]), "")

    return until(look, what="the schedule's job runs")


def _replaced(members: Members, pids: list[int], jids: list[str]) -> list[Stranger]:
    """Kill these processes and all others of the jobs, and put strangers in their places."""
    def are_gone() -> bool:
        # More than once: a shell that has only just begun starts its command while its processes are counted.
        alive = [pid for jid in jids for pid in members.fleet.of_job(jid)]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    for pid in reversed(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(are_gone, what="all processes of the jobs are dead")
    return [settle_in(pid) for pid in pids]


def _is_no_job(members: Members, jid: str) -> None:
    listed = members.fleet.job("m1", "job.running").pair()["return"]
    assert jid not in [job["jid"] for job in listed], listed
    assert members.fleet.job("m1", "job.find_job", jid).pair()["return"] == {}


if __name__ == "__main__":
    sys.exit(main())
