"""The words of the scheduler: entries, occurrences and their verdicts, where an entry stands, what the engine decides.

Pure data. Times are epoch seconds of the host's wall clock unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from common.choices import LeftBehind
from common.fields import Count, Finite, Metadata, Name
from common.ids import Jid
from common.states import State

Verdict = Literal["ran", "late", "caught_up", "skipped_overlap", "skipped_window", "skipped_should_run",
                  "skipped_paused", "missed", "failed_to_start"]
"""What became of a planned run. The first three began a job: in time, later than `LATE`, or made up for after nobody
was there to begin it; the others never did."""
BEGUN: frozenset[Verdict] = frozenset({"ran", "late", "caught_up"})
Overlap = Literal["skip", "queue", "kill", "allow"]
CatchUp = Literal["none", "last", "all"]
Base = Literal["start", "end", "grid"]
"""What an interval counts from: the planned start of the last run, its end, or a fixed anchor."""
Cause = Literal["plan", "retry", "then", "on_failure", "by_hand", "run_on_start"]

REASON = 500
"""Characters of a reason: 200 verdicts with names and reasons as long as may be are 900 KiB."""
TRIGGERS = ("every", "at", "cron", "calendar", "once", "continuous")
"""The fields of which at most one is set."""

LATE = 5.0
"""Seconds after its planned time (and splay) from which a run that the scheduler was there for counts as late."""


class Check(Struct, frozen=True, kw_only=True):
    """What is asked before a run: a function, by its return, or a shell command, by its exit code."""

    function: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class Follow(Struct, frozen=True, kw_only=True):
    """An entry that runs after another one ended."""

    entry: str
    delay: float = 0.0
    """Seconds."""


class Entry(Struct, frozen=True, kw_only=True):
    """One named entry. At most one trigger is set; with none it runs by hand and after others only.

    A trigger is one of `every`, `at`, `cron`, `calendar`, `once` and `continuous`.
    """

    name: str
    function: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    secret: list[str] = []
    """Names in `kwargs` whose values only the payload may read."""
    metadata: Metadata = {}
    timeout: float | None = None
    """Seconds that a run may take; None is for ever."""
    left_behind: LeftBehind | None = None
    target: str | None = None
    """On the master: the minions of a fleet job. None makes `function` a runner. Minions have none."""
    target_type: str = "glob"

    every: float | None = None
    """Seconds."""
    base: Base | None = None
    """Of `every`; None is `grid` where there is an `anchor` or a `start`, else `start`."""
    anchor: str | None = None
    """Of the grid: an ISO time; None is `start`."""
    at: tuple[str, ...] = ()
    """Times of day, `HH:MM[:SS]`, each perhaps after a weekday: `mon 10:00`."""
    cron: str | None = None
    calendar: dict[str, str] | None = None
    once: str | None = None
    """An ISO time."""
    continuous: bool = False
    """As soon as the last run is over, and a second after its start at the earliest."""

    start: str | None = None
    """ISO time of the first moment at which it may run; `end` of the last one. Both belong to it."""
    end: str | None = None
    timezone: str | None = None
    """Of all times in the entry that name no offset; None is the host's own."""
    during: tuple[str, ...] = ()
    """Names of periods, in one of which it must be; none is always."""
    excepting: tuple[str, ...] = ()
    """Names of periods in which it must not be; written `except`."""

    overlap: Overlap = "skip"
    """What becomes of a run that is due while another one of the entry goes on."""
    allow: int = 1
    """Runs at once, with the overlap `allow`."""
    catch_up: CatchUp = "last"
    """Which of the runs that nobody was there for are made up for."""
    catch_up_window: float = 3600.0
    """Seconds back from now that it looks for them."""
    start_deadline: float | None = None
    """Seconds after its planned time that a run may still start, for whatever reason it waits."""
    splay: float = 0.0
    """Seconds over which the minions of a fleet are spread; the same for one minion each time."""
    retries: int = 0
    retry_delay: float = 60.0
    """Seconds between the end of a failed run and the next attempt."""
    retry_backoff: float = 1.0
    """What the delay is multiplied by with each further attempt."""
    should_run: Check | None = None
    then: tuple[Follow, ...] = ()
    on_failure: tuple[Follow, ...] = ()
    max_runs: int | None = None
    pause_after_failures: int | None = None
    run_on_start: bool = False
    enabled: bool = True

    def __repr__(self) -> str:
        """For `--check-config`: without the arguments, which may be secrets."""
        given = [f"{name} {getattr(self, name)}" for name in TRIGGERS if getattr(self, name) and name != "every"]
        every = [] if self.every is None else [f"every {self.every:g} s"]
        return f"<{self.function} {' '.join(every + given) or 'by hand'}>"


class Moment(NamedTuple):
    """One moment by both clocks: `wall` may step, `boot` never does (seconds since the host's boot, sleep counted)."""

    wall: float
    boot: float


class Key(NamedTuple):
    """An occurrence: which run of which entry. `attempt` counts retries from 1; 0 is the planned run itself."""

    schedule: str
    planned: float
    attempt: int = 0


