"""What runs in the job's own process: the function, or the command that the function returns. Never comes back."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import pwd
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from common import functions
from common.functions import Command, Failed
from common.ids import Jid
from common.proc import mark, report
from common.proc.processes import MARK, STATE
from common.proc.seal import redact

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What commands are looked for in when the daemon itself has no PATH."""
_KEPT = {"PATH": PATH, "LANG": "C.UTF-8"}
_CRASHED = 70
_NOT_FOUND = 127
_NOT_STARTED = 126
"""The shell's own two codes for a command that did not start."""
_CAUGHT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_OURS = frozenset({__file__, functions.__file__})


@dataclass(frozen=True, slots=True)
class Wires:
    """The payload's ends of its pipes, and what it inherited and has no use for."""

    out: int
    err: int
    result: int
    gate: int
    surplus: tuple[int, ...]


class StartError(Exception):
    """A command could not be started; `retcode` is what a shell would say."""

    def __init__(self, message: str, retcode: int = _NOT_STARTED) -> None:
        super().__init__(message)
        self.retcode = retcode


def run(record: dict[str, Any], table: Mapping[str, Callable[..., Any]], wires: Wires) -> NoReturn:
    """Wait at the gate, then be the job. Called in a fresh fork with all signals blocked."""
    status = _CRASHED
    try:
        _wire(wires)
        if os.read(wires.gate, 1):
            os.close(wires.gate)
            _settle(record["jid"])
            status = _perform(record, table, wires.result)
        else:
            status = 0  # the supervisor ended, or decided against it: nothing was started
    except BaseException:  # past this line a fork would go on as a second supervisor
        traceback.print_exc()
    finally:
        os._exit(status)


def environment(user: str | None, jid: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a job finds in its environment, built from a list: nothing of the daemon's own leaks in.

    Raises StartError for a user that does not exist.
    """
    account = _account(user)
    built = {name: os.environ.get(name) or default for name, default in _KEPT.items()}
    built |= {"HOME": account.pw_dir or "/", "USER": account.pw_name, "LOGNAME": account.pw_name,
              "SHELL": account.pw_shell or "/bin/sh"}
    if zone := os.environ.get("TZ"):
        built["TZ"] = zone
    if state := os.environ.get(STATE):
        built[STATE] = state
    return built | dict(extra or {}) | {MARK: jid}


@functools.cache
def _account(user: str | None) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.geteuid())
    except (KeyError, ValueError) as error:
        if user is not None:
            raise StartError(f"cannot run as {user}: there is no such user") from error
        uid = os.geteuid()
        return pwd.struct_passwd((str(uid), "x", uid, os.getegid(), "", "/", "/bin/sh"))


def _wire(wires: Wires) -> None:
    """Take the pipes, and none of what belongs to the supervisor; then let signals do what they do by default."""
    signal.set_wakeup_fd(-1)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((null, 0), (wires.out, 1), (wires.err, 2)):
        os.dup2(source, target)
    for fd in (null, wires.out, wires.err, *wires.surplus):
        os.close(fd)
    for number in _CAUGHT:
        signal.signal(number, signal.SIG_DFL)
    # Python code expects an exception from a closed pipe or a full limit; commands get the default, see _become.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _settle(jid: str) -> None:
    """Make the process the job's: its mark, environment, folder and streams."""
    gc.enable()
    clean = environment(None, jid)
    os.environ.clear()
    os.environ.update(clean)
    mark.stamp(jid)
    os.umask(0o022)
    os.chdir("/")
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - lives as long as we do
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def _perform(record: dict[str, Any], table: Mapping[str, Callable[..., Any]], result: int) -> int:
    """Call the function and say how it ended; the exit status."""
    name, limit, secrets = record["function"], record["return_limit"], record.get("texts", ())
    function = table.get(name)
    if function is None:
        report.error(result, f"cannot run {name}: there is no such function here", _NOT_FOUND)
        return _NOT_FOUND
    failed: str | None = None
    try:
        job = functions.Job(Jid(record["jid"]), name, record["user"])
        value = functions.invoke(function, record["args"], record["kwargs"], job=job)
    except Failed as failure:
        value, failed = failure.value, redact(str(failure), secrets) or "Failed"
    except BaseException as failure:  # whatever the user's code raises, SystemExit included, is a failure of the job
        value, failed = None, redact(report.describe(failure), secrets)
        lines = traceback.format_exception(type(failure), failure, _theirs(failure))
        print(redact("".join(lines), secrets), end="", file=sys.stderr)  # noqa: T201 - the job's own stderr
    if failed is None and isinstance(value, Command):
        return _become(value, record["jid"], result, secrets)
    report.end(result, value, limit, failed, lambda text: redact(text, secrets))
    _flush()
    return 0 if failed is None else 1


def _theirs(failure: BaseException) -> Any:
    """The traceback from the user's first line on."""
    frame = failure.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename in _OURS:
        frame = frame.tb_next
    return frame


def _become(command: Command, jid: str, result: int, secrets: Sequence[str]) -> int:
    """Execute the command. Comes back, with an exit status, only when that failed."""
    _flush()
    report.command(result)
    try:
        _execute(command, jid, result)
    except StartError as error:
        report.error(result, redact(str(error), secrets), error.retcode)
        return error.retcode


def _execute(command: Command, jid: str, result: int) -> NoReturn:
    if not command.argv:
        raise StartError("cannot run a command: it has no words")
    env = environment(command.runas, jid, command.env)
    if command.stdin is not None:
        _feed(command.stdin)
    if command.runas is not None:
        _switch(_account(command.runas))
    cwd = "/" if command.cwd is None else command.cwd
    try:
        os.chdir(cwd)
    except (OSError, ValueError, TypeError) as error:
        raise StartError(f"cannot enter {cwd}: {_why(error)}") from error
    _close_all_but(result)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command.argv[0], command.argv, env)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StartError(f"cannot run {command.argv[0]}: {_why(error)}", _NOT_FOUND) from error
    except (OSError, ValueError, TypeError) as error:
        raise StartError(f"cannot run {command.argv[0]}: {_why(error)}") from error


def _feed(data: bytes) -> None:
    """Give the command its input as a file in memory: no pipe, so nobody has to write while it reads."""
    try:
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        os.dup2(fd, 0)
    except (OSError, TypeError) as error:
        raise StartError(f"cannot hand over the input: {_why(error)}") from error


def _switch(account: pwd.struct_passwd) -> None:
    """Become another user, groups and all. Raises StartError."""
    if os.geteuid() != 0 and account.pw_uid == os.geteuid():
        return
    for fd in (0, 1, 2):
        # So that the new owner can open /dev/stdout again. A device, such as /dev/null, belongs to all.
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            with contextlib.suppress(OSError):
                os.fchown(fd, account.pw_uid, account.pw_gid)
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as error:
        raise StartError(f"cannot run as {account.pw_name}: {_why(error)}") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _close_all_but(kept: int) -> None:
    for entry in list(Path("/proc/self/fd").iterdir()):
        fd = int(entry.name)
        if fd > 2 and fd != kept:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself is gone by now
                os.close(fd)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the user's code may have closed or lost it
            stream.flush()
