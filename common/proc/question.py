"""A function that is only asked for its answer: no job, no record, no return. A small supervisor for one question.

`python -m common.proc.question`: the question packed on stdin, the answer as JSON on stdout. What the function starts
is killed at the end, and at the time limit; all of it is reaped here. Told to end (SIGTERM), it kills and ends as well.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgpack

from common import clock
from common.proc import child, ending, limits, processes
from common.proc.loader import load
from common.proc.output import Capture
from common.proc.requests import Requests
from common.proc.tree import Tree
from common.proc.watch import Signals, Watch

ANSWER_LIMIT = 4096
"""Bytes of a value, of which only the truth counts."""
LAST_NO = 125
"""The greatest exit code that is a no; those above tell that a shell could not run the command, or saw it killed."""
_GRACE = 1.0
_NOWHERE = Path(os.devnull)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Ask it: `{"yes": ...}`, or `{"failed": why}` when it has no answer."""
    limits.lower_files(question["files"])
    loaded = load(question["sources"])
    processes.become_subreaper()
    signals = Signals()
    record = {**question, "grace": _GRACE, "return_limit": ANSWER_LIMIT, "left_behind": "kill", "user": "schedule"}
    running = child.fork(record, loaded.functions, signals.fds)
    tree = Tree(running.pid, running.pidfd, None)
    captures = Capture(_NOWHERE, ANSWER_LIMIT), Capture(_NOWHERE, ANSWER_LIMIT)
    watch = Watch(record, running, tree, captures, Requests(_NOWHERE / "none"), signals, lambda *_: None)
    os.write(running.gate, b"g")
    os.close(running.gate)
    watch.run()
    return _read(watch, ending.judge(watch.status, watch.report, watch.ask, clock.wall()))


def _read(watch: Watch, ended: ending.Ending) -> dict[str, Any]:
    if ended.state not in ("succeeded", "failed") or watch.report.error is not None:
        return {"failed": str(ended.evidence.get("reason", ended.state))}
    if watch.report.command and "signal" not in ended.evidence:
        code = ended.retcode
        return {"yes": code == 0} if code is not None and 0 <= code <= LAST_NO else {"failed": _unrun(code)}
    if ended.state == "failed":
        return {"failed": str(ended.evidence.get("reason", "it failed"))}
    return {"yes": bool(msgpack.unpackb(ended.value or b"\xc0", strict_map_key=False))}


def _unrun(code: int | None) -> str:
    why = {126: "it cannot be executed", 127: "it is not there"}.get(code or 0, "something in it was killed")
    return f"its command ended with exit code {code}: {why}"


def main() -> None:
    """Read the question, and answer it."""
    gc.disable()  # it lives for a moment
    question = msgpack.unpackb(sys.stdin.buffer.read(), strict_map_key=False)
    sys.stdout.write(json.dumps(answer(question)))
    sys.stdout.flush()
    os._exit(0)  # modules of users may have left threads behind that would hold up a tidy end


if __name__ == "__main__":
    main()
