"""Who may do what: every handler against every role, cell by cell. R-A7, S1, S6.

The handlers are read from the code itself, so that a new one fails here until it has its row.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from msgspec import Raw

from common import codec, control_server, keys, messages
from common.clock import MasterClock
from common.codec import encode, enrolled
from common.control import Connection as Control
from common.control_server import Caller, ControlServer, owner_only
from common.errors import DeniedError, JrError, NotFoundError, UsageError
from common.host.planner import TablePlanner
from common.ids import MinionId
from common.messages import FromMaster, FromMinion, HeldJob, JobFields, Message
from common.proc.loader import load
from common.schedule.model import Occurrence
from common.states import State
from common.zmqhub import HubLimits, ZmqHub
from master.core.core import Core, Terms
from master.endpoints import Doors
from master.records import KeyState, Minion, PutMinion
from master.requests import Defaults
from master.shell import Shell
from master.store.memory import MemoryStore
from master.verbs import Surroundings, Verbs
from minion.assembly import FUNCTIONS
from minion.calls import Calls
from minion.functions import ALIASES
from minion.handle import Handle
from runners import registry
from tests.lib.bad_names import BAD_IDS
from tests.lib.control import serving
from tests.lib.cores import FIELDS
from tests.lib.links import until_async
from tests.lib.rawcurve import RawClient
from tests.lib.stored import NOON, jid

OWNER, STRANGER = 12345, 65534
ALL = {"nobody", "pending", "accepted", "rejected", "quarantined", "revoked"}
NONE: set[str] = set()
MEMBER = {"accepted"}

MAIN_PORT = {
    "Hello": MEMBER, "Held": MEMBER, "Ping": MEMBER, "Pong": MEMBER, "Accepted": MEMBER, "Refused": MEMBER,
    "Started": MEMBER, "Return": MEMBER, "Stopped": MEMBER, "Occurrences": MEMBER, "Offer": MEMBER, "Trusts": MEMBER,
    # A minion that plays the master, or mistakes the door.
    "Welcome": NONE, "Publish": NONE, "Stop": NONE, "Ack": NONE, "Enrol": NONE, "Enrolled": NONE,
    "Rotate": NONE, "Taken": NONE, "MasterKey": NONE, "Noted": NONE,
}
ENROLMENT_PORT = {name: ALL if name == "Enrol" else NONE for name in MAIN_PORT}
ANSWERS = {"nobody": "pending", "pending": "pending", "accepted": "accepted", "rejected": "refused",
           "quarantined": "refused", "revoked": "refused"}
"""What each role is told when it claims its id."""

LOCAL = {"owner", "root"}
MASTER_VERBS = {
    "publish": LOCAL, "run": LOCAL, "watch": LOCAL, "jobs": LOCAL, "active": LOCAL, "stop": LOCAL, "presence": LOCAL,
    "keys": LOCAL, "keys.accept": LOCAL, "keys.reject": LOCAL, "keys.delete": LOCAL, "keys.rotate": LOCAL,
    "token": LOCAL, "status": LOCAL, "runners": LOCAL, "runs": LOCAL,
}
MINION_VERBS = {"call": LOCAL}
USERS = {"owner": OWNER, "root": 0, "other user": STRANGER, "ordinary user": 1000}

INSIDE_THE_AGENT = {
    "facts.get", "facts.items", "job.find_job", "job.is_running", "job.kill_all_jobs", "job.kill_job", "job.running",
    "job.signal_job", "job.term_all_jobs", "job.term_job", "schedule.add", "schedule.copy",
    "schedule.delete", "schedule.disable", "schedule.enable", "schedule.explain", "schedule.hold",
    "schedule.job_status", "schedule.list", "schedule.modify", "schedule.move", "schedule.next", "schedule.periods",
    "schedule.postpone_job", "schedule.release", "schedule.reload", "schedule.resume", "schedule.run_job",
    "schedule.save", "schedule.segments", "schedule.show", "schedule.show_next_fire_time", "schedule.skip_job",
    "sys.doc", "sys.functions", "sys.status", "test.ping",
}
"""Functions that run in the daemon's own process; the master's user and jr-call's may call them, as any other."""
IN_A_PROCESS = {"cmd.exec", "cmd.run", "cmd.script", "schedule.simulate", "test.echo", "test.fail", "test.sleep"}

