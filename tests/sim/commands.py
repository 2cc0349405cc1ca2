"""What can befall a simulated world, as commands in words: the lines of a transcript that begin with `>`.

    publish TARGET SECONDS [exit N] [within S] [timeout S] [as NAME]     a job with a payload
    read TARGET | write TARGET  [within S] [as NAME]   inline functions: one that leaves no record, one that does
    begin MINION SECONDS [exit N] [within S] [as NAME]                   a job that a minion's schedule begins
    entry MINION NAME SECONDS [exit N] [KEY VALUE]...        an entry of its schedule; `_` in a value is a space
    unplan MINION NAME | run MINION NAME                     no such entry any more | begin it by hand
    hold MINION | release MINION                             nothing of its schedule begins, until released
    stop JOB term|kill|signal [MINION]     from the master · here MINION JOB term|kill|signal   on that host
    crash PARTY [STEPS]      SIGKILL, now or after so many effects       start PARTY
    reboot MINION            the power fails                             orphan JOB MINION   its supervisor is killed
    freeze PARTY SECONDS     SIGSTOP, and CONT after so long             cut MINION     its line breaks
    part MINION SECONDS      nothing passes, nobody is told              clock PARTY SECONDS   its wall clock steps
    slow PARTY SECONDS       so long takes a commit from here on         full MINION SECONDS   its disk is full
    fail PARTY               its next commit fails                       forget         the next two recalls fail
    weather LOST TWICE LATE  chances of each message                     deaf CHANCE    notices of supervisors get lost
    reject|accept|delete MINION                                          wait SECONDS
    rotate MINION            it is asked for a new key                   rekey      the master's key, in two steps
    clone MINION [STARTS]    another machine begins with its key, and so many starts behind it: MINION-twin
    settle                   all faults end, and everything must heal (P9)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from common.codec import pack
from common.errors import JrError
from common.ids import Jid, MinionId
from common.messages import NO_SECRETS, JobFields
from common.proc.record import StopRequest
from master.core import effects as do
from master.core.wishes import StopWish, Wish
from tests.sim.minion import READ, RUN, WRITE, SimMinion
from tests.sim.network import Weather
from tests.sim.process import Process
from tests.sim.truth import SECRETS
from tests.sim.world import World

WITHIN = 300.0
SIGNALS = {"term": 15, "kill": 9, "signal": 10}


class Commands:
    """Plays commands on one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, Jid] = {}
        self._verbs: dict[str, Callable[[list[str]], None]] = {
            "publish": self._publish, "read": self._publish, "write": self._publish, "begin": self._begin,
            "entry": self._entry, "unplan": self._unplan,
            **dict.fromkeys(("run", "hold", "release"), self._ask),
            "stop": self._stop, "here": self._stop_here, "orphan": self._orphan, "forget": self._forget,
            "rotate": lambda words: world.master.rotate(MinionId(words[1])), "rekey": lambda _: world.master.rekey(),
            "reject": self._key, "accept": self._key, "delete": self._key,
            **dict.fromkeys(("crash", "start", "freeze", "clock", "slow", "fail"), self._party),
            **dict.fromkeys(("reboot", "cut", "part", "full"), self._minion),
            "clone": self._clone, "weather": self._weather, "deaf": self._deaf,
            "wait": lambda words: world.run(float(words[1])), "settle": lambda _: world.settle(),
        }

    def play(self, line: str) -> None:
        """One command. Raises Broken when a promise was broken by it, or on the way."""
        self.world.transcript.append(f"> {line}")
        words = line.split()
        try:
            self._verbs[words[0]](words)
        except JrError as error:
            self.world.say(f"cannot {words[0]}: {error}")
        self.world.touched |= {self.world.master, *self.world.minions.values()}
        self.world.verify()

    # jobs

    def _publish(self, words: list[str]) -> None:
        world = self.world
        if not world.master.alive:
            world.say("nobody answers")
            return
        function = {"publish": RUN, "read": READ, "write": WRITE}[words[0]]
        options = _options(words, 2 if words[0] in ("read", "write") else 3)
        name = options.get("as", f"J{len(world.names) + 1}")
        wish = Wish(fields=_fields(function, words, options), target=words[1], target_type="glob",
                    start_within=float(options.get("within", WITHIN)),
                    secrets=SECRETS if function == RUN else NO_SECRETS)
        world.master.publish(wish, lambda jid: self._call(jid, name))

    def _begin(self, words: list[str]) -> None:
        minion = self._find(words[1])
        if minion.host is None:
            return
        options = _options(words)
        within = float(options.get("within", WITHIN))
        name = options.get("as", f"J{len(self.world.names) + 1}")
        jid = minion.begin(_fields(RUN, words, options), within)
        self.world.truth.begins(jid, minion, within)
        self._call(jid, name)

    def _entry(self, words: list[str]) -> None:
        minion, options = self._find(words[1]), _options(words, 4)
        args = [float(words[3]), int(options.pop("exit", 0))]
        fields = {key: _value(value) for key, value in options.items()}
        minion.write_entries({**minion.files.written, words[2]: {"function": RUN, "args": args, **fields}})

    def _unplan(self, words: list[str]) -> None:
        minion = self._find(words[1])
        minion.write_entries({name: fields for name, fields in minion.files.written.items() if name != words[2]})

    def _ask(self, words: list[str]) -> None:
        self._find(words[1]).ask_schedule({
            "run": lambda desk: desk.run(words[2], "ann"), "hold": lambda desk: desk.hold("ann"),
            "release": lambda desk: desk.release()}[words[0]])

    def _call(self, jid: Jid, name: str) -> None:
        self.world.names[jid] = name
        self.jobs[name] = jid

    def _stop(self, words: list[str]) -> None:
        world = self.world
        if world.master.alive and words[1] in self.jobs:
            minions = [MinionId(words[3])] if len(words) > 3 else None
            done = world.master.stop(StopWish(
                stop=self._stop_id(), jid=self.jobs[words[1]], how=words[2], signal=SIGNALS[words[2]], grace=2.0,
                by="ann", minions=minions))
            world.say("stop: " + " ".join(f"{minion}={outcome}" for minion, outcome in done.items()))

    def _stop_here(self, words: list[str]) -> None:
        minion, how = self._find(words[1]), words[3]
        if minion.host is not None and words[2] in self.jobs:
            request = StopRequest(stop=self._stop_id(), how=how, signal=SIGNALS[how],  # type: ignore[arg-type]
                                  grace=2.0, by="bob", at=minion.now().wall)
            self.world.say(f"stop: {minion.id}={minion.stop_job(self.jobs[words[2]], request)}")

    def _stop_id(self) -> str:
        return f"s{len(self.world.transcript)}"

    def _orphan(self, words: list[str]) -> None:
        if words[1] in self.jobs:
            self._find(words[2]).machine.kill_supervisor(self.jobs[words[1]])

    # parties

    def _party(self, words: list[str]) -> None:
        party: Process = self.world.master if words[1] == "master" else self._find(words[1])
        number = float(words[2]) if len(words) > 2 else None
        match words[0]:
            case "crash" if number is not None:
                party.crash_in = int(number)
            case "crash":
                party.die()
            case "start":
                party.start()
            case "freeze" if number is not None:
                party.frozen_until = self.world.time + number
            case "slow" if number is not None:
                party.disk_seconds = (number / 2, number)
            case "fail":
                party.fail_commits = 1
            case "clock" if number is not None:
                party.step_clock(number)

    def _minion(self, words: list[str]) -> None:
        minion, network = self._find(words[1]), self.world.network
        match words[0]:
            case "reboot":
                minion.power_off()
            case "cut":
                network.cut(minion)
            case "part":
                network.part(minion.name)
                self.world.at(float(words[2]), lambda: network.join(minion.name))
            case "full":
                minion.machine.full_until = self.world.time + float(words[2])

    def _clone(self, words: list[str]) -> None:
        self.world.clone(MinionId(words[1]), int(words[2]) if len(words) > 2 else 0)

    def _find(self, name: str) -> SimMinion:
        return self.world.minions[MinionId(name)]

    # the rest

    def _key(self, words: list[str]) -> None:
        core = self.world.master.core
        if core is None:
            return
        keys = [row.key for row in core.keys.of(MinionId(words[1])) if row.state != "next"]
        effects: list[do.Effect]
        if words[0] == "accept":
            _, _, effects = core.accept_keys(keys)
        else:
            master = self.world.master
            _, effects = core.delete_keys(keys, master.now()) if words[0] == "delete" else core.keys.reject(keys)
        self.world.master.submit(effects)

    def _weather(self, words: list[str]) -> None:
        lost, twice, late = map(float, words[1:4])
        self.world.network.weather = Weather(lost=lost, twice=twice, late=late)

    def _deaf(self, words: list[str]) -> None:
        self.world.notices_lost = float(words[1])

    def _forget(self, words: list[str]) -> None:
        self.world.master.fail_recalls = 2


def _value(text: str) -> Any:
    """Of a field: a number, or text."""
    return int(text) if text.isdecimal() else text.replace("_", " ")


def _options(words: list[str], first: int = 3) -> dict[str, str]:
    """`key value` pairs after the positional words."""
    return dict(zip(words[first::2], words[first + 1::2], strict=True))


def _fields(function: str, words: list[str], options: dict[str, str]) -> JobFields:
    args = [float(words[2]), int(options.get("exit", 0))] if function == RUN else []
    timeout = float(options["timeout"]) if "timeout" in options else None
    return JobFields(function=function, args=Raw(pack(args)), user="ann", timeout=timeout)
