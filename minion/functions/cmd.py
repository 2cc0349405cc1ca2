"""Functions that become a command: its exit code, its output and its process tree are the job's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.functions import Command, Failed

SHELL = "/bin/sh"
_SHELLS = {"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"}


def run(cmd: str, *, cwd: str | None = None, env: dict[str, str] | None = None, runas: str | None = None,
        stdin: str | None = None, timeout: float | None = None) -> Command:
    """Run a line of shell with /bin/sh.

    cwd is the folder to run in, env adds to the environment, runas is the user to run as, stdin is what the command
    reads, timeout is after how long (30s, 5m) it is stopped.

    Example: jr 'web*' cmd.run 'df -h | sort' cwd=/srv timeout=30s
    """
    return _command([SHELL, "-c", cmd], cwd, env, runas, stdin)


def exec_(*argv: str, cwd: str | None = None, env: dict[str, str] | None = None, runas: str | None = None,
          stdin: str | None = None, timeout: float | None = None) -> Command:
    """Run one program with its arguments as they are: no shell reads them. Options are those of cmd.run.

    Example: jr 'web*' cmd.exec ls -l '/srv/my files'
    """
    if not argv:
        raise Failed("cannot run a command: none is given")
    return _command(list(argv), cwd, env, runas, stdin)


def script(script: str | None = None, *, source: str | None = None, args: list[str] | None = None,
           cwd: str | None = None, env: dict[str, str] | None = None, runas: str | None = None,
           timeout: float | None = None) -> Command:
    """Run a script: the text of one, or with source= a file on the minion. args are its arguments.

    The text is read by /bin/sh, or by what its #! line names, from standard input: commands in it that read their own
    input should be given </dev/null. A file runs by its own #! line if it may be executed, else with /bin/sh.

    Example: jr 'web*' cmd.script "$(cat tidy.sh)" args='[--all]'
    """
    words = [_word(word, "args") for word in args or []]
    if (script is None) == (source is None):
        raise Failed("cannot run a script: give either its text or source=, the path of a file on the minion")
    if source is not None:
        return _command([*_file(source), *words], cwd, env, runas, None)
    text = script or ""
    return _command(_reader(text, words), cwd, env, runas, text)


def _file(source: str) -> list[str]:
    if not source.startswith("/"):
        raise Failed(f"cannot run {source}: it must be an absolute path")
    if not Path(source).is_file():
        raise Failed(f"cannot run {source}: there is no such file on this minion")
    return [source] if os.access(source, os.X_OK) else [SHELL, source]


def _reader(text: str, words: list[str]) -> list[str]:
    """The command that reads a script from its standard input."""
    line = text.partition("\n")[0].strip()
    # As the kernel does it: the path, and all the rest as one argument; but env(1) is looked through.
    interpreter = line[2:].split(maxsplit=1) if line.startswith("#!") else [SHELL]
    if not interpreter:
        raise Failed("cannot run the script: its #! line names nothing")
    name = interpreter[-1] if Path(interpreter[0]).name == "env" else interpreter[0]
    return [*interpreter, *(["-s", "--"] if Path(name).name in _SHELLS else ["-"]), *words]


def _command(argv: list[str], cwd: str | None, env: Mapping[str, Any] | None, runas: str | None,
             stdin: str | None) -> Command:
    if any("\0" in word for word in argv):
        raise Failed("cannot run a command with a NUL character in it")
    added = {_name(name): _word(value, f"env {name}") for name, value in (env or {}).items()}
    return Command(argv, cwd=cwd, env=added, runas=runas, stdin=None if stdin is None else stdin.encode())


def _name(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise Failed(f"cannot run a command: {name!r} is no name of an environment variable")
    return name


def _word(value: Any, what: str) -> str:
    """Text, or a number as text. Nothing else has one obvious form."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\0" in str(value):
        # Never the value itself, which may be a secret.
        kind = "text with a NUL character" if isinstance(value, str) else type(value).__name__
        raise Failed(f"cannot run a command: {what} must be text, not {kind}")
    return str(value)
