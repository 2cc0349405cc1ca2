"""The master's end of the bus with its key: the pair in `pki/master.key`, the next one beside it, and the change over.

The next pair is durable before anybody hears of it, and renamed over the present one in one step. So whatever crash
there is, the master comes back with one of them, and all who were told know both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from common.canary import Canary
from common.errors import JrError
from common.files import sync_folder
from common.keys import KeyPair, ensure, load
from common.link import Key
from common.zmqhub import ZmqHub
from config.settings import MasterSettings
from master.endpoints import Doors

OWN, NEXT = "master", "master.next"


class MasterPki:
    """The master's `pki` folder. Its methods block."""

    def __init__(self, folder: Path) -> None:
        """Makes the key pair when it is the first time. Raises JrError, UsageError."""
        self._folder = folder
        self.pair: KeyPair = ensure(folder, OWN)
        self.next: KeyPair | None = load(folder, NEXT)

    @property
    def next_key(self) -> Key | None:
        """The public half of the next pair, when there is one."""
        return None if self.next is None else self.next.public

    def prepare(self) -> None:
        """Make the next pair, durably, unless there is one. Raises JrError."""
        if self.next is None:
            self.next = ensure(self._folder, NEXT)

    def take_up(self) -> None:
        """The next pair is the one from here on; the old one is gone.

        Raises JrError: this process goes on with the old pair then, and may ask again. Which one a crash would leave is
        open until that has worked, and both are known to whoever was told.
        """
        if self.next is None:
            return
        try:
            # Where only the sync has failed the last time, the file has its new name already.
            if load(self._folder, OWN) != self.next:
                os.rename(self._folder / f"{NEXT}.key", self._folder / f"{OWN}.key")
            sync_folder(self._folder)
        except OSError as error:
            raise JrError(f"cannot take up the next key in {self._folder}: {error.strerror}") from error
        self.pair, self.next = self.next, None


class Bus:
    """Both ports, and the proof that strangers are refused. Made inside the running loop."""

    def __init__(self, settings: MasterSettings, pki: MasterPki, doors: Doors, fatal: Callable[[str], None]) -> None:
        """Listen. Raises JrError."""
        self._bind = settings.bind
        self._pki = pki
        self._doors = doors
        self._fatal = fatal
        self._open(settings.port, settings.enrol_port)

    def _open(self, port: int, enrol_port: int) -> None:
        doors = self._doors
        self.hub = ZmqHub(self._bind, port, enrol_port, self._pki.pair, doors, doors, doors)
        self.canary = Canary(self._bind, self.hub.port, self._pki.pair.public, self._fatal)

    def rekey(self) -> None:
        """Listen on the same ports with the key that is the master's now; all connections end. Raises JrError."""
        port, enrol_port = self.hub.port, self.hub.enrol_port
        self.close()
        self._doors.ended()
        self._open(port, enrol_port)

    def close(self) -> None:
        """Cut all and free the ports."""
        self.canary.close()
        self.hub.close()