class Occurrence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One planned run and its verdict; or a stretch of runs that were dealt with alike, `count` of them."""

    schedule: Name
    planned: Finite
    """Without splay. Of a stretch the first."""
    attempt: Count = 0
    verdict: Verdict
    at: Finite
    """When it was decided."""
    jid: Jid | None = None
    cause: Cause = "plan"
    by: Name = ""
    """Who asked for it, or the entry that it follows."""
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1
    last: Finite | None = None
    """Of a stretch the last planned time."""
    reason: Annotated[str, Meta(max_length=REASON)] = ""

    def __post_init__(self) -> None:
        """A reason that is too long is cut: no master takes a longer one."""
        if len(self.reason) > REASON:
            force_setattr(self, "reason", f"{self.reason[:REASON - 3]}...")

    @property
    def key(self) -> Key:
        """Which run it is."""
        return Key(self.schedule, self.planned, self.attempt)


class Waiting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that is to come beside the entry's own trigger: a retry, one that follows, postponed, queued, by hand."""

    planned: float
    due: float
    """When it may begin."""
    attempt: int = 0
    cause: Cause = "plan"
    by: str = ""
    force: bool = False
    """Whether it runs also when the entry is disabled, paused or held."""
    caught_up: bool = False
    """Whether nobody was there to begin it in time."""
    postponed: bool = False
    """Whether somebody said when it is due."""
    patient: bool = False
    """Whether it waits for other runs of its entry to end, whatever the entry's overlap says."""


class Ended(Struct, frozen=True, kw_only=True):
    """A run that ended while its entry could not be used: what follows it waits until the entry can be."""

    run: Occurrence
    state: State
    at: float


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must survive a restart of one entry. The journal keeps it without looking into it."""

    name: str
    trigger: str = ""
    """The trigger's fingerprint: another one begins anew."""
    plan: dict[str, Any] = {}
    """The fields of the entry that decided what was planned: by them what came due is judged when it is another entry,
    or none, the next time that somebody looks. Empty when nothing was planned."""
    decided: float | None = None
    """Every planned time up to here has its verdict."""
    planned: float | None = None
    """The next run of an interval."""
    runs: int = 0
    failures: int = 0
    """In a row."""
    paused: str = ""
    """Why it is paused; empty when it is not."""
    broken: bool = False
    """Whether its entry cannot be used for now: what is planned since `decided` has no verdict before it can."""
    skips: tuple[float, ...] = ()
    """Planned times that somebody asked to skip."""
    moved: tuple[tuple[float, float], ...] = ()
    """Planned times that somebody moved, and where to."""
    ahead: tuple[float, ...] = ()
    """Times of the wall clock that somebody skipped or moved before the entry became an interval, or was disabled: they
    are left out also when it follows that clock again, however the clock was set meanwhile."""
    waiting: tuple[Waiting, ...] = ()
    ends: tuple[Ended, ...] = ()
    """Runs that ended while the entry could not be used, in that order."""
    turn: int = 0
    """How often its trigger began again, since the clock was set back far; microseconds in the planned times of runs.
    """
    lap: int = 0
    """The same for planned times that the engine made up: they begin again whenever the clock is set back."""
    high: float = 0.0
    """The latest planned time that the engine made up itself: an interval's, or of a run beside the trigger."""
    last_planned: float | None = None
    last_verdict: Verdict | None = None
    last_jid: Jid | None = None
    last_started: float | None = None
    last_ended: float | None = None
    last_state: str | None = None
    last_skipped: float | None = None


class Hold(Struct, frozen=True, kw_only=True):
    """All entries are held: nothing of the schedule begins."""

    since: float
    by: str = ""


# what the engine decides


class Begin(Struct, frozen=True, kw_only=True):
    """Begin this run's job, under the jid that the occurrence names, once the occurrence is in the journal."""

    entry: Entry
    occurrence: Occurrence
    until: float | None = None
    """The last moment at which it may start, by its `start_deadline`, which counts from when it was due: with splay,
    or from where it was postponed to, or a retry's own time."""
    due: float | None = None
    """When it was; None of one that an earlier start of the daemon decided."""


class Judge(Struct, frozen=True, kw_only=True):
    """This run, or stretch of runs, has its verdict and begins no job."""

    occurrence: Occurrence


class Ask(Struct, frozen=True, kw_only=True):
    """Ask the entry's `should_run`, then tell `Engine.answered`."""

    entry: Entry
    key: Key


class End(Struct, frozen=True, kw_only=True):
    """Kill this job: a newer run of its entry takes its place once it ended."""

    jid: Jid
    reason: str


Decision = Begin | Judge | Ask | End


class Step(Struct, frozen=True, kw_only=True):
    """What goes into the journal in one piece, before any of the jobs in it begins."""

    occurrences: tuple[Occurrence, ...] = ()
    standings: tuple[Standing, ...] = ()
    dropped: tuple[str, ...] = ()
    """Entries whose standing is forgotten."""
    hold: Hold | None = None
    """The hold after this step."""
    ended: tuple[Jid, ...] = ()
    """Runs of whose end the engine was told: all that follows from it is in this step."""
