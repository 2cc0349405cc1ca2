"""Stopping jobs: term, kill, signal, time-outs; what they reach, what they say, and who wins. Real processes."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common import clock
from common.ids import Jid
from common.messages import Return
from common.proc import processes
from common.states import State
from tests.lib.wait import until
from tests.process.host import TestHost, make_record, on_host, request

CONTAINMENT = ["auto", "subreaper"]
IGNORES = "trap '' TERM; echo up; while :; do sleep 0.1; done"
# A daemon as the books have it: double fork, own session, streams closed. It says its pid in a file.
DAEMON = "setsid sh -c 'sh -c \"echo \\$\\$ >{pid}; exec sleep 300\" >/dev/null 2>&1 </dev/null &' & "


def wait_for_pid(path: Path) -> int:
    return until(lambda: int(path.read_text() or 0) if path.exists() else 0, what="the pid of a daemon")


def is_gone(pid: int) -> bool:
    seen = processes.look(pid)
    return seen is None or seen.state == "Z"


def answers_to(host: TestHost, stop: str) -> list[Any]:
    return [answer for answer in host.events.of("stop") if answer[2] == stop]


async def stop_one(host: TestHost, script: str, how: str, word: str = "up", **fields: Any) -> Return:
    """Start a job, wait until it has said `word`, stop it."""
    jid = host.start("run.shell", script)
    await host.output(jid, word)
    await host.stop(jid, request(how, **fields))
    return await host.end(jid)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_kill_says_who_when_and_what(tmp_path: Path, containment: str) -> None:
    """S06, B03."""
    before = clock.wall()
    end = on_host(tmp_path, lambda host: stop_one(host, "echo up; sleep 300", "kill"), containment=containment)
    evidence = end.evidence
    assert (end.state, end.retcode, end.stdout) == (State.KILLED, 137, b"up\n")
    assert (evidence.signal, evidence.asked_signal, evidence.by) == (9, 9, "tester@here")
    assert evidence.asked is not None
    assert before - 1 < evidence.asked < clock.wall() + 1
    assert evidence.signalled == 2  # the shell and its sleep
    assert evidence.survivors == []
    assert evidence.took is not None
    assert 0 <= evidence.took < 10
    assert evidence.containment in ({"subreaper"} if containment == "subreaper" else {"cgroup", "subreaper"})
    assert evidence.boot_id == clock.boot_id()


def test_the_supervisor_answers_a_stop(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[Any]:
        end = await stop_one(host, "echo up; sleep 300", "kill")
        found: list[Any] = await host.until(lambda: host.events.of("stop"), "the answer")
        return [end.jid, *found]
    jid, answer = on_host(tmp_path, story)
    assert answer[:4] == ("stop", jid, "s1", "stopping")
    assert answer[4] >= 1


def test_term_lets_a_job_tidy_up(tmp_path: Path) -> None:
    script = "trap 'echo tidy; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    end = on_host(tmp_path, lambda host: stop_one(host, script, "term", grace=30.0))
    assert (end.state, end.retcode, end.stdout) == (State.KILLED, 5, b"up\ntidy\n")
    assert (end.evidence.exit_code, end.evidence.asked_signal) == (5, 15)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_term_kills_what_ignores_it_when_the_grace_is_over(tmp_path: Path, containment: str) -> None:
    """S05, R-A16: the TERM-ignorer."""
    story = lambda host: stop_one(host, IGNORES, "term", grace=0.3)  # noqa: E731
    end = on_host(tmp_path, story, containment=containment)
    assert (end.state, end.retcode, end.evidence.asked_signal) == (State.KILLED, 137, 15)
    assert end.evidence.took is not None
    assert end.evidence.took >= 0.3


def test_term_waits_for_children_that_tidy_up_after_the_shell(tmp_path: Path) -> None:
    """The tree is the job: a payload that goes at once must not shorten its children's grace."""
    child = "trap 'sleep 0.3; echo child tidy; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    end = on_host(tmp_path, lambda host: stop_one(host, f"sh -c \"{child}\" & sleep 300", "term", grace=30.0))
    assert end.state is State.KILLED
    assert b"child tidy" in end.stdout


