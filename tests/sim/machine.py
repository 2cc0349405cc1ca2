"""The host of a simulated minion: its clocks, its state folder, and the supervisors that need no agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from common.host.claims import KEPT, Kept
from common.host.effects import Claim
from common.host.job import Now
from common.ids import Jid, MinionId
from common.messages import Evidence, Return
from common.proc.record import JobRecord, StopRequest, fields_of
from common.states import State
from tests.sim.pki import Pki

if TYPE_CHECKING:
    from tests.sim.schedule import Entries
    from tests.sim.world import World

EPOCH = 1_700_000_000.0
"""Wall time of virtual time zero, as long as no clock is wrong."""
FULL = 0.8
"""The chance that a full disk refuses a file."""
RETRY = 1.0
"""Seconds between two tries of a supervisor to spool on a full disk."""


class Disk:
    """What a minion's state folder holds."""

    def __init__(self) -> None:
        self.starts = 0
        self.claims: dict[Jid, tuple[str, Claim]] = {}
        """With the boot id of each."""
        self.records: dict[Jid, JobRecord] = {}
        self.secrets: dict[Jid, bytes] = {}
        self.stops: dict[Jid, list[StopRequest]] = {}
        self.spool: dict[Jid, Return] = {}
        self.quarantine: dict[Jid, str] = {}
        self.unsynced: dict[Jid, JobRecord | Return] = {}
        """What was removed without a sync: a power cut brings it back, until the next durable write."""


class Supervisor(Struct, eq=False):
    """One that has the lock of its job."""

    jid: Jid
    payload: bool = False
    """Whether the payload was let go and has not ended."""
    taken: set[str] = set()
    """Stop requests that it has seen."""
    asked: StopRequest | None = None
    """The first one that ends the job."""


