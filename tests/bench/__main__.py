"""The first lines of the budget, each beside a yardstick of the same run. Prints a table; asserts nothing.

Machines differ and are shared: compare the ratios, not the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from common.codec import pack, unpack
from common.control import MASTER, Connection
from master.fleet import Fleet
from tests.bench import schedules
from tests.bench.punctual import bare_lateness, lateness

BIN = Path(sysconfig.get_path("scripts"))
MINIONS = 5


def timed(call: Callable[[], object], runs: int) -> float:
    """The median of the seconds that a call takes, after one that is not counted."""
    call()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def row(what: str, figure: str, yardstick: str, ratio: str, budget: str) -> None:
    """One line of the table."""
    print(f"{what:44} {figure:>14}   {yardstick:34} {ratio:>8}   {budget}", flush=True)


def command(root: Path) -> Callable[[], object]:
    """`jr '*' test.ping` as a whole process."""
    environ = {**os.environ, "JR_ROOT": str(root)}
    return lambda: subprocess.run([BIN / "jr", "*", "test.ping"], env=environ, check=True, capture_output=True)


def bare_start() -> float:
    """Seconds of an interpreter that does nothing."""
    return timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 15)


def bare_fork_exec() -> float:
    """Processes a second that one process can fork, execute and reap, one after the other."""
    def once() -> None:
        pid = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(pid, 0)
    return 1 / timed(lambda: [once() for _ in range(200)], 3) * 200


def bare_router(messages: int = 2000) -> float:
    """Messages a second that a ROUTER unpacks and answers, with CURVE, one peer that waits for each answer."""
    public, secret = zmq.curve_keypair()
    mine, my_secret = zmq.curve_keypair()
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey, router.linger = True, secret, 0
    port = router.bind_to_random_port("tcp://127.0.0.1")

    def serve() -> None:
        for _ in range(2 * messages):
            peer, frame = router.recv_multipart()
            router.send_multipart([peer, pack(unpack(frame))])

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    dealer = context.socket(zmq.DEALER)
    dealer.curve_serverkey, dealer.curve_publickey, dealer.curve_secretkey = public, mine, my_secret
    dealer.linger = 0
    dealer.connect(f"tcp://127.0.0.1:{port}")
    frame = pack({"v": 1, "kind": "return", "jid": "20260102030405123456", "value": True})

    def all_of_them() -> None:
        for _ in range(messages):
            dealer.send(frame)
            dealer.recv()

    seconds = timed(all_of_them, 1)
    server.join()
    context.destroy()
    return messages / seconds


def publish(connection: Connection, function: str, *args: str, target: str = "*") -> None:
    """One job, waited for."""
    for item in connection.stream("publish", None, target=target, target_type="glob", function=function,
                                  args=list(args), kwargs={}, typed=True, follow=True):
        if item.get("event") == "pair" and item["pair"]["state"] != "succeeded":
            raise SystemExit(f"a job of the benchmark ended {item['pair']}")


def jobs_a_second(root: Path, seconds: float) -> float:
    """Pings a second from one client that stays connected and waits for each."""
    with Connection(Fleet(root).paths.master_socket, MASTER) as connection:
        publish(connection, "test.ping")
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            publish(connection, "test.ping")
            count += 1
        return count / (time.perf_counter() - start)


def commands_a_second(root: Path, seconds: float, clients: int = 4) -> float:
    """Returns a second of `cmd.run true` on all minions, from a few clients at once."""
    counts = [0] * clients
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        with Connection(Fleet(root).paths.master_socket, MASTER) as connection:
            while time.perf_counter() < end:
                publish(connection, "cmd.run", "true")
                counts[number] += MINIONS

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def output_seconds(root: Path, runs: int = 9) -> tuple[float, float]:
    """Seconds of a job that writes 1 GiB, and of a pipe that does, in turn; the best of each, on a shared machine."""
    jobs, pipes = [], []
    with Connection(Fleet(root).paths.master_socket, MASTER) as connection:
        for _ in range(runs):
            start = time.perf_counter()
            subprocess.run("head -c 1G /dev/zero | cat >/dev/null", shell=True, check=True)
            middle = time.perf_counter()
            publish(connection, "cmd.run", "head -c 1G /dev/zero", target="m1")
            pipes.append(middle - start)
            jobs.append(time.perf_counter() - middle)
    return min(jobs), min(pipes)


def resident(pid: int) -> float:
    """MiB of memory of a process and of its children."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(resident(int(child)) for child in children)