@pytest.mark.parametrize("containment", CONTAINMENT)
@pytest.mark.parametrize("how", ["kill", "term"])
def test_a_double_forked_daemon_is_reached(tmp_path: Path, containment: str, how: str) -> None:
    """S05, R-A16: setsid and double fork, with a cgroup and with the sweep alone."""
    pid_file = tmp_path / "pid"

    async def story(host: TestHost) -> tuple[Return, int]:
        jid = host.start("run.shell", DAEMON.format(pid=pid_file) + "echo up; sleep 300")
        await host.output(jid, "up")
        daemon = wait_for_pid(pid_file)
        await host.stop(jid, request(how, grace=1.0))
        return await host.end(jid), daemon

    end, daemon = on_host(tmp_path / "state", story, containment=containment)
    assert end.state is State.KILLED
    assert end.evidence.survivors == []
    assert is_gone(daemon)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_stopped_child_is_reached(tmp_path: Path, containment: str) -> None:
    """S05, R-A16: a process that was stopped obeys TERM, and dies of KILL."""
    script = "sh -c 'kill -STOP $$; echo never' & while ! grep -q 'State:.T' /proc/$!/status; do :; done; echo up; wait"

    async def story(host: TestHost) -> list[Return]:
        return [await stop_one(host, script, how, grace=20.0) for how in ("term", "kill")]

    ends = on_host(tmp_path, story, containment=containment)
    assert [end.state for end in ends] == [State.KILLED] * 2
    assert ends[0].evidence.took is not None
    assert ends[0].evidence.took < 15  # TERM was enough, the grace was not waited for


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_tree_that_keeps_forking_is_reached(tmp_path: Path, containment: str) -> None:
    """S05: the fork bomb, with a brake so that it cannot hurt the machine when the test fails."""
    script = "echo up; (while :; do (sleep 5 &) ; (setsid sleep 5 &) ; done) & wait"
    jid: list[Jid] = []

    async def story(host: TestHost) -> Return:
        end = await stop_one(host, script, "kill")
        jid.append(end.jid)
        return end

    end = on_host(tmp_path, story, containment=containment)
    assert (end.state, end.evidence.survivors) == (State.KILLED, [])
    assert processes.marked(jid[0], str(tmp_path)) == []


@pytest.mark.parametrize("containment", CONTAINMENT)
@pytest.mark.parametrize("how", ["kill", "term"])
def test_a_fork_bomb_is_put_out(tmp_path: Path, containment: str, how: str) -> None:  # S05, R-A16
    """Every process of it forks for ever, in a session of its own; it is bounded in number, and ends by itself."""
    bomb = Path(__file__).with_name("bomb.py")
    jid: list[Jid] = []

    async def story(host: TestHost) -> Return:
        end = await stop_one(host, f"{sys.executable} {bomb}", how, grace=0.2)
        jid.append(end.jid)
        return end

    end = on_host(tmp_path, story, containment=containment)
    assert (end.state, end.evidence.survivors) == (State.KILLED, [])
    assert end.evidence.signalled is not None
    assert end.evidence.signalled > 10
    assert processes.marked(jid[0], str(tmp_path)) == []


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_process_that_never_stays_is_reached(tmp_path: Path, containment: str) -> None:
    """S05: at every moment another pid, in another session, with its parent gone."""
    comet = Path(__file__).with_name("comet.py")
    script = f"{sys.executable} {comet} & {sys.executable} {comet} & sleep 300"
    end = on_host(tmp_path, lambda host: stop_one(host, script, "kill"), containment=containment)
    assert (end.state, end.evidence.survivors) == (State.KILLED, [])
    assert processes.marked(end.jid, str(tmp_path)) == []


