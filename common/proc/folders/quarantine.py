"""Where damaged and refused files go: out of the way of all others, named, and kept for whoever wants to look."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from common.files import sync_folder
from common.ids import Jid

_log = logging.getLogger("jr.proc")


class Quarantine:
    """The folder for files that cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, path: Path, reason: str) -> str:
        """Move a file here, whatever it is; the line that says so. One that is gone is no trouble."""
        for number in itertools.count():
            target = self._folder / f"{path.parent.name}-{path.name[:200]}-{number}"
            if not os.path.lexists(target):
                break
        line = f"{path} is damaged and was moved to {target.name!a} in quarantine: {reason}"
        try:
            path.rename(target)
            sync_folder(self._folder)
        except FileNotFoundError:
            return line
        except OSError as error:
            line = f"{path} is damaged ({reason}) and cannot be moved to quarantine: {error.strerror}"
        _log.error("%s", line, extra={"action": "file.quarantined"})
        return line


def files_of(folder: Path) -> list[Path]:
    """What lies in a folder, in order of names; files that are being written are none yet. Raises OSError."""
    return sorted(path for path in folder.iterdir() if not (path.name.startswith(".") and path.suffix == ".tmp"))


def jid_of(path: Path, suffix: str) -> Jid:
    """The job that a file is named after. Raises ValueError for a stranger."""
    if path.suffix != suffix:
        raise ValueError(f"its name does not end in {suffix}")
    return Jid(path.stem)