KEY = keys.generate().public
SAMPLES: dict[str, Message] = {
    sample.__class__.__name__: sample for sample in (
        messages.Hello(version="1", boot_id="b", start=1, connection=1, facts=Raw(b"\x80")),
        messages.Held(jobs=[HeldJob(jid(1), State.RUNNING)], last=True), messages.Ping(n=1), messages.Pong(n=1),
        messages.Accepted(jid=jid(1), at=NOON), messages.Refused(jid=jid(1), reason="no"),
        messages.Started(jid=jid(1), pid=1, at=NOON),
        messages.Return(jid=jid(1), job=FIELDS, state=State.SUCCEEDED, ended=NOON),
        messages.Stopped(stop="s", jid=jid(1), outcome="ended"),
        messages.Welcome(master="us", time=NOON, return_limit=1), messages.Ack(jid=jid(1)),
        messages.Publish(jid=jid(1), job=FIELDS, start_by=NOON * 2),
        messages.Stop(stop="s", jid=jid(1), how="kill", signal=9, grace=0, by="m1", start_by=NOON * 2),
        messages.Enrol(id=MinionId("accepted"), version="1"), messages.Enrolled(status="accepted"),
        messages.Offer(key=KEY), messages.Trusts(key=KEY), messages.Rotate(), messages.Taken(key=KEY),
        messages.MasterKey(key=KEY), messages.Noted(n=1),
        messages.Occurrences(n=1, items=[Occurrence(schedule="tidy", planned=NOON, verdict="ran", at=NOON)]),
    )}


class World:
    """A master with a key of every role, its ports, and what its core was told."""

    def __init__(self) -> None:
        self.pair = keys.generate()
        self.pairs = {role: keys.generate() for role in ALL}
        store = MemoryStore()
        for role, pair in self.pairs.items():
            if role != "nobody":
                state: Any = "accepted" if role == "revoked" else role
                store.apply([PutMinion(Minion(id=MinionId(role), key=pair.public, state=state, filed=NOON))], NOON)
        self.shell = Shell(store, store.snapshot(), Terms(master="us"), MasterClock(NOON), print)
        self.doors = Doors(self.shell)
        self.hub = ZmqHub("127.0.0.1", 0, 0, self.pair, self.doors, self.doors, self.doors,
                          HubLimits(handshakes_of_key=1000))
        self.shell.attach(self.hub, _NoHost())
        self.heard: list[tuple[str, str]] = []
        core, self._received = self.shell.core, self.shell.core.received
        core.received = self._listen  # type: ignore[method-assign]

    def _listen(self, connection: Any, minion: MinionId, message: Any, now: float) -> Any:
        self.heard.append((str(minion), type(message).__name__))
        return self._received(connection, minion, message, now)

    async def client(self, role: str, *, enrol: bool = False) -> RawClient:
        port = self.hub.enrol_port if enrol else self.hub.port
        return await asyncio.to_thread(RawClient, port, self.pair.public, self.pairs[role], {})

    async def revoked(self) -> RawClient:
        """A connection that was let in, spoke, and whose key was then rejected."""
        client = await self.client("revoked")
        client.send(encode(SAMPLES["Hello"]))
        await until_async(lambda: self.heard, "its hello")
        _, effects = self.shell.core.keys.reject([self.pairs["revoked"].public])
        await self.shell.committed(effects)
        self.heard.clear()
        return client

    async def settle(self) -> None:
        """Let a member say something: what others sent before it has arrived by then."""
        client = await self.client("accepted")
        count = len(self.heard)
        client.send(encode(messages.Ping(n=0)))
        await until_async(lambda: len(self.heard) > count, "the ping")
        assert self.heard.pop() == ("accepted", "Ping")
        client.close()


class _NoHost:
    def deliver(self, message: Message) -> None: ...
    def restart(self) -> None: ...


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        try:
            await story(world)
        finally:
            world.hub.close()
            await world.shell.close()

    asyncio.run(run())


# every handler has its row


def test_every_message_has_a_row() -> None:
    known = {kind.__name__ for kind in _kinds(Message)}
    assert known == MAIN_PORT.keys() == ENROLMENT_PORT.keys() == SAMPLES.keys()
    decoded = {kind.__name__ for kind in get_args(FromMinion)}
    assert decoded == {name for name, roles in MAIN_PORT.items() if roles}
    assert {kind.__name__ for kind in get_args(FromMaster)} <= known


def _kinds(base: type[Message]) -> Iterator[type[Message]]:
    """Every message there is: what is no base of others."""
    for kind in base.__subclasses__():
        yield from _kinds(kind) if kind.__subclasses__() else [kind]


def test_every_verb_has_a_row() -> None:
    assert MASTER_VERBS.keys() == verbs().table.keys()
    assert MINION_VERBS.keys() == Calls(MinionId("m1"), Any, 1.0).table.keys()  # type: ignore[arg-type]


