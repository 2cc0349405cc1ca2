"""Functions that become commands."""

from __future__ import annotations

from common.functions import Command


def shell(script: str) -> Command:
    return Command(["/bin/sh", "-c", script])


def command(argv: list[str], cwd: str | None = None, env: dict[str, str] | None = None, runas: str | None = None,
            stdin: str | None = None) -> Command:
    return Command(argv, cwd=cwd, env=env, runas=runas, stdin=None if stdin is None else stdin.encode())
