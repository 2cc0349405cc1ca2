"""Makes trouble: a stream of commands from one seed. What it does depends on nothing but that seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

ROUNDS = (20, 120)
"""Commands of one world, at least and at most, beside the waiting between them."""


ROTATIONS = 4
"""Of so many worlds, one replaces keys."""
ROTATED = 0.07
"""The chance of each round there."""
NAMES = ("wall", "rhythm", "next")
"""The entries of a schedule."""
EDITED = 0.04
"""The chance of each round that somebody does something about a schedule."""
CLONES = 5
"""Of so many worlds, one has machines that share a key."""


class Nemesis:
    """One seed's plan."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"nemesis {seed}")
        self.minions = self._chance.choice([2, 3, 3, 4, 5, 8])
        self.max_jobs = self._chance.choice([0, 0, 1, 2])
        self.lost_after = self._chance.choice([40.0, 120.0, 600.0])
        self._jobs: list[str] = []
        self._clones = seed % CLONES == CLONES - 1
        self._twins: list[str] = []
        self._plans = random.Random(f"plans {seed}")
        # Whose key is replaced has it alone from then on, and worlds have an alarm for those who share one.
        self._rotates = not self._clones and seed % ROTATIONS == 0
        self.scheduled = self._plans.choice([0, 0, 0, 1, 1, 2])

    def commands(self) -> Iterator[str]:
        """Everything that befalls the world, up to its healing."""
        chance = self._chance
        for number in range(1, self.scheduled + 1):
            yield from self._entries(f"m{number}")
        yield f"wait {chance.choice([0.05, 3])}"
        if chance.random() < 0.7:
            rates = [chance.choice([0.0, 0.02, 0.1, 0.3]) for _ in range(3)]
            yield "weather " + " ".join(f"{rate:g}" for rate in rates)
        if chance.random() < 0.3:
            yield f"deaf {chance.choice([0.2, 1])}"
        for _ in range(chance.randint(*ROUNDS)):
            if chance.random() < 0.1:
                yield from self._bounce()
            if self._rotates and self._plans.random() < ROTATED:
                yield self._plans.choice(["rekey", f"rotate m{self._plans.randint(1, self.minions)}"])
            yield self._order() if chance.random() < 0.45 else self._trouble()
            if self.scheduled and self._plans.random() < EDITED:
                yield self._edit()
            if chance.random() < 0.8:
                yield f"wait {self._pause():.3f}"
            if chance.random() < 0.35:
                yield f"start {self._party()}"
        yield "settle"

    def _entries(self, minion: str) -> Iterator[str]:
        """A schedule: by the clock on the wall, by an interval, a chain, a run that is tried again."""
        chance = self._plans
        for name in NAMES[:chance.randint(1, 2)]:
            trigger = {"wall": [f"cron */{chance.choice([2, 2, 3])}_*_*_*_*", "every 110 anchor 2023-11-14T22:13:20Z"],
                       "rhythm": [f"every {chance.choice([90, 130])}", "every 120 base end"]}[name]
            words = [chance.choice(trigger), f"overlap {chance.choice(['skip', 'queue', 'kill'])}",
                     f"catch_up {chance.choice(['none', 'last', 'all'])}"]
            words += [f"start_deadline {chance.choice([5, 60])}"] if chance.random() < 0.3 else []
            words += [f"splay {chance.choice([3, 20])}"] if chance.random() < 0.2 else []
            words += ["then next"] if chance.random() < 0.4 else []
            words += ["exit 3 retries 2 retry_delay 4 on_failure next"] if chance.random() < 0.3 else []
            yield f"entry {minion} {name} {chance.choice([0.01, 2, 20, 150])} {' '.join(words)}"
        yield f"entry {minion} next {chance.choice([0.01, 5])} overlap queue exit {chance.choice([0, 3])} retries 1"

    def _edit(self) -> str:
        """Somebody does something about a schedule."""
        chance = self._plans
        minion, name = f"m{chance.randint(1, self.scheduled)}", chance.choice(NAMES)
        verbs = [f"run {minion} {name}", f"hold {minion}", f"release {minion}"]
        return chance.choice([*verbs, *verbs, f"unplan {minion} {name}"])

    def _bounce(self) -> Iterator[str]:
        """A party dies in the middle of new work, is back at once, and is asked to stop that work."""
        party, name = self._party(), f"J{len(self._jobs) + 1}"
        self._jobs.append(name)
        yield f"publish * {self._chance.choice([0.5, 4])} within 20 as {name}"
        yield f"wait {0.1 * self._chance.random():.3f}"
        yield f"crash {party}"
        yield f"start {party}"
        yield f"wait {0.1 * self._chance.random():.3f}"
        yield f"stop {name} {self._chance.choice(['term', 'kill'])}"

    def _order(self) -> str:
        chance = self._chance
        what = chance.choice(["publish"] * 5 + ["read", "write", "begin", "begin", "stop", "stop", "stop", "here"])
        if what == "stop" and self._jobs:
            minion = f" {self._own()}" if chance.random() < 0.3 else ""
            return f"stop {chance.choice(self._jobs[-3:])} {chance.choice(['term', 'kill', 'kill', 'signal'])}{minion}"
        if what == "here" and self._jobs:
            return f"here {self._minion()} {chance.choice(self._jobs[-3:])} {chance.choice(['term', 'kill', 'signal'])}"
        name = f"J{len(self._jobs) + 1}"
        self._jobs.append(name)
        within = f"within {chance.choice([0.5, 3, 20, 60])} as {name}"
        target = chance.choice(["*", "*", self._own()])
        if what in ("read", "write"):
            return f"{what} {target} {within}"
        code = f"exit {chance.choice([0, 0, 3])}"
        limit = f" timeout {chance.choice([1, 5])}" if chance.random() < 0.2 else ""
        seconds = chance.choice([0.01, 0.5, 4, 15])
        if what == "begin":
            return f"begin {self._own()} {seconds} {code}{limit} {within}"
        return f"publish {target} {seconds} {code}{limit} {within}"

    def _trouble(self) -> str:
        chance = self._chance
        if self._clones and chance.random() < 0.15:
            return self._clone()
        what = chance.choice([
            "crash", "crash", "crash", "reboot", "orphan", "freeze", "cut", "part", "clock", "slow", "full", "fail",
            "forget", "key"])
        match what:
            case "crash":
                return f"crash {self._party()} {chance.choice([0, 1, 2, 3, 5, 8, 13, 30, 80])}"
            case "freeze" | "slow" | "clock":
                seconds = {"freeze": [0.5, 10, 60], "slow": [0.002, 0.2, 3], "clock": [3600, -3600, -86400, 3e8, 5]}
                return f"{what} {self._party()} {chance.choice(seconds[what])}"
            case "part" | "full":
                return f"{what} {self._minion()} {chance.choice([1, 12, 50, 100])}"
            case "orphan":
                return f"orphan {chance.choice(self._jobs[-3:] or ['J1'])} {self._minion()}"
            case "fail":
                return f"fail {chance.choice(['master', 'master', self._minion()])}"
            case "forget":
                return "forget"
            case "key":
                return f"{chance.choice(['reject', 'accept', 'accept', 'delete'])} {self._own()}"
        return f"{what} {self._minion()}"

    def _pause(self) -> float:
        return self._chance.choice([0.002, 0.03, 0.03, 0.1, 0.5, 4, 20, 50]) * self._chance.random()

    def _clone(self) -> str:
        """A copy of the key alone, or with as many starts behind it as its machine may have."""
        minion = self._own()
        self._twins.append(f"{minion}-twin")
        return f"clone {minion} {self._chance.choice([0, 1, 2, 5])}"

    def _minion(self) -> str:
        return self._chance.choice(self._twins) if self._twins and self._chance.random() < 0.3 else self._own()

    def _own(self) -> str:
        return f"m{self._chance.randint(1, self.minions)}"

    def _party(self) -> str:
        return "master" if self._chance.random() < 0.35 else self._minion()
