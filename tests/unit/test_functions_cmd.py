"""cmd.* and test.*: what command comes of what was asked, shown by running it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.functions import Command, Failed
from minion.functions import cmd, test


def output(command: Command) -> str:
    """Run it as a payload would."""
    done = subprocess.run(command.argv, input=command.stdin or b"", capture_output=True, check=False, cwd=command.cwd,
                          env={"PATH": os.defpath, **(command.env or {})})
    return (done.stdout + done.stderr).decode()


class TestRun:
    def test_a_line_of_shell(self) -> None:
        assert cmd.run("echo $((1 + 1)) | cat") == Command(["/bin/sh", "-c", "echo $((1 + 1)) | cat"], env={})
        assert output(cmd.run("echo $((1 + 1)) | cat")) == "2\n"

    def test_options(self, tmp_path: Path) -> None:
        command = cmd.run("pwd; echo $A$B; cat", cwd=str(tmp_path), env={"A": "x", "B": 5},  # type: ignore[dict-item]
                          runas="ann", stdin="grüße")
        assert command.runas == "ann"
        assert output(command) == f"{tmp_path}\nx5\ngrüße"

    def test_the_time_limit_is_not_its_own(self) -> None:
        assert cmd.run("true", timeout=5.0) == cmd.run("true")

    def test_an_empty_input_is_an_input(self) -> None:
        assert cmd.run("cat", stdin="").stdin == b""
        assert cmd.run("cat").stdin is None

    @pytest.mark.parametrize(("env", "reason"), [
        ({"A=B": "x"}, "'A=B' is no name"), ({"": "x"}, "'' is no name"), ({"A\0": "x"}, "is no name"),
        ({"A": True}, "env A must be text, not bool"), ({"A": None}, "env A must be text, not NoneType"),
        ({"A": ["x"]}, "env A must be text"), ({"A": "x\0y"}, "env A must be text"),
    ])
    def test_environment(self, env: dict[str, Any], reason: str) -> None:
        with pytest.raises(Failed, match=f"cannot run a command: .*{reason}"):
            cmd.run("true", env=env)

    def test_nul(self) -> None:
        with pytest.raises(Failed, match="NUL"):
            cmd.run("echo \0")


class TestExec:
    def test_no_shell_reads_it(self) -> None:
        assert output(cmd.exec_("echo", "$HOME", "a  b")) == "$HOME a  b\n"

    def test_nothing(self) -> None:
        with pytest.raises(Failed, match="none is given"):
            cmd.exec_()


class TestScript:
    def test_text_with_arguments(self) -> None:
        assert output(cmd.script('echo "$#:$1:$2"\nexit 0\n', args=["a b", 5])) == "2:a b:5\n"  # type: ignore[list-item]

    def test_an_argument_that_looks_like_an_option(self) -> None:
        assert output(cmd.script("echo $1", args=["-x"])) == "-x\n"

    @pytest.mark.parametrize(("line", "argv"), [
        ("#!/bin/bash -e", ["/bin/bash", "-e", "-s", "--", "x"]),
        ("#! /usr/bin/env bash", ["/usr/bin/env", "bash", "-s", "--", "x"]),
        ("#!/usr/bin/env python3", ["/usr/bin/env", "python3", "-", "x"]),
        ("#!/usr/bin/perl -w", ["/usr/bin/perl", "-w", "-", "x"]),
        ("# a remark", ["/bin/sh", "-s", "--", "x"]),
        ("", ["/bin/sh", "-s", "--", "x"]),
    ])
    def test_the_first_line_names_who_reads_it(self, line: str, argv: list[str]) -> None:
        assert cmd.script(line + "\n", args=["x"]).argv == argv

    def test_another_language(self) -> None:
        text = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n"
        assert output(cmd.script(text, args=["x"], env={"PATH": os.environ["PATH"]})) == "['x']\n"

    def test_a_first_line_that_names_nothing(self) -> None:
        with pytest.raises(Failed, match="names nothing"):
            cmd.script("#!  \ntrue")

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "tidy.sh"
        path.write_text("#!/bin/sh\necho tidy $1\n")
        path.chmod(0o600)
        assert cmd.script(source=str(path)).argv == ["/bin/sh", str(path)]
        path.chmod(0o700)
        assert cmd.script(source=str(path), args=["x"]).argv == [str(path), "x"]
        assert output(cmd.script(source=str(path), args=["x"])) == "tidy x\n"

    def test_a_file_that_cannot_be_run(self, tmp_path: Path) -> None:
        with pytest.raises(Failed, match="must be an absolute path"):
            cmd.script(source="tidy.sh")
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(Failed, match="no such file"):
                cmd.script(source=str(path))

    def test_one_of_both(self) -> None:
        with pytest.raises(Failed, match="give either its text or source="):
            cmd.script()
        with pytest.raises(Failed, match="give either its text or source="):
            cmd.script("true", source="/bin/true")

    def test_arguments_are_text(self) -> None:
        with pytest.raises(Failed, match="args must be text"):
            cmd.script("true", args=[["x"]])  # type: ignore[list-item]


class TestTest:
    def test_ping(self) -> None:
        assert test.ping() is True

    def test_echo(self) -> None:
        assert test.echo({"a": [1]}) == {"a": [1]}

    def test_sleep(self) -> None:
        assert test.sleep(0.0) == 0.0
        with pytest.raises(Failed, match="less than none"):
            test.sleep(-1.0)

    def test_fail(self) -> None:
        with pytest.raises(Failed, match="asked to fail"):
            test.fail()
        with pytest.raises(Failed, match="no coffee"):
            test.fail("no coffee")
