"""cmd.run, cmd.exec and cmd.script: where, as whom and with what they run, and what comes back."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lib.fleet import Fleet, started

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


def pair(fleet: Fleet, *words: str) -> Any:
    """What m1 answers."""
    return fleet.job("m1", *words).pair()


def out(fleet: Fleet, *words: str) -> str:
    """What it wrote to stdout; it must succeed."""
    found = pair(fleet, *words)
    assert (found["state"], found["retcode"], found["stderr"]) == ("succeeded", 0, ""), found
    text: str = found["stdout"]
    return text


def test_stdout_stderr_and_the_exit_code_come_apart(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "echo out; echo err >&2; exit 42")

    assert (found["state"], found["retcode"]) == ("failed", 42)
    assert (found["stdout"], found["stderr"], found["return"]) == ("out\n", "err\n", "out")


def test_run_is_a_line_of_shell_and_exec_is_not(fleet: Fleet) -> None:
    assert out(fleet, "cmd.run", "echo $((6 * 7)) | tr 4 x") == "x2\n"
    assert out(fleet, "cmd.exec", "echo", "$((6 * 7)) | tr", "a  b") == "$((6 * 7)) | tr a  b\n"


def test_words_arrive_as_they_were_typed(fleet: Fleet) -> None:
    typed = ["007", "true", "1.10", "{a: b}", "", "ü"]
    assert out(fleet, "cmd.exec", "printf", "[%s]", *typed) == "[007][true][1.10][{a: b}][][ü]"
    assert out(fleet, "cmd.exec", "--", "printf", "[%s]", "a=b", "-o", "--wait") == "[a=b][-o][--wait]"


def test_cwd(fleet: Fleet) -> None:
    assert out(fleet, "cmd.run", "pwd", "cwd=/usr") == "/usr\n"
    assert out(fleet, "cmd.run", "pwd") == "/\n"
    found = pair(fleet, "cmd.run", "pwd", "cwd=/no/such/folder")
    assert (found["state"], found["stdout"]) == ("failed", "")
    assert "/no/such/folder" in found["evidence"]["reason"]


def test_env_is_added(fleet: Fleet) -> None:
    assert out(fleet, "cmd.run", 'echo "$A/$B/${PATH:+path}"', "env={A: one, B: 2}") == "one/2/path\n"
    assert pair(fleet, "cmd.run", "true", "env={'A=B': x}")["state"] == "failed"
    refused = pair(fleet, "cmd.run", "true", "env={A")
    assert refused["state"] == "refused"
    assert "env must be a map" in refused["evidence"]["reason"]


def test_the_daemons_own_environment_stays_with_it(fleet: Fleet) -> None:
    assert "JR_ROOT" not in out(fleet, "cmd.run", "env")


def test_stdin(fleet: Fleet) -> None:
    assert out(fleet, "cmd.run", "sort", "stdin=b\na\n") == "a\nb\n"
    assert out(fleet, "cmd.exec", "cat", "stdin=ü") == "ü"
    assert out(fleet, "cmd.run", "cat") == "", "without one there is an empty one"


def test_runas(fleet: Fleet) -> None:
    assert out(fleet, "cmd.run", "id -u; id -g; id -G; echo $USER $HOME", "runas=nobody").split() == [
        str(NOBODY.pw_uid), str(NOBODY.pw_gid), str(NOBODY.pw_gid), "nobody", NOBODY.pw_dir]


def test_runas_an_unknown_user(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "touch /tmp/never", "runas=no-such-user")

    assert found["state"] == "failed"
    assert "no-such-user" in found["evidence"]["reason"]


def test_a_program_that_is_not_there(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.exec", "no-such-program")
    assert (found["state"], found["retcode"]) == ("failed", 127)
    assert "no-such-program" in found["evidence"]["reason"] + found["stderr"]

    found = pair(fleet, "cmd.run", "no-such-program")
    assert (found["state"], found["retcode"]) == ("failed", 127)


def test_a_program_that_may_not_be_run(fleet: Fleet) -> None:
    plain = fleet.base / "plain"
    plain.write_text("x")
    found = pair(fleet, "cmd.exec", str(plain))

    assert (found["state"], found["retcode"]) == ("failed", 126)


def test_a_command_that_dies_of_a_signal(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "kill -SEGV $$")

    assert (found["state"], found["retcode"], found["evidence"]["signal"]) == ("failed", 139, 11)


def test_a_timeout_of_its_own(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "echo begun; sleep 100", "timeout=0.3")

    assert (found["state"], found["stdout"]) == ("timed_out", "begun\n")


def test_a_script_by_its_text(fleet: Fleet) -> None:
    text = "set -e\nfor word in \"$@\"; do\n  echo \"<$word>\"\ndone\nexit 5\n"
    found = pair(fleet, "cmd.script", text, "args=[one, 'two words']", "cwd=/usr", "env={A: b}")

    assert (found["state"], found["retcode"], found["stdout"]) == ("failed", 5, "<one>\n<two words>\n")


def test_a_script_names_its_interpreter(fleet: Fleet) -> None:
    text = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n"
    assert out(fleet, "cmd.script", text, "args=[x]") == "['x']\n"


def test_a_script_from_a_file_on_the_minion(fleet: Fleet) -> None:
    script = fleet.base / "tidy.sh"
    script.write_text("echo tidy $1\n")
    assert out(fleet, "cmd.script", f"source={script}", "args=[all]") == "tidy all\n"
    found = pair(fleet, "cmd.script", "source=/no/such/script")
    assert (found["state"], "/no/such/script" in found["evidence"]["reason"]) == ("failed", True)


def test_neither_text_nor_file_is_no_script(fleet: Fleet) -> None:
    assert pair(fleet, "cmd.script")["state"] == "failed"


def test_output_that_is_no_text(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "printf 'a\\377b\\0c\\n'")

    assert (found["state"], found["stdout"]) == ("succeeded", "a\ufffdb\0c\n")


def test_much_output_is_cut_in_the_middle_and_says_so(fleet: Fleet) -> None:
    found = pair(fleet, "cmd.run", "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")

    assert (found["state"], found["retcode"], found["truncated"]) == ("succeeded", 0, True)
    assert found["stdout"].startswith("first\n")
    assert found["stdout"].endswith("last\n")
    assert len(found["stdout"]) < 200_000
    assert found["evidence"]["lost_bytes"] > 0


def test_a_command_in_the_background_does_not_hold_up_the_return(fleet: Fleet) -> None:
    ended = fleet.job("--wait", "20", "m1", "cmd.run", "sleep 95 & echo done")
    found = ended.pair()
    fleet.job("m1", "cmd.run", f"kill {found['evidence']['left_behind'][0]['pid']}")

    assert (ended.code, found["stdout"], found["state"]) == (0, "done\n", "succeeded")
    assert "sleep" in found["evidence"]["left_behind"][0]["name"]


def test_many_jobs_at_once_all_return(fleet: Fleet) -> None:
    # P3, P4
    processes = [fleet.spawn("jr", "-o", "raw", "m1", "cmd.exec", "echo", str(number)) for number in range(10)]
    outs = []
    for process in processes:
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        outs.append(int(text))

    assert outs == list(range(10))
