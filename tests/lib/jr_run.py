"""`jr-run` on the root of a test, and answers of a master to give to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from master.cli.jr_run import command
from tests.lib.commands import Ended, run

PROGRAM = [sys.executable, "-c", "from master.cli.jr_run import main; main()"]
JID = "20260102030405123456"
HEAD = {
    "event": "job", "jid": JID, "function": "cmd.run", "args": ["sleep 9"], "kwargs": {}, "target": "*",
    "target_type": "glob", "user": "root", "published": 5.0, "minions": ["m1", "m2"], "schedule": None, "metadata": {},
}
ROW = {"jid": JID, "function": "cmd.run", "args": ["sleep 9"], "kwargs": {}, "target": "*", "target_type": "glob",
       "user": "root", "published": 5.0, "done": 9.0, "counts": {"succeeded": 2}}


def pair(minion: str, state: str = "succeeded") -> dict[str, Any]:
    evidence = {"by": "root", "asked": 6.0, "signalled": 2} if state == "killed" else None
    return {"event": "pair", "minion": minion, "pair": {
        "state": state, "retcode": None, "return": "", "stdout": "", "stderr": "", "started": 5.1, "ended": 5.2,
        "duration": 0.1, "pid": 7, "evidence": evidence,
    }}


def end(**counts: int) -> dict[str, Any]:
    return {"done": None if "running" in counts else 9.0, "counts": counts}


def stop(outcomes: dict[str, str], grace: float = 0.0) -> dict[str, Any]:
    return {"stop": "s", "jid": JID, "grace": grace, "minions": outcomes}


WELL = [HEAD, pair("m2"), pair("m1"), end(succeeded=2)]
HALF = [HEAD, pair("m1", "running"), pair("m2"), end(running=1, succeeded=1)]


class JrRun:
    """Runs `jr-run` on the root of one test."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        return run(self._capsys, command, "--root", str(self.root), *words)

    def json(self, *words: str) -> Any:
        ended = self(*words, "-o", "json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)
