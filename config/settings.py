"""What can be set, as frozen records: every option with its kind and its default. `load.py` fills them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from msgspec import Struct

from common import choices
from common.codec import RETURN_LIMIT
from common.ids import MinionId
from config import kinds

LogLevel = Annotated[Literal["debug", "info", "warning", "error"], kinds.choice("debug", "info", "warning", "error")]
LogFormat = Annotated[Literal["text", "json"], kinds.choice("text", "json")]
LeftBehind = Annotated[choices.LeftBehind, kinds.choice(*get_args(choices.LeftBehind))]
Containment = Annotated[Literal["auto", "subreaper"], kinds.choice("auto", "subreaper")]
Offline = Annotated[choices.Offline, kinds.choice(*get_args(choices.Offline))]
Port = Annotated[int, kinds.PORT]
Folders = Annotated[tuple[str, ...], kinds.FOLDERS]
Keep = Annotated[float, kinds.duration("0", "10000d", bare="h")]
Grace = Annotated[float, kinds.duration("0", "1d")]
MaxMemory = Annotated[int, kinds.unlimited(kinds.size("16M", "1024G"))]
"""Bytes of the daemon's own process above which it ends, to be started anew; 0 is no limit."""
MaxAge = Annotated[float, kinds.unlimited(kinds.duration("1s", "3650d"))]
"""How long it runs until it ends, to be started anew; 0 is no limit."""
RunTimeout = Annotated[float, kinds.unlimited(kinds.duration("1s", "365d"))]
"""How long a run of the schedule may take where its entry names no `timeout`; 0 is no limit."""
Schedule = Annotated[Any, kinds.SCHEDULE]
"""As it stands there: `config.schedules` reads it again, with lines and with the files beside it."""
Periods = Annotated[Any, kinds.PERIODS]
LookEvery = Annotated[float, kinds.unlimited(kinds.duration("1s", "1d"))]
"""How often the files of the schedule are looked at; 0 is not at all."""
OutputLimit = Annotated[int, kinds.size("4k", "1G")]


class MasterSettings(Struct, frozen=True, kw_only=True):
    """Of jr-master. Lengths of time are seconds, sizes are bytes."""

    bind: Annotated[str, kinds.ADDRESS] = "0.0.0.0"
    port: Port = 4520
    enrol_port: Port = 4521
    keep_jobs: Keep = 86_400.0
    """How long values and outputs are kept after a job is done; 0 keeps them for ever."""
    backup_every: Annotated[float, kinds.duration("0", "365d")] = 21_600.0
    """How often the database is copied; 0 is never."""
    backups: Annotated[int, kinds.number(1, 1000)] = 2
    """Copies that are kept."""
    return_limit: Annotated[int, kinds.size("1k", "512k")] = RETURN_LIMIT
    grace: Grace = 10.0
    """Between TERM and KILL, where the request names none."""
    start_within: Annotated[float, kinds.duration("1s", "30d")] = 300.0
    """How long after it was published a job may start, where the request names no time."""
    offline: Offline = "fail"
    """What becomes of a job for a minion that is not connected, where the request does not say."""
    lost_after: Annotated[float, kinds.duration("1m", "365d")] = 86_400.0
    """How long a minion may be away before its open jobs are called lost."""
    answer_grace: Annotated[float, kinds.duration("1s", "1d")] = 60.0
    """How long after its time to start has passed a connected minion may stay silent about a job."""
    offline_grace: Annotated[float, kinds.duration("0", "1h")] = 60.0
    """How long after the master's own start minions that were just there count as about to come."""
    key_overlap: Annotated[float, kinds.duration("1s", "30d")] = 86_400.0
    """How long a minion that has offered a new key may go on with the old one."""
    max_jobs: Annotated[int, kinds.number(0, 100_000)] = 0
    """Runner jobs that may run at once; 0 is no limit."""
    output_limit: OutputLimit = 1024 * 1024
    left_behind: LeftBehind = "leave"
    max_memory: MaxMemory = 0
    max_age: MaxAge = 0.0
    containment: Containment = "auto"
    runner_dirs: Folders = ()
    look_every: LookEvery = 2.0
    schedule_timeout: RunTimeout = 0.0
    schedule: Schedule = {}
    periods: Periods = {}
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"


class MinionSettings(Struct, frozen=True, kw_only=True):
    """Of jr-minion. Lengths of time are seconds, sizes are bytes."""

    id: Annotated[MinionId, kinds.MINION_ID]
    """By default made from the host's name."""
    master: Annotated[str, kinds.HOST] = ""
    port: Port = 4520
    enrol_port: Port = 4521
    master_key: Annotated[str, kinds.PUBLIC_KEY] = ""
    join: Annotated[str, kinds.JOIN] = ""
    keep_jobs: Keep = 86_400.0
    """How long the captured output of a job stays on this host; 0 keeps it for ever."""
    grace: Grace = 10.0
    output_limit: OutputLimit = 1024 * 1024
    """For each of stdout and stderr of one job."""
    left_behind: LeftBehind = "leave"
    max_jobs: Annotated[int, kinds.number(0, 100_000)] = 0
    """Jobs that may run at once, the others wait their turn; 0 is no limit."""
    max_memory: MaxMemory = 0
    max_age: MaxAge = 0.0
    containment: Containment = "auto"
    function_dirs: Folders = ()
    look_every: LookEvery = 2.0
    facts: Annotated[dict[str, Any], kinds.FACTS] = {}
    schedule_timeout: RunTimeout = 0.0
    schedule: Schedule = {}
    periods: Periods = {}
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
