"""The parties of a simulated world: real cores, with disks, processes and links that are kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw, structs

from common.codec import encode, pack, unpack
from common.host import effects as host_do
from common.host.claims import Kept
from common.host.core import Host, Limits, Now, Plan
from common.ids import Jid, MinionId
from common.link import Closed, Connection, Key
from common.messages import Enrol, Evidence, JobFields, Return
from common.proc.record import JobRecord, StopRequest
from common.states import State
from common.targets import Target
from master.core import effects as master_do
from master.core.core import Core, StopWish, Terms, Wish
from master.records import Minion, PutMinion
from master.store.base import UnknownJobError
from master.store.memory import MemoryStore
from minion.core import effects as minion_do
from minion.core.agent import Agent, Identity

if TYPE_CHECKING:
    from tests.sim.world import World

EPOCH = 1_700_000_000.0
"""Wall time of virtual time zero."""
LOST_AFTER = 600.0
"""Seconds: a shorter absence than real masters allow, so that worlds need not run for a day."""


class SimMaster:
    """A master whose process may die at any effect; its store lives on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.store = MemoryStore()
        self.core: Core | None = None
        self.moved: dict[tuple[Jid, MinionId], State] = {}
        self.crash_in: int | None = None
        """Effects after which the process dies; None for never."""

    def now(self) -> float:
        return EPOCH + self._world.time

    def accept(self, minion: MinionId) -> None:
        self.store.apply([PutMinion(Minion(id=minion, key=Key(minion), state="accepted", filed=0.0))], self.now())

    def start(self) -> None:
        self._world.say("master starts")
        self.core = Core(self.store.snapshot(), Terms(master="sim", lost_after=LOST_AFTER), self.now())
        self._apply(self.core.begin(self.now()))

    def crash(self) -> None:
        self._world.say("master dies")
        self.core = None
        self.crash_in = None
        self._world.cut_all()

    def knows(self, jid: Jid) -> bool:
        """Whether the job was committed before the process died: only then was its jid ever printed."""
        try:
            self.store.job(jid)
        except UnknownJobError:
            return False
        return True

    @staticmethod
    def pack(value: Any) -> Raw:
        return Raw(pack(value))

    def next(self) -> float | None:
        at = None if self.core is None else self.core.next()
        return None if at is None else at - EPOCH

    def tick(self) -> None:
        if self.core is not None:
            self._apply(self.core.tick(self.now()))

    def publish(self, wish: Wish, target: Target) -> Jid:
        assert self.core is not None
        jid, effects = self.core.publish(wish, target, self.now())
        self._apply(effects)
        return jid

    def stop(self, wish: StopWish) -> dict[str, str]:
        assert self.core is not None
        done, effects = self.core.stop(wish, self.now())
        self._apply(effects)
        return done

    def received(self, connection: Connection, minion: MinionId, message: Any) -> None:
        if self.core is not None:
            self._apply(self.core.received(connection, minion, message, self.now()))

    def gone(self, connection: Connection, minion: MinionId) -> None:
        if self.core is not None:
            self._apply(self.core.gone(connection, minion, self.now(), "cut"))

    def _apply(self, effects: list[master_do.Effect]) -> None:
        """Each effect is a step at which the process may die: what follows it never happens."""
        for effect in effects:
            if self.core is None:
                return
            if self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.crash()
                    return
            self._apply_one(effect)

    def _apply_one(self, effect: master_do.Effect) -> None:
        match effect:
            case master_do.Save(change):
                self.store.apply([change], self.now())
            case master_do.Send(connection, message):
                self._world.to_minion(connection, encode(message))
            case master_do.Drop(connection):
                self._world.cut(connection)
            case master_do.Emit(master_do.PairMoved(pair)):
                self.moved[pair.jid, pair.minion] = pair.state
            case master_do.Recall(jid):
                self._recall(jid)

    def _recall(self, jid: Jid) -> None:
        assert self.core is not None
        job = self.store.job(jid) if self.knows(jid) else None
        pairs = list(self.store.pairs(jid, values=False)) if job is not None else []
        self._apply(self.core.recalled(jid, job, pairs, self.now()))