def test_signal_goes_to_the_group_and_kills_no_job(tmp_path: Path) -> None:
    """S03."""
    script = "trap 'echo got it' USR1; echo up; while ! test -e {0}; do sleep 0.05; done; echo end"
    done = tmp_path / "done"

    async def story(host: TestHost) -> tuple[Return, list[Any]]:
        jid = host.start("run.shell", f"trap '' USR1; setsid sleep 1 & trap - USR1; {script.format(done)}")
        await host.output(jid, "up")
        await host.stop(jid, request("signal", signal=signal.SIGUSR1))
        await host.output(jid, "got it")
        done.touch()
        answers: list[Any] = await host.until(lambda: host.events.of("stop"), "the answer")
        return await host.end(jid), answers

    end, answers = on_host(tmp_path / "state", story)
    assert (end.state, end.retcode) == (State.SUCCEEDED, 0)
    assert end.stdout.endswith(b"end\n")
    assert answers[0][3] == "signalled"
    assert answers[0][4] >= 1


def test_a_signal_that_ends_the_payload_is_no_kill(tmp_path: Path) -> None:
    """S03: job.signal_job never makes a job `killed`, but the evidence says who sent what."""
    story = lambda host: stop_one(host, "echo up; exec sleep 300", "signal", signal=9)  # noqa: E731
    end = on_host(tmp_path, story)
    assert (end.state, end.retcode, end.evidence.reason) == (State.FAILED, 137, "ended by SIGKILL")
    assert end.evidence.by
    assert end.evidence.asked
    assert end.evidence.asked_signal == 9


def test_a_request_is_obeyed_once(tmp_path: Path) -> None:
    script = "trap 'echo got it' USR1; echo up; while ! test -e {0}; do sleep 0.05; done"
    done = tmp_path / "done"

    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", script.format(done))
        await host.output(jid, "up")
        for stop in ("a", "a", "b"):
            await host.stop(jid, request("signal", stop=stop, signal=signal.SIGUSR1))
            await host.until(partial(answers_to, host, stop), stop)
            host.executor.wake(jid)
        await host.until(lambda: host.layout.output_of(jid)[0].read_text().count("got it") >= 2, "both signals")
        done.touch()
        return await host.end(jid)

    assert on_host(tmp_path / "state", story).stdout == b"up\ngot it\ngot it\n"


def test_the_first_request_wins_and_a_kill_hurries_it(tmp_path: Path) -> None:
    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", IGNORES)
        await host.output(jid, "up")
        await host.stop(jid, request("term", stop="first", grace=300.0))
        await host.until(lambda: host.events.of("stop"), "the first answer")
        await host.stop(jid, request("kill", stop="second"))
        return await host.end(jid)

    end = on_host(tmp_path, story)
    assert (end.state, end.retcode, end.evidence.asked_signal) == (State.KILLED, 137, 15)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_timeout_ends_the_tree_and_keeps_the_output(tmp_path: Path, containment: str) -> None:
    """P15, I13."""
    async def story(host: TestHost) -> Return:
        return await host.run("run.shell", "echo partial; " + IGNORES, timeout=0.3, grace=0.2)
    end = on_host(tmp_path, story, containment=containment)
    assert (end.state, end.retcode) == (State.TIMED_OUT, 137)
    assert (end.evidence.reason, end.evidence.timeout) == ("ran longer than its timeout of 0.3 s", 0.3)
    assert end.evidence.signalled is not None
    assert end.evidence.signalled >= 2  # the shell and its sleep
    assert end.evidence.by is None
    assert end.stdout.startswith(b"partial\n")
    assert end.duration is not None
    assert end.duration >= 0.5


def test_a_function_times_out_like_a_command(tmp_path: Path) -> None:
    end = on_host(tmp_path, lambda host: host.run("plain.sleep", 300, timeout=0.2))
    assert (end.state, end.retcode, end.evidence.signal) == (State.TIMED_OUT, 143, 15)


def test_a_stop_before_the_start_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    async def story(host: TestHost) -> Return:
        record = make_record("run.shell", f"touch {marker}")
        host.accept(record)
        host.folders.stops.append(record.jid, request("kill"))
        host.executor.start(record.jid)
        return await host.end(record.jid)

    end = on_host(tmp_path / "state", story)
    assert (end.state, end.retcode, end.pid, end.started) == (State.KILLED, None, None, None)
    assert (end.evidence.by, end.evidence.asked_signal) == ("tester@here", 9)
    assert end.evidence.reason == "stopped before it started"
    assert not marker.exists()


