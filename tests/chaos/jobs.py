"""Jobs that tell themselves how often they ran, and the check of what the master says against what they wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.control import Connection
from common.errors import JrError
from common.states import TERMINAL
from tests.chaos.members import Members
from tests.lib.wait import until

SETTLE_SECONDS = 120.0
"""Promise P9: two minutes after the last fault everything is complete, without a human."""
PAGE = 500
NEVER_RAN = frozenset({"undelivered", "refused"})
SCRIPT = 'echo "start $JR_STATE" >>{marker}; sleep {seconds:.2f}; echo "end $JR_STATE" >>{marker}; exit {code}'


class Work(NamedTuple):
    """One job as it was asked for. Its number stands in its metadata, so that it is known whatever its jid is."""

    number: int
    target: str
    seconds: float
    code: int


class Verdict(NamedTuple):
    """What became of all jobs."""

    lost: list[str]
    """Of jobs whose jid was printed: gone from the master, or with a pair that nobody knows the end of."""
    twice: list[str]
    """Pairs that ran more than once, by the jobs' own marks."""
    stateless: list[str]
    """Pairs without a terminal state."""
    wrong: list[str]
    """Pairs whose state or exit code is not what the job's own marks say."""
    states: Counter[str]

    @property
    def good(self) -> bool:
        """Whether nothing at all is to be said."""
        return not (self.lost or self.twice or self.stateless or self.wrong)

    def line(self) -> str:
        """The counts, in one line."""
        return (f"lost {len(self.lost)}, run twice {len(self.twice)}, "
                f"without a state {len(self.stateless)}")

    def details(self) -> str:
        """What is to be said, a line each."""
        kinds = {"lost": self.lost, "run twice": self.twice, "without a state": self.stateless, "wrong": self.wrong}
        return "\n".join(f"{kind}: {item}" for kind, items in kinds.items() for item in items)


class Book:
    """The jobs of one run: what was asked for, what was promised, and what the jobs wrote."""

    def __init__(self, members: Members, name: str = "all") -> None:
        """`name` tells the jobs of several books on one fleet apart."""
        self._members = members
        self._name = name
        self._folder = members.fleet.base / f"starts-{name}"
        self._folder.mkdir()
        self.works: dict[int, Work] = {}
        self.printed: dict[str, int] = {}
        """The numbers of the jobs whose jid was told, by jid."""
        self.known: set[str] = set()
        """The jids of this book that the master knew when it was asked for judgement."""
        self.unknown = 0
        """Requests whose answer never came: the job exists or not, and if it does it must end like any other."""

    def publish(self, connection: Connection, work: Work) -> str | None:
        """Ask for a job; its jid, or None when the answer never came. Raises JrError when the master is away."""
        self.works[work.number] = work
        line = SCRIPT.format(marker=self._folder / str(work.number), seconds=work.seconds, code=work.code)
        answer = connection.stream("publish", None, target=work.target, target_type="list", function="cmd.run",
                                   args=[line], kwargs={}, typed=False, follow=False,
                                   metadata={"book": self._name, "number": str(work.number)})
        try:
            jid = str(next(answer)["jid"])
            list(answer)
        except JrError:
            self.unknown += 1
            raise
        self.printed[jid] = work.number
        return jid

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until no job is open and no minion holds anything. Raises AssertionError when the time is over."""
        try:
            until(self.settled, seconds, "the end of all jobs")
        except AssertionError as error:
            with self._members.connection() as connection:
                active = connection.ask("active")["jobs"]
            raise AssertionError(f"{error}: {active}; held: {self.held()}\n{self._members.fleet.logs()}") from error

    def settled(self) -> bool:
        """Whether the master has no open job, and no host holds a record or an unacknowledged return."""
        try:
            with self._members.connection() as connection:
                if connection.ask("active")["jobs"]:
                    return False
        except JrError:
            return False
        return not self.held()

    def held(self) -> list[Path]:
        """Records and returns that lie on hosts."""
        return [path for member in self._members.all for name in ("proc", "spool")
                for path in (member.state / name).iterdir()]

    def marks(self, number: int, minion: str) -> Counter[str]:
        """What a job wrote on one minion: how many `start`, how many `end`."""
        path = self._folder / str(number)
        lines = path.read_text().splitlines() if path.exists() else []
        state = str(self._members.fleet.state(minion))
        return Counter(line.partition(" ")[0] for line in lines if line.partition(" ")[2] == state)

    def judge(self, *, supervisors_die: bool = False) -> Verdict:
        """Hold what the master says against what was promised and what the jobs wrote.

        With `supervisors_die` a job may end `lost`, or as its killed payload did: nobody lived to see its own end.
        """
        verdict = Verdict([], [], [], [], Counter())
        with self._members.connection() as connection:
            listed = {job["jid"]: job for job in _listed(connection, self._name)}
            self.known = set(listed)
            for jid in sorted(set(self.printed) - self.known):
                verdict.lost.append(f"{jid}: its jid was printed, and the master does not know it")
            for jid, job in listed.items():
                self._judge_job(verdict, connection, jid, self.works[int(job["metadata"]["number"])],
                                cut=supervisors_die)
        return verdict

    def _judge_job(self, verdict: Verdict, connection: Connection, jid: str, work: Work, *, cut: bool) -> None:
        pairs = {item["minion"]: item["pair"] for item in connection.stream("watch", None, jid=jid, follow=False)
                 if item.get("event") == "pair"}
        for minion in work.target.split(","):
            if minion not in pairs:
                verdict.lost.append(f"{jid} on {minion}: the master does not know this pair")
                continue
            pair, marks = pairs[minion], self.marks(work.number, minion)
            if cut and _cut_short(pair, marks):
                verdict.states[pair["state"]] += 1
            else:
                _judge_pair(verdict, f"{jid} on {minion}", work, pair, marks)


def _judge_pair(verdict: Verdict, name: str, work: Work, pair: dict[str, Any], marks: Counter[str]) -> None:
    state = pair["state"]
    verdict.states[state] += 1
    if marks["start"] > 1:
        verdict.twice.append(f"{name}: it wrote {dict(marks)}")
    if state not in TERMINAL:
        verdict.stateless.append(f"{name}: it is {state}, and wrote {dict(marks)}")
    elif state == "lost":
        verdict.lost.append(f"{name}: {pair['evidence']}, and it wrote {dict(marks)}")
    elif state in NEVER_RAN:
        if marks:
            verdict.wrong.append(f"{name}: it is {state}, and wrote {dict(marks)}")
    elif (state, pair["retcode"]) != ("failed" if work.code else "succeeded", work.code) or marks["end"] != 1:
        verdict.wrong.append(f"{name}: {state} with {pair['retcode']} of {work.code}, and wrote {dict(marks)}")


def _cut_short(pair: dict[str, Any], marks: Counter[str]) -> bool:
    """Whether this is a true word about a job whose supervisor or payload was killed."""
    never_twice = marks["start"] <= 1
    killed = pair["state"] == "failed" and marks["end"] == 0 and pair["retcode"] in (None, 137)
    return never_twice and bool((pair["evidence"] or {}).get("reason")) and (pair["state"] == "lost" or killed)


def _listed(connection: Connection, book: str) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = connection.ask("jobs", limit=PAGE, cursor=cursor, filter={"metadata": {"book": book}})
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return