class Disk:
    """What a minion's state folder holds, and what lives on that host beside the agent."""

    def __init__(self) -> None:
        self.starts = 0
        self.claims: dict[Jid, Kept] = {}
        self.records: dict[Jid, JobRecord] = {}
        self.stops: dict[Jid, list[StopRequest]] = {}
        self.spool: dict[Jid, Return] = {}
        self.quarantine: dict[Jid, str] = {}
        self.supervisors: set[Jid] = set()


class SimMinion:
    """A minion whose agent may die at any effect; its disk and its supervisors live on."""

    def __init__(self, world: World, name: MinionId) -> None:
        self._world = world
        self.id = name
        self.disk = Disk()
        self.agent: Agent | None = None
        self.host: Host | None = None
        self.connection: Connection | None = None
        self.reachable = True
        self.crash_in: int | None = None
        self._open = False

    def now(self) -> Now:
        return Now(boot=self._world.time, wall=EPOCH + self._world.time)

    def plan(self, fields: JobFields) -> Plan:
        return Plan(args=unpack(fields.args), kwargs={}, timeout=None, inline=fields.function == "sim.ping",
                    reads=fields.function == "sim.ping")

    def start(self) -> None:
        self._world.say(f"{self.id} starts")
        self.disk.starts += 1
        self.host = Host(Limits(boot_id="boot"), self)
        adopted = [record for jid, record in self.disk.records.items() if jid in self.disk.supervisors]
        idle = [record for jid, record in self.disk.records.items() if jid not in self.disk.supervisors]
        spooled = {jid: message.state for jid, message in self.disk.spool.items()}
        identity = Identity(version="sim", boot_id="boot", start=self.disk.starts, facts=Raw(b"\x80"),
                            claim=Enrol(id=self.id, version="sim"))
        self.agent = Agent(identity, self.host, self._world.chance.random)
        self._apply([*self.host.load(dict(self.disk.claims), adopted, idle, spooled, self.now())])

    def crash(self) -> None:
        self._world.say(f"{self.id} dies")
        self.agent = self.host = None
        self.crash_in = None
        self._open = False
        if self.connection is not None:
            self._world.cut(self.connection)

    def next(self) -> float | None:
        return None if self.agent is None else self.agent.next()

    def tick(self) -> None:
        if self.agent is not None:
            self._apply(self.agent.tick(self.now()))

    def received(self, message: Any) -> None:
        if self.agent is not None:
            self._apply(self.agent.received(message, self.now()))

    def line_opened(self, connection: Connection) -> None:
        if self.agent is not None and connection == self.connection:
            self._open = True
            self._apply(self.agent.opened(self.now()))

    def line_failed(self, connection: Connection) -> None:
        self._closed(connection, Closed.FAILED)

    def line_lost(self, connection: Connection) -> None:
        self._closed(connection, Closed.LOST)

    def _closed(self, connection: Connection, why: Closed) -> None:
        if self.agent is not None and connection == self.connection:
            self._open = False
            self.connection = None
            self._apply(self.agent.closed(why, self.now()))

    def _apply(self, effects: list[minion_do.Effect]) -> None:
        for effect in effects:
            if self.agent is None:
                return
            if self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.crash()
                    return
            self._apply_one(effect)

    def _apply_one(self, effect: minion_do.Effect) -> None:
        match effect:
            case host_do.Claim() | host_do.SaveRecord() | host_do.SaveStop() | host_do.Spool() | host_do.Forget() \
                    | host_do.Quarantine() | host_do.DropClaim():
                self._write(effect)
            case host_do.Send(message) | minion_do.SendLine(message):
                self._send(message)
            case host_do.SendSpooled(jid):
                if jid in self.disk.spool:
                    self._send(self.disk.spool[jid])
            case host_do.Start(jid):
                self._fork(jid)
            case host_do.Wake(jid):
                self._world.at(0.01, lambda: self._woken(jid))
            case host_do.Call(record):
                self._call(record)
            case minion_do.OpenLine():
                self._world.connect(self)
            case minion_do.CloseLine():
                if self.connection is not None:
                    connection, self.connection = self.connection, None
                    self._world.cut(connection)

    def _write(self, effect: host_do.Durable) -> None:
        disk = self.disk
        match effect:
            case host_do.Claim(jid, until, _, cancelled):
                assert jid not in disk.claims, self._world.story(f"{jid} claimed twice on {self.id}")
                disk.claims[jid] = Kept(until, cancelled)
            case host_do.SaveRecord(record):
                disk.records[record.jid] = record
            case host_do.SaveStop(jid, request):
                disk.stops.setdefault(jid, []).append(request)
            case host_do.Spool(message):
                disk.spool.setdefault(message.jid, message)
                disk.records.pop(message.jid, None)
            case host_do.Forget(jid):
                disk.spool.pop(jid, None)
                disk.stops.pop(jid, None)
            case host_do.Quarantine(jid, reason):
                disk.spool.pop(jid, None)
                disk.quarantine[jid] = reason
            case host_do.DropClaim(jid):
                disk.claims.pop(jid, None)

    def _send(self, message: Any) -> None:
        if self._open and self.connection is not None and self.agent is not None:
            self.agent.said(self.now())
            self._world.to_master(self.connection, encode(message))

    # what lives on without the agent

    def _call(self, record: JobRecord) -> None:
        message = Return(jid=record.jid, job=JobFields(function=record.function, user=record.user),
                         state=State.SUCCEEDED, retcode=0, ended=self.now().wall)
        self._world.ends[record.jid, self.id] = State.SUCCEEDED
        if self.host is not None:
            self._apply([*self.host.called(message, self.now())])

    def _fork(self, jid: Jid) -> None:
        if jid in self.disk.supervisors or self.disk.records[jid].pid is not None:
            return
        self.disk.supervisors.add(jid)
        self._world.at(self._world.chance.uniform(0.001, 0.01), lambda: self._supervise(jid))

    def _supervise(self, jid: Jid) -> None:
        record = self.disk.records[jid]
        if self.disk.stops.get(jid):
            self._end(jid, State.KILLED, "stopped before it started")
            return
        if self.now().boot > record.deadline:
            self._end(jid, State.LOST, "too late")
            return
        self._world.payload_started(jid, self.id)
        self.disk.records[jid] = structs.replace(record, pid=1, started=self.now().wall, state=State.RUNNING)
        seconds, code = record.args
        self._world.at(seconds, lambda: self._end(jid, State.FAILED if code else State.SUCCEEDED, None))
        if self.host is not None:
            self._apply([*self.host.started(jid, 1, self.now().wall)])

    def _woken(self, jid: Jid) -> None:
        if jid in self.disk.supervisors and self.disk.stops.get(jid):
            self._end(jid, State.KILLED, "asked")

    def _end(self, jid: Jid, state: State, reason: str | None) -> None:
        if jid not in self.disk.supervisors:
            return
        record = self.disk.records.pop(jid)
        if record.pid is not None:
            self._world.ends[jid, self.id] = state
        self.disk.spool[jid] = Return(
            jid=jid, job=JobFields(function=record.function, user=record.user), state=state,
            retcode=0 if state is State.SUCCEEDED else 1, ended=self.now().wall, evidence=Evidence(reason=reason))
        self.disk.supervisors.discard(jid)
        self._world.say(f"{jid} on {self.id} ends {state}")
        if self.host is not None:
            self._apply([*self.host.ended(jid, state, self.now())])