def test_every_function_and_runner_has_a_row() -> None:
    table = load({"packages": [FUNCTIONS]}).table
    names = table.keys() - ALIASES.keys()
    assert {name for name in names if table[name]["inline"]} == INSIDE_THE_AGENT
    assert names - INSIDE_THE_AGENT == IN_A_PROCESS
    assert all(table[alias] == table[meant] for alias, meant in ALIASES.items())
    found = {f"{module}.{name.removesuffix('_')}" for module in ("jobs", "manage", "schedule")
             for name, function in vars(importlib.import_module(f"runners.{module}")).items()
             if inspect.isfunction(function) and not name.startswith("_")
             and function.__module__ == f"runners.{module}"}
    assert found == set(registry.BUILT_IN)


def test_every_state_of_a_key_is_a_role() -> None:
    assert {*get_args(KeyState), "nobody", "revoked"} == ALL | {"next"}, "a next key admits its minion: R-B37"


# the main port


def test_a_member_is_heard_and_only_in_the_words_of_a_minion() -> None:
    async def story(world: World) -> None:
        client = await world.client("accepted")
        for name, roles in MAIN_PORT.items():
            if "accepted" in roles:
                client.send(encode(SAMPLES[name]))
        said = [("accepted", name) for name, roles in MAIN_PORT.items() if roles]
        await until_async(lambda: len(world.heard) >= len(said), "all that it says")
        client.close()
        assert world.heard == said
        world.heard.clear()
        for name, roles in MAIN_PORT.items():
            if not roles:
                client = await world.client("accepted")
                client.send(encode(SAMPLES[name]))
                assert await asyncio.to_thread(client.ended), name
                client.close()
        assert world.heard == []

    play(story)


@pytest.mark.parametrize("role", ["nobody", "pending", "rejected", "quarantined"])
def test_who_is_no_member_is_not_even_greeted(role: str) -> None:
    async def story(world: World) -> None:
        with contextlib.suppress(ConnectionError):  # a refusal may be a word, or the end of the connection
            client = await world.client(role)
            assert not client.ready
            client.close()
        await world.settle()
        assert all(role not in roles for roles in MAIN_PORT.values())
        assert world.heard == []

    play(story)


def test_who_is_no_member_any_more_is_cut_while_it_speaks() -> None:  # R-A12
    async def story(world: World) -> None:
        client = await world.revoked()
        for name in MAIN_PORT:
            with contextlib.suppress(OSError):
                client.send(encode(SAMPLES[name]))
        assert await asyncio.to_thread(client.ended)
        client.close()
        await world.settle()
        assert world.heard == []
        with contextlib.suppress(ConnectionError):
            again = await world.client("revoked")
            assert not again.ready
            again.close()

    play(story)


# the enrolment port


@pytest.mark.parametrize("role", sorted(ALL))
def test_anybody_may_claim_and_do_nothing_else(role: str) -> None:
    async def story(world: World) -> None:
        if role == "revoked":
            (await world.revoked()).close()
        rows = {row.key: row.state for row in world.shell.core.keys.rows()}
        client = await world.client(role, enrol=True)
        for name in ENROLMENT_PORT:
            if name != "Enrol":
                client.send(encode(SAMPLES[name]))
        client.send(encode(messages.Enrol(id=MinionId(role), version="1")))
        answer = enrolled.decode(await asyncio.to_thread(client.receive))
        assert answer.status == ANSWERS[role]
        client.close()
        await world.settle()
        assert world.heard == []
        assert {row.key: row.state for row in world.shell.core.keys.rows()} == {
            world.pairs["nobody"].public: "pending", **rows} if role == "nobody" else rows

    play(story)


# the control sockets


def verbs() -> Verbs:
    store = MemoryStore()
    shell = Shell(store, store.snapshot(), Terms(master="us"), MasterClock(NOON), print)
    return Verbs(shell, Surroundings(
        defaults=Defaults(start_within=300, grace=10), runners=lambda: [],
        no_runner=lambda name: f"cannot run {name!r}", join=lambda token, address: token, keys=dict,
        explain=dict, fingerprint=lambda key: key, status=dict))


@pytest.mark.parametrize("verb", sorted(MASTER_VERBS.keys() | MINION_VERBS.keys()))
@pytest.mark.parametrize("user", USERS)
def test_a_verb_is_for_the_owner_and_root(monkeypatch: pytest.MonkeyPatch, verb: str, user: str) -> None:
    monkeypatch.setattr(control_server.os, "geteuid", lambda: OWNER)
    caller = Caller(USERS[user], user, 1)
    if user in (MASTER_VERBS | MINION_VERBS)[verb]:
        owner_only(caller, verb)
    else:
        with pytest.raises(DeniedError, match=f"cannot do {verb}: {user} may not"):
            owner_only(caller, verb)


