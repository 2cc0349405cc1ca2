"""Where jr keeps its files: below one root when `--root` or JR_ROOT says so, else in the system's places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """The files and folders of a host. `root` None means the system's own: /etc/jr, /var/lib/jr, /run/jr."""

    root: Path | None = None

    @property
    def _base(self) -> Path:
        return Path("/") if self.root is None else self.root

    @property
    def master_settings(self) -> Path:
        return self._base / "etc/jr/master.yaml"

    @property
    def minion_settings(self) -> Path:
        return self._base / "etc/jr/minion.yaml"

    @property
    def master_schedules(self) -> Path:
        """Not the minion's: a host may have both."""
        return self._base / "etc/jr/master-schedule.d"

    @property
    def minion_schedules(self) -> Path:
        return self._base / "etc/jr/schedule.d"

    @property
    def master_state(self) -> Path:
        return self._base / "var/lib/jr/master"

    @property
    def minion_state(self) -> Path:
        return self._base / "var/lib/jr/minion"

    @property
    def master_socket(self) -> Path:
        return self._base / "run/jr/master.sock"

    @property
    def minion_socket(self) -> Path:
        return self._base / "run/jr/minion.sock"

    def local_minion(self, name: str) -> Paths:
        """The paths of a minion that `jr-local` runs beside the master of this root."""
        return Paths(self._base / "minions" / name)


def find(root: str | Path | None, environ: Mapping[str, str]) -> Paths:
    """The paths for `--root`, else for JR_ROOT, else the system's. A relative root counts from the working folder."""
    chosen = root or environ.get("JR_ROOT") or None
    return Paths(None if chosen is None else Path(chosen).absolute())
