"""Data on stdout in the format that was asked for, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from common.cli.main import say
from common.errors import JrError
from common.evidence import names
from common.output import FORMATS, Format, Kind, is_cut, render, render_pair, summary, unfinished

F = TypeVar("F", bound=Callable[..., Any])
_UNBOUNDED = 0
"""The width of what is no terminal: whoever reads a pipe wants all of it."""
_STREAMED = ("table", "jsonl", "raw")


# Here and not among the other options: daemons have some of those, and no use for the tables.
def output_option(function: F) -> F:
    """`-o FORMAT`: the parameter `fmt`."""
    return click.option(
        "-o", "--output", "fmt", type=click.Choice(FORMATS), default="table", show_default=True,
        help="How to print what comes back.",
    )(function)


class Printer:
    """Prints for one command. `name` is the program's, for what it says on stderr."""

    def __init__(self, name: str, fmt: Format) -> None:
        self.fmt = fmt
        self._name = name
        self._colour = wants_colour(os.environ, sys.stdout is not None and sys.stdout.isatty())
        self._width = _terminal_width()

    @property
    def streams(self) -> bool:
        """True for the formats that print each pair as it comes; the others print one document at the end."""
        return self.fmt in _STREAMED

    def show(self, kind: Kind, value: Any) -> None:
        """Print an answer whole."""
        self.text(render(kind, value, self.fmt, colour=self._colour, width=self._width))
        if self.fmt == "raw" and (cut := unfinished(kind, value)):
            self._not_whole(names(cut))

    def pair(self, minion: str, pair: Mapping[str, Any], jid: str, function: str, name_width: int) -> None:
        """Print one pair, for a format that streams."""
        self.text(render_pair(minion, pair, self.fmt, jid=jid, function=function, name_width=name_width,
                              colour=self._colour, width=self._width))
        if self.fmt == "raw" and is_cut(pair):
            self._not_whole(minion)

    def _not_whole(self, minions: str) -> None:
        """Raw text has no place for a mark: without this line what is missing would be taken for the end."""
        self.note(f"cut: this is not all that {minions} returned; -o table says why")

    def totals(self, jid: str, counts: Mapping[str, int]) -> None:
        """Beside a table: how the job stands."""
        if self.fmt == "table":
            self.note(f"{jid}: {summary(counts)}")

    def text(self, text: str) -> None:
        """Print a line, or several, unless it is empty. Raises BrokenPipeError when nobody reads on, else JrError."""
        if not text:
            return
        try:
            # What has colours was asked for them, or is raw output that nobody may change.
            click.echo(text, color=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise JrError(f"cannot write to stdout: {error.strerror}") from error

    def note(self, message: str) -> None:
        """One line on stderr; nothing when it is empty."""
        if message:
            say(self._name, message)


def wants_colour(environ: Mapping[str, str], terminal: bool) -> bool:
    """True on a terminal that is not dumb, unless NO_COLOR is set (https://no-color.org)."""
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(1).columns or _UNBOUNDED
    except OSError:
        return _UNBOUNDED
