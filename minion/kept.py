"""What a minion keeps of its master in small JSON files of its `pki` folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from common.errors import UsageError
from common.files import read_regular

LIMIT = 4096
"""Bytes of such a file."""

T = TypeVar("T")


def read_kept(path: Path, kind: type[T]) -> T | None:
    """What a file says; None when there is none. Raises UsageError when it is damaged."""
    try:
        return msgspec.json.decode(read_regular(path, LIMIT), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"cannot use {path}: {error}; remove it and join again") from error