def bare_resident() -> float:
    """MiB of an interpreter that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    size = resident(process.pid)
    process.communicate()
    return size


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each rate is measured")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="jr-bench-")) / "fleet"
    fleet = Fleet(root)
    try:
        fleet.up(MINIONS)
        figures = measure(fleet, options.seconds)
    finally:
        fleet.down(purge=True)
        shutil.rmtree(root.parent)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(fleet: Fleet, seconds: float) -> dict[str, float]:
    """All figures, by name."""
    row("what", "figure", "yardstick of this run", "ratio", "budget")
    start, whole = bare_start(), timed(command(fleet.root), 15)
    row("jr '*' test.ping, 5 minions, whole command", f"{whole * 1000:.0f} ms",
        f"bare interpreter {start * 1000:.1f} ms", f"{whole / start:.1f}", "<= 8 starts")
    router, jobs = bare_router(), jobs_a_second(fleet.root, seconds)
    row("sync test.ping jobs, one client, 5 minions", f"{jobs:.0f}/s", f"bare ROUTER {router:.0f} round trips/s",
        f"{jobs / router:.3f}", ">= 300/s")
    forks, commands = bare_fork_exec(), commands_a_second(fleet.root, seconds)
    row("cmd.run true, returns of 5 minions", f"{commands:.0f}/s", f"bare fork+exec {forks:.0f}/s",
        f"{commands / forks:.3f}", ">= 150/s")
    job, pipe = output_seconds(fleet.root)
    row("cmd.run that writes 1 GiB", f"{job * 1000:.0f} ms", f"head | cat >/dev/null {pipe * 1000:.0f} ms",
        f"{job / pipe:.2f}", "<= 1.20")
    late, bare_late = lateness(fleet.root, ["m1", "m2"]), bare_lateness()
    row(f"a run at its time, {len(late)} on 2 minions, median", f"{statistics.median(late) * 1000:.0f} ms late",
        f"bare call_later {statistics.median(bare_late) * 1000:.1f} ms",
        f"{statistics.median(late) / statistics.median(bare_late):.0f}", "<= 100 ms")
    row("the same, the worst of them", f"{max(late) * 1000:.0f} ms late",
        f"bare call_later {max(bare_late) * 1000:.1f} ms", f"{max(late) / max(bare_late):.0f}", "<= 100 ms")
    bare = bare_resident()
    minion = statistics.median(resident(fleet.pid(member) or 0) for member in fleet.minions)
    master = resident(fleet.pid(fleet.master) or 0)
    row("memory of an idle minion, agent + spawner", f"{minion:.0f} MiB", f"bare interpreter {bare:.0f} MiB",
        f"{minion / bare:.1f}", "<= 50 MiB")
    row("memory of the master, with its spawner", f"{master:.0f} MiB", f"bare interpreter {bare:.0f} MiB",
        f"{master / bare:.1f}", "<= 90 MiB")
    hour = schedules.Figures(schedules.a_day)
    heap = schedules.yardstick(schedules.ENTRIES)
    row(f"schedule: an hour of {schedules.ENTRIES} entries, {hour.runs} runs", f"{hour.hour * 1000:.0f} ms CPU",
        f"so many dicts through a heap {heap * 1000:.0f} ms", f"{hour.hour / heap:.2f}", "<= 1 s CPU")
    return {"schedule_hour": hour.hour, "heap": heap, "interpreter": start,
            "ping": whole, "router": router, "jobs": jobs, "fork_exec": forks,
            "commands": commands, "output": job, "late": statistics.median(late), "latest": max(late),
            "bare_late": statistics.median(bare_late), "bare_latest": max(bare_late), "output_pipe": pipe,
            "minion_mib": minion, "master_mib": master, "bare_mib": bare}


if __name__ == "__main__":
    main()