@pytest.mark.parametrize("passed", [{"deadline": 0.0}, {"deadline_boot_id": "another boot"}])
def test_nothing_starts_after_its_deadline(tmp_path: Path, passed: dict[str, Any]) -> None:
    """P2, S18."""
    marker = tmp_path / "ran"
    end = on_host(tmp_path / "state", lambda host: host.run("run.shell", f"touch {marker}", **passed))
    assert (end.state, end.retcode, end.pid) == (State.LOST, None, None)
    assert end.evidence.reason is not None
    assert end.evidence.reason.startswith("not started: its time to start")
    assert not marker.exists()


def test_sigterm_to_the_supervisor_stops_its_job(tmp_path: Path) -> None:
    """What a host does to all processes as it goes down: the job ends with the truth, and not as lost."""
    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", "echo up; sleep 300")
        await host.output(jid, "up")
        record = host.folders.records.read(jid)
        assert record is not None
        assert record.supervisor is not None
        os.kill(record.supervisor, signal.SIGTERM)
        return await host.end(jid)
    end = on_host(tmp_path, story)
    assert end.state is State.KILLED
    assert end.evidence.reason == "its supervisor was told to end (SIGTERM)"


def test_what_a_terminal_sends_does_not_touch_the_supervisor(tmp_path: Path) -> None:
    async def story(host: TestHost) -> Return:
        jid = host.start("run.shell", "echo up; sleep 0.3; exit 6")
        await host.output(jid, "up")
        record = host.folders.records.read(jid)
        assert record is not None
        assert record.supervisor is not None
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR2):
            os.kill(record.supervisor, number)
        return await host.end(jid)
    end = on_host(tmp_path, story)
    assert (end.state, end.retcode) == (State.FAILED, 6)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_daemon_left_behind_is_named_and_lives(tmp_path: Path, containment: str) -> None:
    pid_file = tmp_path / "pid"
    story = lambda host: host.run("run.shell", DAEMON.format(pid=pid_file) + f"while ! test -s {pid_file}; do :; done")  # noqa: E731
    end = on_host(tmp_path / "state", story, containment=containment)
    daemon = wait_for_pid(pid_file)
    try:
        assert end.state is State.SUCCEEDED
        assert daemon in [process.pid for process in end.evidence.left_behind]
        assert not is_gone(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("containment", CONTAINMENT)
def test_a_daemon_left_behind_is_swept_when_asked(tmp_path: Path, containment: str) -> None:
    pid_file = tmp_path / "pid"
    script = DAEMON.format(pid=pid_file) + f"while ! test -s {pid_file}; do :; done; exit 3"
    story = lambda host: host.run("run.shell", script, left_behind="kill")  # noqa: E731
    end = on_host(tmp_path / "state", story, containment=containment)
    assert (end.state, end.retcode) == (State.FAILED, 3)  # how it ended stays what it was
    assert wait_for_pid(pid_file) in [process.pid for process in end.evidence.left_behind]
    assert is_gone(wait_for_pid(pid_file))


def test_a_child_that_holds_the_pipes_costs_a_second_at_most(tmp_path: Path) -> None:
    end = on_host(tmp_path, lambda host: host.run("run.shell", "sleep 300 & echo bye", left_behind="kill"))
    assert (end.state, end.stdout) == (State.SUCCEEDED, b"bye\n")
    assert [process.name for process in end.evidence.left_behind] == ["sleep"]
    assert end.evidence.signalled == 1


def test_no_cgroup_is_left(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[str]:
        jids = [(await host.run("run.shell", "true")).jid, (await stop_one(host, "echo up; sleep 300", "kill")).jid]
        return [str(path) for jid in jids for path in Path("/sys/fs/cgroup").glob(f"**/jr-{jid}")]
    assert on_host(tmp_path, story) == []
