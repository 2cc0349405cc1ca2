"""How jobs end by themselves: exit codes, signals, values, and what a payload finds around itself. Real processes."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import clock
from common.messages import Return
from common.states import State
from tests.process.host import TestHost, fresh_jid, on_host, value_of


def run_all(state: Path, jobs: list[tuple[Any, ...]], **fields: Any) -> list[Return]:
    """Run jobs one after the other on one host."""
    async def story(host: TestHost) -> list[Return]:
        return [await host.run(*job, **fields) for job in jobs]
    return on_host(state, story)


def run_one(state: Path, *job: Any, **fields: Any) -> Return:
    return run_all(state, [job], **fields)[0]


def test_exit_codes_are_kept(tmp_path: Path) -> None:
    codes = [0, 1, 3, 126, 255]
    ends = run_all(tmp_path, [("run.shell", f"exit {code}") for code in codes])
    assert [end.retcode for end in ends] == codes
    assert [end.evidence.exit_code for end in ends] == codes
    assert [end.state for end in ends] == [State.SUCCEEDED] + [State.FAILED] * 4
    assert all(end.value is msgspec.UNSET for end in ends)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "PIPE", "USR1"])
def test_signals_count_as_in_a_shell(tmp_path: Path, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    end = run_one(tmp_path, "run.shell", f"ulimit -c 0; kill -{name} $$")
    assert (end.state, end.retcode) == (State.FAILED, 128 + number)
    assert (end.evidence.signal, end.evidence.exit_code) == (number, None)
    assert end.evidence.reason == f"ended by SIG{name}"


def test_a_return_carries_the_whole_story(tmp_path: Path) -> None:
    before = clock.wall()
    end = run_one(tmp_path, "run.shell", "echo out; echo err >&2", schedule="nightly", timeout=60.0)
    assert (end.stdout, end.stderr, end.truncated) == (b"out\n", b"err\n", False)
    assert (end.job.function, end.job.user) == ("run.shell", "tester")
    assert (end.job.schedule, end.job.timeout) == ("nightly", 60.0)
    assert msgspec.msgpack.decode(end.job.args) == ["echo out; echo err >&2"]
    assert end.accepted is not None
    assert end.started is not None
    assert before - 1 <= end.accepted <= end.started <= end.ended
    assert end.duration is not None
    assert 0 < end.duration < 60
    assert end.usage is not None
    assert end.usage.rss > 100_000
    assert end.pid


def test_values_of_functions(tmp_path: Path) -> None:
    values = [None, True, 0, -(2**63), 2**64 - 1, 1.5, "text\u2028", [1, [2]], {"a": {"b": None}}]
    ends = run_all(tmp_path, [("plain.echo", value) for value in values])
    assert [value_of(end) for end in ends] == values
    assert {(end.state, end.retcode) for end in ends} == {(State.SUCCEEDED, 0)}


def test_an_exception_is_a_failure_with_its_traceback(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.fail", "no\nsuch luck")
    assert (end.state, end.retcode, value_of(end)) == (State.FAILED, 1, None)
    assert end.evidence.reason == "ValueError: no such luck"
    text = end.stderr.decode()
    assert "in fail" in text
    assert "payload.py" not in text  # the user's own lines only


def test_failed_keeps_its_value_and_has_no_traceback(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.decline", "disk is full", {"free": 0})
    assert (end.state, end.retcode, value_of(end)) == (State.FAILED, 1, {"free": 0})
    assert end.evidence.reason == "disk is full"
    assert end.stderr == b""


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.fail", 1, 2, 3)
    assert end.state is State.FAILED
    assert end.evidence.reason is not None
    assert end.evidence.reason.startswith("TypeError: ")


def test_a_value_that_cannot_be_packed_says_where_it_stands(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.unpackable")
    assert (end.state, end.retcode, value_of(end)) == (State.FAILED, 1, None)
    assert end.evidence.reason == "cannot pack the value[1]['a'], a object: only plain data can be sent"


def test_a_huge_value_is_cut_and_still_a_success(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.huge", 3_000_000, return_limit=100_000)
    assert (end.state, end.truncated) == (State.SUCCEEDED, True)
    assert value_of(end) == "x" * 99_995


def test_a_value_just_at_the_limit_is_whole(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.huge", 512 * 1024 - 5)
    assert (end.state, end.truncated, len(value_of(end))) == (State.SUCCEEDED, False, 512 * 1024 - 5)


def test_no_return_is_no_success(tmp_path: Path) -> None:
    """P5: a function that ends its own process has not succeeded, whatever its exit status says."""
    ends = run_all(tmp_path, [("plain.leave", 0), ("plain.leave", 7), ("plain.system_exit",), ("plain.crash",)])
    assert [end.state for end in ends] == [State.FAILED] * 4
    assert [end.retcode for end in ends] == [1, 7, 1, 139]
    assert ends[0].evidence.reason == "the function ended its process and returned nothing"
    assert ends[2].evidence.reason == "SystemExit: 0"


def test_garbage_in_the_result_pipe_costs_the_job_alone(tmp_path: Path) -> None:
    ends = run_all(tmp_path, [("plain.forge",), ("plain.echo", 1)])
    assert ends[0].state in (State.SUCCEEDED, State.FAILED)
    assert value_of(ends[1]) == 1


def test_unknown_function(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.nothing")
    assert (end.state, end.retcode) == (State.FAILED, 127)
    assert end.evidence.reason == "cannot run plain.nothing: there is no such function here"


def test_output_of_functions(tmp_path: Path) -> None:
    end = run_one(tmp_path, "plain.speak", "grüße")
    assert (end.stdout.decode(), end.stderr.decode()) == ("grüße\n", "grüße\n")


def test_a_function_may_ask_for_its_job(tmp_path: Path) -> None:
    jid = fresh_jid()
    assert value_of(run_one(tmp_path, "plain.whoami", jid=jid)) == [jid, "plain.whoami", "tester"]


COMMAND_FAILURES = [
    ({"argv": ["/no/such/program"]}, 127, "cannot run /no/such/program: No such file or directory"),
    ({"argv": ["no-such-program"]}, 127, "cannot run no-such-program: No such file or directory"),
    ({"argv": ["/etc/passwd"]}, 126, "cannot run /etc/passwd: Permission denied"),
    ({"argv": ["true"], "cwd": "/no/such/folder"}, 126, "cannot enter /no/such/folder: No such file or directory"),
    ({"argv": ["true"], "runas": "no-such-user"}, 126, "cannot run as no-such-user: there is no such user"),
    ({"argv": []}, 126, "cannot run a command: it has no words"),
    ({"argv": ["true"], "env": {"a=b": "c"}}, 126, "cannot run true: illegal environment variable name"),
]


def test_a_command_that_cannot_start_says_why(tmp_path: Path) -> None:
    async def story(host: TestHost) -> list[Return]:
        return [await host.run("run.command", kwargs=kwargs) for kwargs, _, _ in COMMAND_FAILURES]
    ends = on_host(tmp_path, story)
    found = [(end.state, end.retcode, end.evidence.reason) for end in ends]
    assert found == [(State.FAILED, retcode, reason) for _, retcode, reason in COMMAND_FAILURES]


def test_words_that_no_program_can_get(tmp_path: Path) -> None:
    end = run_one(tmp_path, "run.command", ["a\0b"])
    assert (end.state, end.retcode) == (State.FAILED, 126)
    assert end.evidence.reason is not None
    assert "null" in end.evidence.reason


def test_a_command_gets_folder_environment_and_input(tmp_path: Path) -> None:
    script = "pwd; echo $EXTRA; cat | wc -c"
    end = run_one(tmp_path, "run.command", ["sh", "-c", script],
                  kwargs={"cwd": "/usr", "env": {"EXTRA": "more"}, "stdin": "x" * 300_000})
    assert end.stdout.decode().split() == ["/usr", "more", "300000"]


def test_a_job_without_input_reads_nothing(tmp_path: Path) -> None:
    end = run_one(tmp_path, "run.shell", "cat; echo done; pwd")
    assert end.stdout == b"done\n/\n"


def test_the_environment_is_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-A23: nothing of the daemon's environment leaks, whatever systemd or an operator put there."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    monkeypatch.setenv("JR_TOKEN", "secret")
    jid = fresh_jid()
    lines = run_one(tmp_path, "run.shell", "env", jid=jid).stdout.decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    user = pwd.getpwuid(os.geteuid())
    assert (found.pop("JR_JID"), found.pop("JR_STATE")) == (jid, str(tmp_path))
    assert (found["HOME"], found["USER"], found["LOGNAME"]) == (user.pw_dir, user.pw_name, user.pw_name)
    # The shell adds the last three by itself.
    assert set(found) <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PWD", "SHLVL", "_"}


def test_functions_get_the_same_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JR_TOKEN", "secret")
    jid = fresh_jid()
    found = value_of(run_one(tmp_path, "plain.environment", jid=jid))
    assert found["JR_JID"] == jid
    assert set(found) <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "JR_JID", "JR_STATE"}


def test_children_of_functions_carry_the_mark(tmp_path: Path) -> None:
    jid = fresh_jid()
    assert value_of(run_one(tmp_path, "plain.child_output", jid=jid)) == jid


def test_signals_are_as_a_fresh_program_expects(tmp_path: Path) -> None:
    command = run_one(tmp_path / "1", "run.shell", "grep -E 'Sig(Blk|Ign)' /proc/self/status")
    masks = [int(line.split()[1], 16) for line in command.stdout.decode().splitlines()]
    # Signals 32 and 33 are the C library's own: what started us may leave them ignored, and no program can change that.
    assert [mask & ~(3 << 31) for mask in masks] == [0, 0]
    found = value_of(run_one(tmp_path / "2", "plain.dispositions"))
    assert found == {"ignored": True, "blocked": 0}  # Python code expects the exception


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    command, function = run_all(tmp_path, [("run.shell", "ls -l /proc/self/fd"), ("plain.descriptors",)])
    names = [line.split()[-1] for line in command.stdout.decode().splitlines()[1:]]
    assert len(names) == 4  # the three streams, and the listing itself
    assert not [name for name in value_of(function) if "claims" in name or name.startswith("socket")]


def test_the_payload_leads_its_own_group_in_its_supervisors_session(tmp_path: Path) -> None:
    end = run_one(tmp_path, "run.shell", "cut -d' ' -f1,4,5,6 /proc/$$/stat")
    pid, parent, group, session = map(int, end.stdout.split())
    assert (pid, pid) == (end.pid, group)
    assert session == parent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_command_runs_as_another_user(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; echo x >/dev/stdout"
    end = run_one(tmp_path, "run.command", ["sh", "-c", script], kwargs={"runas": "nobody", "stdin": "x"})
    lines = end.stdout.decode().splitlines()
    assert lines[:2] == [str(nobody.pw_uid), str(nobody.pw_gid)]
    assert "0" not in lines[2].split()
    assert lines[3:] == [f"{nobody.pw_dir} nobody nobody", "x"]
    assert end.state is State.SUCCEEDED


def test_a_job_may_run_as_the_very_user_it_has(tmp_path: Path) -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    end = run_one(tmp_path, "run.command", ["id", "-un"], kwargs={"runas": name})
    assert end.stdout.decode().strip() == name
