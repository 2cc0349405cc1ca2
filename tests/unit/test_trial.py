"""Work in a forked child: what it may do wrong, and that the caller only hears of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.proc.trial import TrialError, one_line, trial
from tests.lib.wait import until

# From Python 3.12 on a fork beside threads warns, and a parallel test run has a thread of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

SECONDS = 30.0  # far more than any of these take, also on a loaded machine


def fails(work: Callable[[], Any], seconds: float = SECONDS) -> str:
    with pytest.raises(TrialError) as caught:
        trial(work, seconds)
    return str(caught.value)


def test_the_value_comes_back() -> None:
    assert trial(lambda: {"a": [1, None]}, SECONDS) == {"a": [1, None]}


def test_a_large_value_comes_back() -> None:
    assert trial(lambda: "x" * 500_000, SECONDS) == "x" * 500_000


def test_it_happens_elsewhere() -> None:
    assert trial(os.getpid, SECONDS) != os.getpid()


def test_an_exception() -> None:
    assert fails(lambda: int("x")).startswith("ValueError: invalid literal")


def test_exit() -> None:
    assert fails(lambda: sys.exit(4)) == "it exits (4)"
    assert fails(lambda: os._exit(3)) == "it exits (3)"
    assert fails(lambda: os._exit(0)) == "it exits (0)"


def test_crash() -> None:
    assert fails(lambda: os.kill(os.getpid(), signal.SIGUSR2)) == "it crashes with signal 12"


def test_keyboard_interrupt_in_the_work_does_not_reach_the_caller() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    assert fails(interrupt) == "KeyboardInterrupt"


def test_hang() -> None:
    assert fails(signal.pause, 0.2) == "it does not end within 0.2 seconds"


def test_a_thread_left_running() -> None:
    def start() -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    assert fails(start) == "it starts a thread"


def test_a_process_left_running_is_found_and_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def start() -> None:
        note.write_text(str(subprocess.Popen(["sleep", "600"]).pid))

    assert fails(start) == "it starts a process"
    pid = int(note.read_text())
    until(lambda: _gone(pid), what="the end of the process that was left")


def test_a_fork_inside_answers_once() -> None:
    def fork() -> str:
        if os.fork() == 0:
            return "child"
        os.wait()
        return "parent"

    assert trial(fork, SECONDS) == "parent"


def test_closing_every_descriptor() -> None:
    assert fails(lambda: os.closerange(0, 256)) == "it exits (0)"


def test_a_value_that_is_no_plain_data() -> None:
    assert fails(object) == "it exits (0)"


def test_its_output_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    trial(lambda: os.write(1, b"noise") and None, SECONDS)
    assert capfd.readouterr() == ("", "")


def test_no_descriptor_and_no_child_is_left() -> None:
    before = descriptors()
    trial(lambda: None, SECONDS)
    fails(signal.pause, 0.05)
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_one_line() -> None:
    assert one_line(ValueError("two\n lines")) == "ValueError: two lines"
    assert one_line(KeyError()) == "KeyError"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
