"""Pure cores with somebody who drives them: events go in as calls, effects come out as the lines of `told`."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from common.codec import pack
from common.errors import NotFoundError
from common.host.claims import Kept
from common.host.core import Host
from common.host.job import Limits, Now, Plan
from common.ids import Jid, MinionId
from common.link import Connection, Key
from common.messages import (
    NO_SECRETS,
    Ack,
    Evidence,
    Held,
    HeldJob,
    Hello,
    JobFields,
    Publish,
    Return,
    Stop,
    Stopped,
)
from common.proc.record import JobRecord, StopRequest
from common.states import State
from common.targets import parse
from master.core.core import Core, Terms
from master.core.wishes import StopWish, Wish
from master.records import Job, Minion, Pair, Snapshot
from master.records import Stop as KeptStop
from tests.lib.stored import NOON, jid
from tests.lib.told import told

FIELDS = JobFields(function="cmd.run", args=Raw(pack(["true"])), user="ann")


class Table:
    """The functions of a host: `cmd.run`, and inline `test.ping`, which only reads, and `schedule.add`."""

    def plan(self, fields: JobFields, secrets: Raw = NO_SECRETS) -> Plan:
        if fields.function not in ("cmd.run", "test.ping", "schedule.add"):
            raise NotFoundError(f"cannot run {fields.function}: no such function")
        return Plan(args=["true"], kwargs={}, timeout=fields.timeout, inline=fields.function != "cmd.run",
                    reads=fields.function == "test.ping",
                    sealed=b"" if secrets == NO_SECRETS else bytes(secrets))


def returned(name: Jid, state: State = State.SUCCEEDED, ended: float = NOON + 9, reason: str | None = None) -> Return:
    """What a supervisor would have spooled."""
    return Return(jid=name, job=FIELDS, state=state, retcode=0 if state is State.SUCCEEDED else 1, ended=ended,
                  stdout=b"out\n", pid=4711, evidence=Evidence(reason=reason))


def record(name: Jid, state: State = State.ACCEPTED, accepted: float = NOON, deadline: float = 1300.0,
           boot: str = "boot", **more: Any) -> JobRecord:
    """A proc record as it lies on disk."""
    return JobRecord(jid=name, function="cmd.run", args=["true"], kwargs={}, user="ann", state=state,
                     accepted=accepted, deadline_boot_id=boot, deadline=deadline, start_by=NOON + deadline,
                     args_packed="kaR0cnVl", kwargs_packed="gA==", **more)


class Driven:
    """A host core, and the clock of its machine: boot time counts from 1000, wall and master time are NOON beyond."""

    def __init__(self, max_jobs: int = 0, boot: str = "boot", *, followed: bool = False) -> None:
        self.host = Host(Limits(boot_id=boot, max_jobs=max_jobs), Table(), followed=followed)
        self.time = 1000.0

    @property
    def now(self) -> Now:
        return Now(boot=self.time, wall=NOON + self.time)

    @property
    def master_now(self) -> float:
        return NOON + self.time

    def load(self, claims: dict[Jid, Kept] | None = None, adopted: list[JobRecord] | None = None,
             idle: list[JobRecord] | None = None, spooled: dict[Jid, State] | None = None) -> list[str]:
        return told(self.host.load(claims or {}, adopted or [], idle or [], spooled or {}, self.now))

    def publish(self, number: int, function: str = "cmd.run", within: float = 300.0) -> list[str]:
        message = Publish(jid=jid(number), start_by=self.master_now + within,
                          job=JobFields(function=function, args=FIELDS.args, user="ann"))
        return told(self.host.publish(message, self.now, self.master_now))

    def stop(self, number: int, how: Any = "kill", stop: str = "s1", within: float = 300.0) -> list[str]:
        message = Stop(stop=stop, jid=jid(number), how=how, signal={"term": 15, "kill": 9}.get(how, 10), grace=10.0,
                       by="ann@host", start_by=self.master_now + within)
        return told(self.host.stop(message, self.now, self.master_now))

    def request(self, stop: str = "s1", how: Any = "kill") -> StopRequest:
        return StopRequest(stop=stop, how=how, signal=9, grace=10.0, by="ann", at=self.now.wall)

    def started(self, number: int, pid: int = 4711) -> list[str]:
        return told(self.host.started(jid(number), pid, self.now.wall))

    def ended(self, number: int, state: State = State.SUCCEEDED) -> list[str]:
        return told(self.host.ended(jid(number), state, self.now))

    def ack(self, number: int, refused: str | None = None) -> list[str]:
        return told(self.host.ack(Ack(jid=jid(number), refused=refused), self.now))

    def welcomed(self) -> list[str]:
        return told(self.host.welcomed(self.now, self.master_now))

    def after(self, seconds: float) -> list[str]:
        """Let time pass, and take what that makes the core do."""
        self.time += seconds
        return told(self.host.tick(self.now))


def minion(name: str, state: Any = "accepted", start: int = 0, last_seen: float | None = None) -> Minion:
    """A key as the store keeps it; its text is `k-` and the id."""
    return Minion(id=MinionId(name), key=Key(f"k-{name}"), state=state, filed=NOON, start=start, last_seen=last_seen)


class Ruled:
    """A master core with accepted minions, and master time in seconds after NOON."""

    def __init__(self, *names: str, minions: list[Minion] | None = None, jobs: list[Job] | None = None,
                 pairs: list[Pair] | None = None, stops: list[KeptStop] | None = None, last: Jid | None = None,
                 lost_after: float = 86400.0) -> None:
        rows = minions if minions is not None else [minion(name) for name in names]
        snapshot = Snapshot(last_jid=last, jobs=jobs or [], pairs=pairs or [], stops=stops or [], minions=rows,
                            tokens=[], latest=NOON)
        self.time = 0.0
        self.core = Core(snapshot, Terms(master="us", lost_after=lost_after), NOON)
        self._starts: dict[str, int] = {row.id: row.start for row in rows}

    @property
    def now(self) -> float:
        return NOON + self.time

    def say(self, connection: int, name: str, message: Any) -> list[str]:
        """A message of a minion."""
        return told(self.core.received(Connection(connection), MinionId(name), message, self.now))

    def hello(self, connection: int, name: str) -> list[str]:
        """A fresh start of that minion's agent says Hello."""
        self._starts[name] = self._starts.get(name, 0) + 1
        return self.say(connection, name, Hello(version="1", boot_id="b", start=self._starts[name], connection=1,
                                                facts=Raw(b"\x80")))

    def holds(self, connection: int, name: str, held: dict[Jid, State] | None = None) -> list[str]:
        """The last page of what it holds."""
        jobs = [HeldJob(jid, state) for jid, state in (held or {}).items()]
        return self.say(connection, name, Held(jobs=jobs, last=True))

    def meet(self, connection: int, name: str, held: dict[Jid, State] | None = None) -> list[str]:
        """The whole greeting; returns what the master does after the last page."""
        self.hello(connection, name)
        return self.holds(connection, name, held)

    def gone(self, connection: int, name: str) -> list[str]:
        return told(self.core.gone(Connection(connection), MinionId(name), self.now, "cut"))

    def publish(self, target: str, kind: str = "glob", within: float = 300.0) -> tuple[Jid, list[str]]:
        wish = Wish(fields=FIELDS, target=target, target_type=kind, start_within=within)
        name, effects = self.core.wishes.publish(wish, parse(kind, target), self.now)
        return name, told(effects)

    def stop(self, name: Jid, how: str = "kill", stop: str = "s1",
             minions: list[str] | None = None) -> tuple[dict[str, str], list[str]]:
        chosen = None if minions is None else [MinionId(one) for one in minions]
        done, effects = self.core.wishes.stop(StopWish(stop=stop, jid=name, how=how, signal=9, grace=10.0, by="ann",
                                                       minions=chosen), self.now)
        return done, told(effects)

    def stopped(self, connection: int, minion: str, name: Jid, outcome: Any, stop: str = "s1") -> list[str]:
        return self.say(connection, minion, Stopped(stop=stop, jid=name, outcome=outcome))

    def after(self, seconds: float) -> list[str]:
        """Let time pass, and take what that makes the core do."""
        self.time += seconds
        return told(self.core.tick(self.now))