def test_every_request_is_authorised_before_it_is_handled(tmp_path: Path) -> None:  # S6
    asked: list[str] = []

    def nobody(caller: Caller, verb: str) -> None:
        asked.append(verb)
        raise DeniedError(f"cannot do {verb}: nobody may")

    async def handle(*_: Any) -> dict[str, Any]:
        raise AssertionError("handled")

    names = [*MASTER_VERBS, "call", "__init__", ""]
    with serving(tmp_path / "s", handle, authorise=nobody), Control(tmp_path / "s") as client:
        for verb in names:
            with pytest.raises(DeniedError):
                client.ask(verb)
    assert asked == names
    assert inspect.signature(ControlServer).parameters["authorise"].default is owner_only


# garbage names


def _attributes(*things: Any) -> set[str]:
    """Every name that Python itself would find on these, alone and behind one another."""
    plain = {name for thing in things for name in dir(thing)}
    return {*plain, *(f"{name}.__init__" for name in plain), *(f"table.{name}" for name in plain), "__class__.__mro__",
            "__init__.__globals__", "self.table"}


def _names() -> Iterator[str]:
    yield from sorted(_attributes(Verbs, verbs(), Calls, Doors, Core, Shell, Handle, ZmqHub, ControlServer, object))
    yield from BAD_IDS


class Named(NamedTuple):
    """A module that has functions, and what else Python finds in it."""

    name: str
    attributes: set[str]


def _modules() -> list[Named]:
    found = []
    for name in sorted({entry.partition(".")[0] for entry in INSIDE_THE_AGENT | IN_A_PROCESS}):
        module = importlib.import_module(f"{FUNCTIONS}.{name}")
        more = {f"{attribute}.{inner}" for attribute in dir(module) for inner in dir(getattr(module, attribute))}
        found.append(Named(name, {*dir(module), *more}))
    return found


def test_no_attribute_is_a_verb() -> None:
    async def refuse(item: Any) -> None:
        raise AssertionError(f"answered with {item}")

    async def story() -> None:
        doors = verbs(), Calls(MinionId("m1"), Any, 1.0)  # type: ignore[arg-type]
        tried = 0
        for name in _names():
            for door in doors:
                if name not in door.table:
                    tried += 1
                    with pytest.raises(UsageError, match="knows no such verb"):
                        await door.handle({"v": 1, "verb": name}, Caller(0, "root", 1), refuse)
        assert tried > 500

    asyncio.run(story())


def test_no_attribute_is_a_function_or_a_runner() -> None:
    loaded = load({"packages": [FUNCTIONS]})
    planner = TablePlanner(lambda: loaded.table, dict)
    names = {f"{module.name}.{attribute}" for module in _modules() for attribute in module.attributes}
    names |= {*_names(), "os.system", "builtins.eval", "cmd", "cmd.", ".run", "cmd..run", "cmd.run.", "cmd.run\0",
              "CMD.run", "cmd.Run", "cmd/run", "minion.functions.cmd.run", "functions.cmd.run", "cmd.exec_"}
    names -= loaded.table.keys()
    assert len(names) > 2000
    for name in names:
        with pytest.raises(NotFoundError, match=r"^cannot call "):
            planner.plan(JobFields(function=name, user="ann"))
        assert registry.find(name) is None
        with pytest.raises(NotFoundError):
            registry.load(name)


@pytest.mark.parametrize("verb", ["publish", "run"])
@pytest.mark.parametrize("name", [["cmd", "run"], {"cmd": "run"}, 1, None, True, b"cmd.run", [["cmd.run"]], ""])
def test_a_name_is_text(verb: str, name: Any) -> None:
    async def refuse(item: Any) -> None:
        raise AssertionError(f"answered with {item}")

    async def story() -> None:
        body = {"v": 1, "verb": verb, "function": name, **({"target": "*"} if verb == "publish" else {})}
        with pytest.raises(JrError, match=r"^cannot use function: "):
            await verbs().handle(body, Caller(0, "root", 1), refuse)

    asyncio.run(story())


def test_the_wire_knows_no_other_kind() -> None:
    for kind in ("", "message", "__init__", "Hello", "hello ", "hello\0", "fromminion", "struct", 1, None, ["hello"]):
        for decoder in (codec.from_minion, codec.from_master, codec.enrol, codec.enrolled):
            with pytest.raises(codec.CodecError):
                decoder.decode(codec.pack({"v": 1, "kind": kind}))

