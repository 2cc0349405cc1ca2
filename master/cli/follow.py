"""Waiting for a job that a command has started: what comes back is printed, however the waiting ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.cli.options import root_hint
from common.cli.printer import Printer
from common.control import ANSWER_SECONDS
from common.errors import Exit, JrError
from common.evidence import names
from common.text import local_time
from runners.api import Item, Master
from runners.document import Document, is_open, read

_SLACK = 10.0

class Follower:
    """Prints one job for one command and finds the exit code. The job itself never depends on it."""

    def __init__(self, master: Master, printer: Printer, root: str | None) -> None:
        """`root` is what `--root` named, for the commands that are suggested to the user."""
        self._master = master
        self._printer = printer
        self._run = f"jr-run{root_hint(root)}"
        self._document = Document()
        self._width = 0

    def start(self, stream: Iterator[Item]) -> Exit:
        """Print the jid alone, and leave the job to itself."""
        try:
            with self._named():
                self._read(stream)
                self._printer.text(self._document.jid)
        except KeyboardInterrupt:
            return self._detached()
        return Exit.OK

    def follow(self, stream: Iterator[Item], wait: float | None) -> Exit:
        """Print what comes back until every pair has ended, or `wait` seconds are over."""
        try:
            with self._named():
                self._read(stream, tell=True)
                self._finish()
            return self._document.exit()
        except TimeoutError:
            with self._named():
                return self._waited(wait or 0.0)
        except KeyboardInterrupt:
            return self._detached()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error names the job, which nobody else may know of: it goes on, unless it is over."""
        try:
            yield
        except JrError as error:
            if not self._document.jid:
                raise
            goes_on = f"{self._document.jid} goes on; " if not self._document.over else ""
            raise type(error)(f"{error}; {goes_on}{self._commands()}") from error

    def _read(self, stream: Iterator[Item], *, tell: bool = False) -> None:
        """Take the stream in, to its end."""
        for frame in stream:
            minion = self._document.add(frame)
            if minion is not None and self._printer.streams:
                self._show(minion)
            elif frame.get("event") == "job" and tell:
                self._tell_absent()

    def _tell_absent(self) -> None:
        """Say whom this command may have to wait for, since nothing else will be seen for a while."""
        document = self._document
        if document.absent:
            until = f"until {local_time(document.start_by)}" if document.start_by else "for a short while"
            self._printer.note(f"{document.jid} waits for {names(document.absent)} to connect, {until}; "
                               "Ctrl-C detaches")

    def _finish(self) -> None:
        """What is printed once nothing more is to come."""
        if not self._printer.streams:
            self._printer.show("job", self._document.as_dict())
        self._printer.totals(self._document.jid, self._document.counts)

    def _waited(self, wait: float) -> Exit:
        """The wait is over: show how the job stands now."""
        shown = set(self._document.pairs)
        self._document = read(self._master.watch(self._document.jid, follow=False))
        if self._printer.streams:
            for minion, pair in self._document.pairs.items():
                # A line of jsonl is a return; a pair that has none yet has its place in a table only.
                if minion not in shown and (self._printer.fmt == "table" or not is_open(pair)):
                    self._show(minion)
        self._finish()
        self._printer.note(f"waited {wait:g} s; {self._document.jid} goes on; {self._commands()}")
        return Exit.WAITED

    def _detached(self) -> Exit:
        """Interrupted from the keyboard: the job goes on."""
        jid = self._document.jid
        if jid:
            self._printer.note(f"detached from {jid}, which goes on; {self._commands()}")
        else:
            self._printer.note(
                f"interrupted before the master had answered; {self._run} jobs.list_jobs tells whether it took the job"
            )
        return Exit.DETACHED

    def _commands(self) -> str:
        jid = self._document.jid
        kill = "" if self._document.over else f"; kill it: {self._run} jobs.kill {jid}"
        return f"look it up: {self._run} jobs.lookup_jid {jid}{kill}"

    def _show(self, minion: str) -> None:
        document = self._document
        self._width = self._width or max(map(len, document.minions), default=0)
        self._printer.pair(minion, document.pairs[minion], document.jid, document.function, self._width)


def answer_seconds(wait: float | None) -> float:
    """How long the master may take to take a job: who waits for seconds does not want to wait a minute."""
    return ANSWER_SECONDS if wait is None else min(ANSWER_SECONDS, wait + _SLACK)
