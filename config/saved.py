"""The file of saved changes, as it is written: in one step that can be taken back."""

from __future__ import annotations

from pathlib import Path

from common.files import sync_folder, write_durable

NAME = "saved.yaml"


class SavedFile:
    """The file. It blocks; each method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._before = folder / f".{NAME}.before"
        """What it said before, for as long as the new text may be taken back; written first, since there may be no room
        for it later."""
        self._was_there = False

    def write(self, text: str) -> None:
        """Replace it; only this user can read it, since it may hold secrets. When this raises it says what it said."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._was_there = self.path.exists()
        if self._was_there:
            write_durable(self._before, self.path.read_bytes())
        try:
            write_durable(self.path, text.encode())
        except OSError:
            self.take_back()
            raise

    def take_back(self) -> None:
        """It says again what it said before it was written last."""
        if self._was_there:
            self._before.replace(self.path)
        else:
            self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def keep(self) -> None:
        """It is not taken back any more."""
        self._before.unlink(missing_ok=True)
