"""The choices that commands, requests, settings, messages and records share: each is written here alone.

Nothing heavy: the spawner loads this file.
"""

from __future__ import annotations

from typing import Literal

TargetType = Literal["glob", "list", "regex"]
"""How a target is written (`common.targets`)."""
Offline = Literal["queue", "fail"]
"""What becomes of a job for a minion that is not connected (DESIGN 6)."""
How = Literal["term", "kill", "signal"]
"""How a job is stopped (DESIGN 8)."""
LeftBehind = Literal["leave", "kill"]
"""What a host does with processes that outlive the end of their job (DESIGN 8)."""
