"""One cgroup v2 a job, where the host lets us make one: the only containment that nothing forks its way out of."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

PREFIX = "jr-"


_GONE = {errno.ENOENT, errno.ENODEV}


class Cgroup:
    """A job's own cgroup. Its processes may make further ones below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, pid: int) -> None:
        """Move a process in; what it forks from now on stays in. Raises OSError."""
        self._write("cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """The processes in it and below."""
        found: list[int] = []
        for folder, _, _ in os.walk(self.path):
            with contextlib.suppress(OSError):
                found += map(int, Path(folder, "cgroup.procs").read_text("ascii").split())
        return found

    def is_empty(self) -> bool:
        """Whether no process lives in it or below; one that was removed is empty."""
        try:
            return "populated 0" in (self.path / "cgroup.events").read_text("ascii")
        except OSError as error:
            # Only an empty one can be removed, by whoever tidies up: also between our open and our read.
            if error.errno in _GONE:
                return True
            raise

    def kill(self) -> None:
        """KILL all of it in one step that a fork cannot outrun."""
        try:
            self._write("cgroup.kill", "1")
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def remove(self) -> bool:
        """Remove it, with those below; False when processes still live there."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not self.path.exists()

    def _write(self, name: str, text: str) -> None:
        # No O_CREAT: a folder that is no cgroup must fail, and not gain a file.
        fd = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)


def create(parent: Path, name: str) -> Cgroup | None:
    """A fresh cgroup for a job below `parent`; None when the host does not give one that can be killed as a whole."""
    cgroup = Cgroup(parent / f"{PREFIX}{name}")
    try:
        cgroup.path.mkdir(mode=0o755)
    except FileExistsError:
        # Left by a supervisor that died before it started anything; one with processes in it is not ours to use.
        if not cgroup.is_empty():
            return None
    except OSError:
        return None
    if not (cgroup.path / "cgroup.kill").exists():
        cgroup.remove()
        return None
    return cgroup


def find_parent() -> Path | None:
    """The cgroup this process lives in, when it may make cgroups for jobs below it; else None."""
    mount = _mount()
    own = _own_path()
    if mount is None or own is None:
        return None
    parent = mount / own.lstrip("/")
    probe = create(parent, f"probe-{os.getpid()}")
    if probe is None:
        return None
    probe.remove()
    return parent if os.access(parent / "cgroup.procs", os.W_OK) else None


def remove_empty(parent: Path) -> None:
    """Remove what is left of jobs whose last process has gone: daemons that outlived them."""
    with contextlib.suppress(OSError):
        for path in parent.iterdir():
            if path.name.startswith(PREFIX) and path.is_dir() and Cgroup(path).is_empty():
                Cgroup(path).remove()


def parse_mount(mountinfo: str) -> str | None:
    """Where cgroup v2 is mounted, by the text of /proc/self/mountinfo (see proc(5)); None when it is not."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return before.split()[4]
    return None


def parse_own(cgroups: str) -> str | None:
    """Our own cgroup v2, by the text of /proc/self/cgroup; None when there is none or it lies outside what we see."""
    for line in cgroups.splitlines():
        if line.startswith("0::"):
            path = line[3:].removesuffix(" (deleted)")
            return None if path.startswith("/..") else path
    return None


def _mount() -> Path | None:
    found = parse_mount(Path("/proc/self/mountinfo").read_text("utf-8", "replace"))
    return Path(found) if found else None


def _own_path() -> str | None:
    return parse_own(Path("/proc/self/cgroup").read_text("utf-8", "replace"))
