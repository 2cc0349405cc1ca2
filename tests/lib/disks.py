"""Small disks of memory, for tests to fill to the last byte. To mount takes a right that not every root has."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_BLOCK = 4096


@functools.cache
def _refusal() -> str:
    """Why nothing can be mounted here; empty when it can."""
    with tempfile.TemporaryDirectory(prefix="jr-disk-", dir="/tmp") as name:
        try:
            mount(Path(name), "1m")
        except (OSError, subprocess.CalledProcessError) as error:
            return str(getattr(error, "stderr", None) or error).strip() or "mounting is not permitted"
        unmount(Path(name))
    return ""


def needs_disks() -> pytest.MarkDecorator:
    """For tests that mount."""
    return pytest.mark.skipif(bool(_refusal()), reason=f"needs to mount a small disk: {_refusal()}")


def mount(folder: Path, size: str) -> None:
    """Put a disk of that size (`2m`) in the place of a folder. Raises CalledProcessError."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(folder)], check=True,
                   capture_output=True, text=True)


def unmount(folder: Path) -> None:
    """Take it away, also from under those that still use it; one that is not there is no error."""
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk in the place of a folder, which is made; gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(folder, size)
    try:
        yield
    finally:
        unmount(folder)


def fill(folder: Path) -> Path:
    """Take all the room that is left on the disk of a folder; the file to remove."""
    filler = folder / "filler"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            os.write(fd, bytes(_BLOCK))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(fd)
    return filler