class Machine:
    """One host. The agent's process comes and goes on it."""

    def __init__(self, world: World, known_as: MinionId, name: str) -> None:
        """`known_as` is the minion id, which two machines may share; `name` is its own."""
        self.world = world
        self.id = known_as
        self.name = name
        self.disk = Disk()
        self.pki = Pki(known_as, [world.master.pki.own])
        self.boot_id = f"{name} boot 1"
        self.boots = 1
        self.booted = world.time - world.chance.uniform(10, 1000)
        self.wall_ahead = 0.0
        """Seconds that the wall clock is wrong."""
        self.full_until = 0.0
        """Virtual time until which next to nothing can be written."""
        self.files: Entries | None = None
        """The files of its schedule, and its journal; None where nobody has a schedule."""
        self.locks: dict[Jid, Supervisor] = {}
        self.told: Callable[[str, Jid, str], None] | None = None
        """The agent's executor, while there is one: (started | ended | stop outcome, jid, stop id)."""

    def now(self) -> Now:
        return Now(boot=self.world.time - self.booted, wall=EPOCH + self.world.time + self.wall_ahead)

    def refuses(self) -> bool:
        """Whether the disk has no room for what is about to be written: on a full one a little comes and goes."""
        return self.world.time < self.full_until and self.world.chance.random() < FULL

    def reboot(self) -> None:
        """The power fails and comes back: no process survives, and the boot clock begins anew."""
        self.world.say(f"{self.name} reboots")
        self.boots += 1
        self.boot_id = f"{self.name} boot {self.boots}"
        self.booted = self.world.time
        self.locks.clear()
        for jid, removed in self.disk.unsynced.items():
            if isinstance(removed, Return):
                self.disk.spool.setdefault(jid, removed)
            else:
                self.disk.records.setdefault(jid, removed)
        self.disk.unsynced.clear()

    def claims(self) -> dict[Jid, Kept]:
        """As the host's shell reads them at a start."""
        now = self.now()
        return {jid: Kept(claim.until if boot == self.boot_id
                          else now.boot + max(0.0, claim.start_by - now.wall) + KEPT, claim.cancelled)
                for jid, (boot, claim) in self.disk.claims.items()}

    # what the agent's executor and its folders do

    def fork(self, jid: Jid) -> None:
        """The spawner forks a supervisor, which then tries to take the lock."""
        self._at(0.001, 0.02, lambda: self._take_lock(jid))

    def wake(self, jid: Jid) -> None:
        """The holder of the lock reads its stop requests."""
        self._at(0.0005, 0.01, lambda: self._heed(jid))

    def settle(self, jid: Jid) -> State | None:
        """What became of a job that has no supervisor: see `JobFolders.settle`."""
        disk = self.disk
        if jid in disk.spool:
            if jid not in self.locks:
                disk.records.pop(jid, None)
                disk.secrets.pop(jid, None)
            return disk.spool[jid].state
        record = disk.records.get(jid)
        if record is None or record.started is None or jid in self.locks:
            return None
        why = "its supervisor died" if record.boot_id == self.boot_id else "the host restarted while the job ran"
        self.put(returned(record, State.LOST, self.now().wall, why))
        return State.LOST

    def put(self, message: Return) -> None:
        """Make a return durable that no supervisor writes, and retire the record: see `JobFolders.end`."""
        if message.jid in self.locks:
            return
        self.disk.spool.setdefault(message.jid, message)
        self.disk.records.pop(message.jid, None)
        self.disk.secrets.pop(message.jid, None)
        self.synced()

    def sweep_secrets(self) -> None:
        """Those of no recorded job: see `JobFolders.records.sweep_secrets`."""
        for jid in self.disk.secrets.keys() - self.disk.records.keys():
            del self.disk.secrets[jid]

    def synced(self) -> None:
        """Something was made durable, and with it whatever was done before."""
        self.disk.unsynced.clear()

    # supervisors

    def kill_supervisor(self, jid: Jid) -> bool:
        """SIGKILL for the supervisor of a job; False when it has none. Its payload lives on, unobserved."""
        supervisor = self.locks.get(jid)
        if supervisor is None:
            return False
        self.world.say(f"the supervisor of {self.world.name(jid)} on {self.id} dies")
        self._exit(supervisor)
        return True

    def _at(self, least: float, most: float, action: Callable[[], None]) -> None:
        """Later, unless the host reboots meanwhile."""
        boot = self.boot_id
        self.world.at(self.world.chance.uniform(least, most), lambda: action() if self.boot_id == boot else None)

    def _alive(self, supervisor: Supervisor) -> bool:
        return self.locks.get(supervisor.jid) is supervisor

    def _take_lock(self, jid: Jid) -> None:
        if jid in self.locks:
            self._tell("ended", jid)
            return
        supervisor = self.locks[jid] = Supervisor(jid)
        self._at(0.0001, 0.005, lambda: self._begin(supervisor))

    def _begin(self, supervisor: Supervisor) -> None:
        jid, disk = supervisor.jid, self.disk
        if not self._alive(supervisor):
            return
        record = disk.records.get(jid)
        if record is None or record.started is not None or jid in disk.spool:
            self._exit(supervisor)
            return
        if self._refuse(supervisor, record):
            return
        started = structs.replace(record, pid=1, started=self.now().wall, boot_id=self.boot_id, state=State.RUNNING)
        disk.records[jid] = started
        self.synced()
        self._at(0.0001, 0.005, lambda: self._let_go(supervisor, started))

    def _let_go(self, supervisor: Supervisor, record: JobRecord) -> None:
        """The last look at stop requests and deadline, then the byte at the gate."""
        if not self._alive(supervisor) or self._refuse(supervisor, record):
            return
        self.world.truth.payload_starts(supervisor.jid, self.id)
        self.world.truth.unsealed(supervisor.jid, self.id, record.sealed, self.disk.secrets.pop(supervisor.jid, b""))
        supervisor.payload = True
        seconds, code = record.args
        self._tell("started", supervisor.jid)
        self._at(seconds, seconds, lambda: self._ended(supervisor, State.FAILED if code else State.SUCCEEDED))
        if record.timeout is not None and record.timeout < seconds:
            self._at(record.timeout, record.timeout, lambda: self._ended(supervisor, State.TIMED_OUT))
        self._heed(supervisor.jid)

    def _refuse(self, supervisor: Supervisor, record: JobRecord) -> bool:
        """Why the payload must not be let go: then that is its end."""
        stop = next((stop for stop in self.disk.stops.get(record.jid, ()) if stop.how != "signal"), None)
        if stop is not None:
            state, reason = State.KILLED, "stopped before it started"
        elif record.deadline_boot_id != self.boot_id or self.now().boot > record.deadline:
            state, reason = State.LOST, "not started: its time to start passed"
        else:
            return False
        self._spool(supervisor, returned(record, state, self.now().wall, reason))
        return True

    def _heed(self, jid: Jid) -> None:
        """New stop requests of a running job."""
        supervisor = self.locks.get(jid)
        if supervisor is None or not supervisor.payload:
            return
        for stop in self.disk.stops.get(jid, ()):
            if stop.stop in supervisor.taken:
                continue
            supervisor.taken.add(stop.stop)
            self._tell("signalled" if stop.how == "signal" else "stopping", jid, stop.stop)
            if stop.how != "signal":
                supervisor.asked = supervisor.asked or stop
                least = 0.0 if stop.how == "kill" else stop.grace
                self._at(least, least + 0.1, lambda: self._ended(supervisor, State.KILLED))

    def _ended(self, supervisor: Supervisor, state: State) -> None:
        """The exit of the payload is observed: what was asked before decides what it is called."""
        if not self._alive(supervisor) or not supervisor.payload:
            return
        supervisor.payload = False
        if supervisor.asked is not None:
            state = State.KILLED
        record = self.disk.records[supervisor.jid]
        self.world.truth.payload_ends(supervisor.jid, self.id, state)
        message = returned(record, state, self.now().wall, None)
        self._at(0.0, 0.01, lambda: self._spool(supervisor, message))

    def _spool(self, supervisor: Supervisor, message: Return) -> None:
        """The return durable, then the record gone, then the lock free; while the disk is full, all of it waits."""
        if not self._alive(supervisor):
            return
        if self.refuses():
            self._at(RETRY, RETRY, lambda: self._spool(supervisor, message))
            return
        self.disk.spool.setdefault(supervisor.jid, message)
        self.disk.secrets.pop(supervisor.jid, None)
        self.world.truth.spooled(supervisor.jid, self.id, message.state)
        self.synced()
        self._at(0.0001, 0.005, lambda: self._retire(supervisor))

    def _retire(self, supervisor: Supervisor) -> None:
        if self._alive(supervisor):
            record = self.disk.records.pop(supervisor.jid, None)
            if record is not None:
                self.disk.unsynced[supervisor.jid] = record
            self._at(0.0001, 0.002, lambda: self._exit(supervisor) if self._alive(supervisor) else None)

    def _exit(self, supervisor: Supervisor) -> None:
        del self.locks[supervisor.jid]
        self._tell("ended", supervisor.jid)

    def _tell(self, what: str, jid: Jid, stop: str = "") -> None:
        """The agent's executor hears of it, if there is one; its notices, unlike an end, may be lost."""
        if self.told is not None and (what == "ended" or self.world.chance.random() >= self.world.notices_lost):
            self.told(what, jid, stop)


def returned(record: JobRecord, state: State, at: float, reason: str | None) -> Return:
    """What is spooled of a job."""
    return Return(jid=record.jid, job=fields_of(record), state=state, accepted=record.accepted,
                  started=record.started, retcode={State.SUCCEEDED: 0, State.LOST: None}.get(state, 1), ended=at,
                  pid=record.pid, evidence=Evidence(reason=reason))
