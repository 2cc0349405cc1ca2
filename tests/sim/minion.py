"""A simulated minion: the real agent and host cores on a simulated machine, with what their shells do in between."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from common.codec import unpack
from common.errors import JrError
from common.host import effects as host_do
from common.host.core import Host
from common.host.job import Limits, Now, Plan
from common.host.parking import Parking
from common.host.queue import AT_ONCE, ROOM_AGAIN
from common.host.writer import DURABLE, records_first
from common.ids import Jid, MinionId, mint
from common.link import Closed
from common.messages import NO_SECRETS, Enrol, JobFields, Message, Return, Stopped
from common.proc.record import JobRecord, StopRequest
from common.schedule.desk import Desk as Verbs
from common.sequencer import Then
from common.states import State
from minion.core import effects as do
from minion.core.agent import Agent, Identity, Stage
from minion.core.keychain import Keychain
from tests.sim.machine import Machine, returned
from tests.sim.network import Line
from tests.sim.process import Process
from tests.sim.schedule import Entries, Schedule

if TYPE_CHECKING:
    from tests.sim.world import World

READ, WRITE, RUN = "sim.read", "sim.write", "sim.run"
"""Inline and only reading; inline and recorded; a payload of its own."""


class SimMinion(Process):
    """One minion; or the twin of one: another machine with a copy of its key, and so of its id."""

    def __init__(self, world: World, name: MinionId, max_jobs: int = 0, known_as: MinionId | None = None) -> None:
        super().__init__(world, name, DURABLE)
        self.id = known_as or name
        self.max_jobs = max_jobs
        self.machine = Machine(world, self.id, name)
        self.line: Line | None = None
        self.agent: Agent | None = None
        self.host: Host | None = None
        self.schedule: Schedule | None = None
        self._stage = Stage.IDLE
        self._parking: Parking | None = None
        self._looks = False
        self._free = 0.0
        """When everything of its keys is written that is to be."""
        self._short: dict[Jid, str] = {}
        self._watched: set[Jid] = set()
        self._last: Jid | None = None

    def now(self) -> Now:
        return self.machine.now()

    def plan(self, fields: JobFields, secrets: Raw = NO_SECRETS) -> Plan:
        """This minion is its own table of functions. Raises JrError for those that it does not have."""
        if fields.function not in (READ, WRITE, RUN):
            raise JrError(f"cannot run {fields.function}: no such function")
        return Plan(args=unpack(fields.args), kwargs={}, timeout=fields.timeout, inline=fields.function != RUN,
                    reads=fields.function == READ, sealed=b"" if secrets == NO_SECRETS else bytes(secrets))

    def start(self) -> None:
        """Start the agent, and take over what the disk holds: see `HostShell.open`."""
        if self.alive:
            return
        self.world.say(f"{self.name} starts")
        self.boot()
        machine, disk = self.machine, self.machine.disk
        disk.starts += 1
        boot_id = machine.boot_id
        self.host = Host(Limits(boot_id=boot_id, start=disk.starts, max_jobs=self.max_jobs), self,
                         followed=machine.files is not None)
        self.schedule = None if machine.files is None else Schedule(self, machine.files)
        self._parking = Parking(self.host)
        self._looks = False
        self.agent = Agent(
            Identity(version="sim", boot_id=boot_id, start=disk.starts, facts=Raw(b"\x80"),
                     claim=Enrol(id=self.id, version="sim")), self.host, self.world.chance.random,
            Keychain(machine.pki.own, machine.pki.spare, machine.pki.masters))
        self._last = None
        self._stage = Stage.IDLE
        machine.told = self._told
        for jid in list(disk.records):
            if jid not in machine.locks:
                machine.settle(jid)
        machine.sweep_secrets()
        held = [record for jid, record in disk.records.items() if jid not in disk.spool]
        for record in held:  # see JobFolders.claims.add_again
            disk.claims.setdefault(record.jid, ("-", host_do.Claim(record.jid, 0.0, record.start_by)))
        self._watched = set(machine.locks)
        self.submit(self.host.load(
            machine.claims(), [record for record in held if record.jid in machine.locks],
            [record for record in held if record.jid not in machine.locks],
            {jid: message.state for jid, message in disk.spool.items()}, self.now()))
        if self.schedule is not None:
            self.schedule.open()

    @property
    def files(self) -> Entries:
        """Those of its schedule."""
        assert self.machine.files is not None
        return self.machine.files

    def write_entries(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        """Somebody edits the files, and has the agent read them."""
        self.files.write(written)
        if self.schedule is not None:
            self.schedule.read_files()

    def ask_schedule(self, verb: Callable[[Verbs], Coroutine[Any, Any, Any]]) -> None:
        """Somebody on this host changes something of its schedule at run time."""
        if self.schedule is not None:
            self.schedule.ask(verb)

    @property
    def is_short(self) -> bool:
        """Whether its disk had no room lately."""
        return self._looks

    def begin(self, fields: JobFields, start_within: float) -> Jid:
        """A job that begins here, by a schedule. Raises JrError."""
        assert self.host is not None
        # Runs of its schedule have jids of their own, which are those of whole times; nobody types as exactly as that.
        self._last = mint(self.now().wall + 0.0005, self._last, self.id)
        self.submit(self.host.begin(self._last, fields, start_within, self.now()))
        return self._last

    def stop_job(self, jid: Jid, request: StopRequest) -> str:
        """Somebody on this host stops a job."""
        assert self.host is not None
        outcome, effects = self.host.ask_stop(jid, request, self.now())
        self.submit(effects)
        return str(outcome)

    # the process

    def step_clock(self, seconds: float) -> None:
        self.machine.wall_ahead += seconds

    def power_off(self) -> None:
        """The host reboots; whoever looks after services starts the agent, or somebody does later."""
        line, self.line = self.line, None
        if line is not None:
            self.world.network.power_off(line)
        self.die()
        self.machine.reboot()

    def next(self) -> float | None:
        return None if self.agent is None else self.agent.next() + self.machine.booted

    def tick(self) -> None:
        if self.agent is not None:
            self.submit(self.agent.tick(self.now()))

    def died(self) -> None:
        if self.schedule is not None:
            self.schedule.close()
        self.agent = self.host = self._parking = self.schedule = None
        self.machine.told = None
        self._end_line()

    def broken(self, error: BaseException) -> None:
        """An agent that cannot write ends; whoever looks after services starts it again."""
        self.die()

    # what the line tells

    def line_opened(self, line: Line) -> None:
        if self.agent is not None and line is self.line:
            self.submit(self.agent.opened(self.now()))

    def line_closed(self, line: Line, why: Closed) -> None:
        if self.agent is not None and line is self.line:
            self.line = None
            self.submit(self.agent.closed(why, self.now()))

    def heard(self, line: Line, message: Any) -> None:
        if self.agent is not None and line is self.line:
            self.submit(self.agent.received(message, self.now()))

    # effects

    def act(self, effect: Any) -> None:
        match effect:
            case Then():
                effect.tell()
            case host_do.Send(message):
                self.say(message)
                if isinstance(message, Return):
                    self._tell_end(message)
            case host_do.Ended(message):
                self._tell_end(message)
            case do.VerdictsNoted(place):
                if self.schedule is not None:
                    self.schedule.noted(place)
            case host_do.SendSpooled(jid):
                self.world.at(self.world.chance.uniform(0.0001, 0.003), self._if_alive(lambda: self._send_spooled(jid)),
                              self)
            case host_do.Start(jid):
                self._start(jid)
            case host_do.Wake(jid):
                self.machine.wake(jid)
            case host_do.Call(record):
                self.world.at(self.world.chance.uniform(0.0001, 0.02), self._if_alive(lambda: self._call(record)), self)
            case do.OpenLine() | do.OpenEnrol():
                self._end_line()
                self.line = self.world.network.connect(self, enrol=isinstance(effect, do.OpenEnrol))
            case do.CloseLine():
                self._end_line()
            case do.SendLine(message):
                self._put(message)
            case do.MakeKey():
                self._keep(self.machine.pki.make_spare, lambda agent, key: agent.made(key))
            case do.TakeUpKey():
                self.world.say(f"{self.name} has a new key")
                self._keep(self.machine.pki.take_up, lambda agent, _: [])
            case do.KeepMasters(keys):
                kept = list(keys)
                self._keep(lambda: self.machine.pki.keep_masters(kept), lambda agent, _: agent.kept(kept))
            case do.CatchUp(starts):
                self.world.say(f"{self.name} runs on an older copy of its state")
                self.machine.disk.starts = starts

    @property
    def settled(self) -> bool:
        """What waits for room is in memory alone."""
        return super().settled and not self._parking

    def submit(self, effects: Sequence[Any]) -> None:
        super().submit(effects if self._parking is None else self._parking.admit(effects))
        self._tell_stage()

    def _tell_stage(self) -> None:
        """See `Link`."""
        stage = None if self.agent is None else self.agent.stage
        if stage is None or self.schedule is None or stage is self._stage:
            return
        if Stage.ONLINE in (stage, self._stage):
            self.schedule.connected(stage is Stage.ONLINE)
        self._stage = stage

    def write(self, effects: list[Any], *, torn: bool = False) -> list[Any] | None:
        """One file after the other: whoever dies meanwhile has written some of them. See `Writer.commit`."""
        effects = records_first(effects)
        if torn:
            done = self.world.chance.randrange(len(effects) + 1)
            for effect in effects[done:done + 1]:
                if isinstance(effect, host_do.Undo):  # half done: see JobFolders.undo
                    self.machine.disk.claims.pop(effect.jid, None)
            effects = effects[:done]
        self._short = {}
        left: list[Any] = []
        for effect in effects:
            jid = host_do.about(effect)
            assert jid is not None
            frees = isinstance(effect, host_do.Forget | host_do.DropClaim | host_do.Quarantine)
            if jid in self._short or (not frees and self.machine.refuses()):
                self._short.setdefault(jid, "No space left on device")
                left.append(effect)
                continue
            if not isinstance(effect, host_do.Forget | host_do.DropClaim):
                self.machine.synced()
            self._write(effect)
        return left or None

    def unwritten(self, queued: list[Any]) -> list[Any]:
        """See `Queue`."""
        assert self._parking is not None
        self.world.say(f"{self.id} has no room for {' '.join(map(self.world.name, self._short))}")
        passed = self._parking.unwritten(queued, self._short, self.now())
        self._look_for_room()
        return passed

    def _look_for_room(self) -> None:
        def again() -> None:
            self._looks = False
            if self._parking:
                Process.submit(self, self._parking.again(AT_ONCE))
        if not self._looks:
            self._looks = True
            self.world.at(ROOM_AGAIN, self._if_alive(again), self)

    def _write(self, effect: host_do.Durable) -> None:
        disk = self.machine.disk
        match effect:
            case host_do.Claim(jid):
                self.world.truth.claimed(self, jid)
                disk.claims[jid] = (self.machine.boot_id, effect)
            case host_do.SaveSecrets(jid, sealed):
                disk.secrets[jid] = sealed
            case host_do.SaveRecord(record):
                self.world.truth.recorded(self, record.jid)
                disk.records[record.jid] = record
            case host_do.SaveStop(jid, request):
                stops = disk.stops.setdefault(jid, [])
                if all(known.stop != request.stop for known in stops):
                    stops.append(request)
            case host_do.Spool(message):
                self.world.truth.agent_spools(self, message)
                self.machine.put(message)
            case host_do.Forget(jid):
                self.world.truth.forgets(self, jid)
                if jid in disk.spool:
                    disk.unsynced[jid] = disk.spool.pop(jid)
                disk.stops.pop(jid, None)
            case host_do.Quarantine(jid, reason):
                self.world.truth.quarantined(self, jid, reason)
                disk.quarantine[jid] = reason
                disk.spool.pop(jid, None)
            case host_do.Undo(jid):
                for files in (disk.records, disk.secrets, disk.spool, disk.stops, disk.claims):
                    files.pop(jid, None)  # type: ignore[attr-defined]
            case host_do.DropClaim(jid):
                if jid not in self.machine.locks:
                    disk.claims.pop(jid, None)

    # inside

    def _keep(self, write: Callable[[], Any], then: Callable[[Agent, Any], Sequence[Any]]) -> None:
        """Write it, and tell the core: see `Link`."""
        def kept() -> None:
            if self.step():
                return
            found = write()
            if not self.step() and self.agent is not None:
                self.submit(then(self.agent, found))
        self._free = max(self._free, self.world.time) + self.world.chance.uniform(*self.disk_seconds)
        self.world.at(self._free - self.world.time, self._if_alive(kept), self)

    def _if_alive(self, action: Any) -> Any:
        life = self.life
        return lambda: action() if self.life == life else None

    def say(self, message: Message) -> None:
        """Say something to the master, if it is there."""
        if self.agent is not None and self.agent.stage is Stage.ONLINE:
            self._put(message)

    def _send_spooled(self, jid: Jid) -> None:
        message = self.machine.disk.spool.get(jid)
        if message is not None:
            self.say(message)
        elif self.host is not None:
            self.submit(self.host.damaged(jid, self.now(), "its return is not in the spool"))

    def _put(self, message: Message | Enrol) -> None:
        if self.line is not None and self.agent is not None and self.world.network.to_master(self.line, message):
            self.agent.pulse.said(self.now().boot)
            self.world.truth.window(self)

    def _end_line(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            self.world.network.minion_closes(line)

    def _start(self, jid: Jid) -> None:
        if jid not in self._watched:
            self._watched.add(jid)
            self.machine.fork(jid)

    def _call(self, record: JobRecord) -> None:
        if self.host is not None:
            message: Return = returned(record, State.SUCCEEDED, self.now().wall, None)
            self.world.truth.called(record.jid, self.id, reads=record.function == READ)
            self.submit(self.host.called(message, self.now()))
            self._tell_end(message)

    def _told(self, what: str, jid: Jid, stop: str) -> None:
        """The executor tells; it looks again before it says that a job has no supervisor any more."""
        def hear() -> None:
            if self.host is None:
                return
            if what == "started":
                self.submit(self.host.started(jid, 1, self.now().wall))
            elif what != "ended":
                outcome: Any = what
                answer = Stopped(stop=stop, jid=jid, outcome=outcome)
                if self.schedule is None or not self.schedule.hands.desk.answered(answer):
                    self.submit(self.host.stop_result(answer))
            elif jid in self._watched and jid not in self.machine.locks:
                self._watched.discard(jid)
                self.world.at(self.world.chance.uniform(0.0001, 0.005), self._if_alive(lambda: self._look(jid)), self)
        self.world.at(0.0, self._if_alive(hear), self)

    def _look(self, jid: Jid) -> None:
        """See `Ends`."""
        if self.host is None:
            return
        state = self.machine.settle(jid)
        if state is None:
            self.submit(self.host.vanished(jid, self.now(), "its supervisor ended before it could start"))
        else:
            self._tell_end(self.machine.disk.spool[jid])
            self.submit(self.host.ended(jid, state, self.now()))

    def _tell_end(self, message: Return) -> None:
        if self.schedule is not None:
            self.schedule.hands.desk.ended(message)
            self.schedule.ended(message)
