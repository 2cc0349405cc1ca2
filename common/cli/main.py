"""How every command of jr starts and ends: one line for an error, the promised exit code, never a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from common.cli import early
from common.errors import Exit, JrError
from common.text import escape

BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read our output has stopped, which is no error, but no success was told either."""
DEBUG = "JR_DEBUG"
"""With this variable set an internal error shows where it came from."""


def main(command: click.Command, name: str, words: Sequence[str] | None = None) -> NoReturn:
    """Run a command as the program `name` and exit. The callback's result is the exit code, None means 0."""
    early.ready()
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show must not end a command whose job was done.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = _guarded(command, name, list(sys.argv[1:] if words is None else words))
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        code = _pipe_broken()
    sys.exit(code)


def say(name: str, message: str) -> None:
    """One line on stderr, harmless to a terminal."""
    # When nobody listens on stderr the exit code still tells.
    with contextlib.suppress(OSError):
        click.echo(f"{name}: {escape(' '.join(message.split()))}", err=True)


def _guarded(command: click.Command, name: str, words: list[str]) -> int:
    """Run it; every way it may end becomes an exit code."""
    try:
        # Not command.main(): that turns interrupts and broken pipes into codes of its own.
        with command.make_context(name, words) as context:
            return int(command.invoke(context) or Exit.OK)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        say(name, f"{error.format_message()} (see {name} --help)")
        return Exit.USAGE
    except JrError as error:
        for line in error.lines:
            say(name, line)
        return error.exit
    except (KeyboardInterrupt, click.Abort):
        say(name, "interrupted")
        return Exit.DETACHED
    except BrokenPipeError:
        return _pipe_broken()
    except OSError as error:
        say(name, f"cannot go on: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        return Exit.FAILED
    except Exception as error:  # the last line of defence: a fault of ours is one line, too
        if os.environ.get(DEBUG):
            raise
        say(name, f"internal error: {type(error).__name__}: {error} (set {DEBUG}=1 to see where)")
        return Exit.FAILED


def _pipe_broken() -> int:
    """Let the interpreter flush into nowhere as it ends, so that it does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return BROKEN_PIPE
