"""What the names of entries and periods mean at a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from common.schedule.model import Entry
from common.schedule.times.periods import Period


class Known(NamedTuple):
    """What names may mean, and the zone of times that name none."""

    entries: Mapping[str, Entry]
    periods: Mapping[str, Period]
    zone: tzinfo
    written: Mapping[str, Mapping[Any, Any]] = {}
    """The periods as they are written."""
    broken: Mapping[str, str] = {}
    """Why entries cannot be used, by name."""
