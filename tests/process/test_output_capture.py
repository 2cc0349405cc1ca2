"""Output of real jobs: huge, endless, binary, and on a disk that is full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.messages import Return
from common.proc.output import RETURN_HEAD, RETURN_TAIL
from common.states import State
from tests.process.host import TestHost, make_record, on_host

MEGABYTES = 50


def test_fifty_megabytes_are_drained_and_capped(tmp_path: Path) -> None:
    """R-A21: the job is not blocked, the file and the return stay small, and both say what is missing."""
    script = f"echo first; head -c {MEGABYTES}000000 /dev/zero; echo last"

    async def story(host: TestHost) -> tuple[Return, bytes]:
        end = await host.run("run.shell", script, output_limit=1_000_000)
        return end, host.layout.output_of(end.jid)[0].read_bytes()

    end, kept = on_host(tmp_path, story)
    total = MEGABYTES * 1_000_000 + 6 + 5
    assert (end.state, end.truncated) == (State.SUCCEEDED, True)
    assert end.stdout.startswith(b"first\n")
    assert end.stdout.endswith(b"last\n")
    assert f"[jr: {total - RETURN_HEAD - RETURN_TAIL} bytes are left out here]".encode() in end.stdout
    assert len(end.stdout) < RETURN_HEAD + RETURN_TAIL + 100
    assert end.evidence.lost_bytes == total - 1_000_000
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"last\n")
    assert f"[jr: {total - 1_000_000} bytes are left out here]".encode() in kept
    assert len(kept) < 1_000_100


def test_both_streams_at_once(tmp_path: Path) -> None:
    script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"
    end = on_host(tmp_path, lambda host: host.run("run.shell", script))
    assert end.state is State.SUCCEEDED
    assert end.evidence.lost_bytes == 2 * (3_000_000 - 1024 * 1024)


def test_a_quiet_job_makes_no_files(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[Path]:
        await host.run("run.shell", "true")
        return list(host.layout.output.iterdir())
    assert on_host(tmp_path, story) == []


def test_output_is_on_disk_while_the_job_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", f"echo early; cat {gate}")
        await host.output(jid, "early")
        gate.write_text("late\n")
        return await host.end(jid)

    assert on_host(tmp_path / "state", story).stdout == b"early\nlate\n"


def test_a_daemon_that_never_stops_writing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def story(host: TestHost) -> Return:
        return await host.run("run.shell", "yes & echo started", left_behind="kill")
    end = on_host(tmp_path, story)
    assert end.state is State.SUCCEEDED
    assert [process.name for process in end.evidence.left_behind] == ["yes"]


def test_a_disk_that_refuses_costs_output_and_nothing_else(tmp_path: Path) -> None:
    """R-A20: a folder in the place of the file stands for the full disk."""
    async def story(host: TestHost) -> Return:
        record = make_record("run.shell", "echo lost; exit 4")
        host.layout.output_of(record.jid)[0].mkdir()
        host.executor.start(host.accept(record))
        return await host.end(record.jid)
    end = on_host(tmp_path, story)
    assert (end.retcode, end.stdout) == (4, b"lost\n")
    assert end.evidence.lost_bytes == 5


@pytest.mark.parametrize("size", [0, 1, RETURN_HEAD, RETURN_HEAD + RETURN_TAIL, RETURN_HEAD + RETURN_TAIL + 1])
def test_sizes_around_the_edges(tmp_path: Path, size: int) -> None:
    end = on_host(tmp_path, lambda host: host.run("run.shell", f"head -c {size} /dev/zero"))
    assert end.truncated == (size > RETURN_HEAD + RETURN_TAIL)
    assert end.evidence.lost_bytes is None
    if not end.truncated:
        assert end.stdout == bytes(size)


def test_the_supervisor_stays_small(tmp_path: Path) -> None:
    """R-A21: its memory does not grow with the output."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def story(host: TestHost) -> list[str]:
        jid = host.start("run.shell", f"head -c 30000000 /dev/zero; echo; echo up >&2; cat {gate}")
        errors = host.layout.output_of(jid)[1]
        await host.until(lambda: errors.exists() and errors.read_text() == "up\n", "all of the output")
        record = host.folders.records.read(jid)
        assert record is not None
        status = Path(f"/proc/{record.supervisor}/status").read_text()
        gate.write_text("")
        await host.end(jid)
        return [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]

    assert int(on_host(tmp_path / "state", story)[0]) < 45 * 1024  # KiB, most of it shared with the spawner
