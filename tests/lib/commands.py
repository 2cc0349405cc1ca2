"""Running a command's own `main` in this process, as its entry point does."""

from __future__ import annotations

from typing import NamedTuple

import click
import pytest

from common.cli.main import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], command: click.Command, *words: str) -> Ended:
    """Run it with these words, and take what it printed. Its name is the command's own."""
    with pytest.raises(SystemExit) as caught:
        main(command, str(command.name), words)
    captured = capsys.readouterr()
    code = caught.value.code
    assert isinstance(code, int)
    assert "Traceback" not in captured.err
    return Ended(int(code), captured.out, captured.err)
