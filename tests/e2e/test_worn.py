"""Daemons that end by themselves, to be started anew: exit 0, and their jobs go on. # R-I07"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.lib.fleet import SCRIPTS, SECONDS, Fleet, started
from tests.lib.wait import until


def serve(fleet: Fleet, name: str, **options: object) -> int:
    """Run one daemon in the foreground, as a service manager does, with these settings; its exit code."""
    root = fleet.root if name == "master" else fleet.minion(name)
    program = "jr-master" if name == "master" else "jr-minion"
    fleet.configure(name, **options)
    with (root / f"var/log/jr/{program}.log").open("ab") as output:
        ended = subprocess.run([str(SCRIPTS / program), "--root", str(root)], stdout=output, stderr=output,
                               stdin=subprocess.DEVNULL, cwd="/", timeout=SECONDS, check=False,
                               env={**os.environ, "PATH": f"{fleet.base / 'bin'}:{os.environ['PATH']}"})
    return ended.returncode


def test_a_worn_daemon_ends_cleanly_and_its_jobs_live_on() -> None:
    with started(1) as fleet:
        gate = fleet.base / "gate"
        os.mkfifo(gate)
        jid = fleet.start("m1", "cmd.run", f"cat {gate}")
        payload = fleet.running(jid)["pid"]
        fleet.end("m1", signal.SIGTERM)
        assert serve(fleet, "m1", max_age="1s") == 0
        assert "max_age is 1.0s" in fleet.log("m1")
        fleet.end("master", signal.SIGTERM)
        assert serve(fleet, "master", max_memory="16M") == 0
        assert "above max_memory (16 MiB)" in fleet.log("master")
        assert Path(f"/proc/{payload}").exists()
        for name in ("m1", "master"):
            fleet.configure(name, max_age=0, max_memory=0)
        fleet.up()
        until(lambda: fleet.run("manage.up").json == ["m1"], what="m1 is back")
        gate.write_text("done\n")
        assert fleet.ended(jid)["state"] == "succeeded"
