"""`jr-run schedule.simulate` and `schedule.explain`: of files with no master at all, and of a fleet as it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.control_server import Body, Caller, Reply
from common.errors import NotFoundError
from common.schedule.engine.splay import offset
from master.cli.jr_run import command
from tests.lib.commands import Ended, run
from tests.lib.control import serving

FILE = """\
schedule:
  nightly: {function: cmd.run, args: [backup], at: "02:30", timezone: Europe/Berlin}
  reindex: {function: cmd.run, every: 30m, during: night, splay: 5m}
periods:
  night: {"monday - sunday": "22:00-06:00", timezone: Europe/Berlin}
"""
DAY = ("from=2026-06-01T12:00+02:00", "days=1")
SPRING = ("from=2026-03-28T00:00+01:00", "days=2")


class Here:
    """Runs `jr-run` on a root where no master is."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        return run(self._capsys, command, "--root", str(self.root), *words)

    def simulate(self, text: str, *words: str, code: int = 0) -> Any:
        (self.root / "s.yaml").write_text(text)
        ended = self("-o", "json", "schedule.simulate", f"file={self.root / 's.yaml'}", *words)
        assert ended.code == code, ended
        return json.loads(ended.out)


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(tmp_path, capsys)


def test_a_file_is_looked_at_without_a_master(here: Here) -> None:  # B07
    told = here.simulate(FILE, *SPRING)
    nightly, reindex = told["entries"]
    assert nightly["next"] == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"]
    assert nightly["warnings"] == ["2026-03-29: 02:30 does not exist, it runs at 03:00 +02:00"]
    assert (reindex["members"], reindex["runs"], told["problems"]) == (["s.yaml"], 32, [])
    ended = here("schedule.simulate", f"file={here.root / 's.yaml'}", *SPRING)
    assert (ended.code, ended.err.strip()) == (0, "jr-run: no problems in 2 entries")
    assert "02:30 does not exist" in ended.out


@pytest.mark.parametrize(("entry", "words", "problem"), [
    ("{function: a.b, at: '12:00', during: night}", (), "none of its times lies in its window"),
    ("{function: a.b, calendar: {year: 2025}}", (), "none of its times"),
    ("{function: a.b, every: 5m}", ("took.bad=6m",), "one usually takes 6 minutes, so 288 of 576 are skipped"),
    ("{function: a.b, at: '12:00', then: reindx}", (), "then names 'reindx', and there is no such entry; did you mean"),
    ("{function: a.b, every: 5x}", (), "s.yaml line 2: schedule 'bad': every"),
    ("{function: a.b, cron: '* * * * *', at: '12:00'}", (), "s.yaml line 2: schedule 'bad'"),
])
def test_what_is_wrong_fails_a_pipeline(here: Here, entry: str, words: tuple[str, ...], problem: str) -> None:  # B07
    told = here.simulate(FILE.replace("schedule:\n", f"schedule:\n  bad: {entry}\n"), *SPRING, *words, code=1)
    (found,) = told["problems"]
    assert problem in found


def test_a_folder_is_looked_at_as_the_daemon_does(here: Here) -> None:  # B07
    folder = here.root / "schedule.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("one: {function: a.b, every: 1h, during: night}\n")
    (folder / "b.yaml").write_text(FILE)
    for path in (folder, here.root):
        ended = here("-o", "json", "schedule.simulate", f"file={path}", *SPRING)
        assert ended.code == 0, ended
        assert [entry["name"] for entry in json.loads(ended.out)["entries"]] == ["one", "nightly", "reindex"]
    ended = here("-o", "json", "schedule.simulate", f"file={folder}", "name=n*", *SPRING)
    assert [entry["name"] for entry in json.loads(ended.out)["entries"]] == ["nightly"]


@pytest.mark.parametrize(("words", "code", "said"), [
    (["file=/no/such"], 2, "there is no such file"), (["fil=x"], 2, 'did you mean "file"?'),
    (["days=0"], 2, "from 0 to 400 days"), (["from=soon"], 2, "cannot read the time 'soon'"),
    (["took.x=long"], 2, "cannot simulate with took.x=long"), ([], 5, "jr-master"),
    (["from=9999-12-31", "days=1"], 2, "from 1970 to 8999"), (["from=8999-12-31", "days=2"], 2, "1970 to 8999"),
    (["from=1969-01-01"], 2, "from 1970 to 8999"), (["days=401"], 2, "from 0 to 400 days"),
])
def test_what_cannot_be_simulated(here: Here, words: list[str], code: int, said: str) -> None:  # B07
    ended = here("schedule.simulate", *words)
    assert (ended.code, said in ended.err) == (code, True), ended


def test_explained_without_a_master(here: Here) -> None:  # B07
    ended = here("schedule.explain", "*/5 9-17 * * 1-5")
    first, *more = ended.out.splitlines()
    assert first.startswith("every 5 minutes from 09:00 to 17:55, on Monday to Friday (")
    assert len([line for line in more if line.startswith("  20")]) == 5
    told = json.loads(here("-o", "json", "schedule.explain", "{every: 5m, base: end}", "count=2").out)
    assert told["explained"][0] == "every 5 minutes, counted from the end of the last run"
    assert len(told["next"]) == 2
    (here.root / "s.yaml").write_text(FILE)
    told = json.loads(here("-o", "json", "schedule.explain", "reindex", f"file={here.root / 's.yaml'}").out)
    assert "only inside the period night" in told["explained"]
    assert "no period nope" in here("schedule.explain", "{every: 5m, during: nope}").out
    assert here("schedule.explain", "1 2 3").err.startswith(
        "jr-run: cannot read the cron expression '1 2 3': wrong number of fields: it has 3; it takes minute, hour")
    assert here("schedule.explain", "nightli", f"file={here.root / 's.yaml'}").code == 3
    assert here("schedule.explain", "{").code == 2


def test_names_that_match_nothing_are_not_there(here: Here) -> None:  # B07
    path = here.root / "s.yaml"
    path.write_text(FILE.replace("schedule:\n", "schedule:\n  bad: {function: a.b, every: 5x}\n  worse: 7\n"))
    for word, said in (("name=zzz", "cannot find an entry 'zzz'"), ("took.nightyl=5m", 'did you mean "nightly"?')):
        ended = here("schedule.simulate", f"file={path}", word)
        assert (ended.code, said in ended.err) == (3, True), ended
    assert here("schedule.simulate", f"file={path}", "name=nightly", "took.nightly=1m").code == 0
    for name, count in (("bad", 1), ("worse", 1), ("*", 2)):
        ended = here("-o", "json", "schedule.simulate", f"file={path}", f"name={name}")
        assert (ended.code, len(json.loads(ended.out)["problems"])) == (1, count), ended


def test_what_is_finished_is_shown_and_no_problem(here: Here) -> None:  # B07
    (here.root / "s.yaml").write_text("over: {function: a.b, once: '2020-01-01T00:00'}\n")
    ended = here("schedule.simulate", f"file={here.root / 's.yaml'}")
    assert (ended.code, "finished: its time was 2020-01-01T00:00" in ended.out) == (0, True), ended


# a fleet


PERIODS = {"periods": {"night": {"monday - sunday": "22:00-06:00"}}, "timezone": "Europe/Berlin"}
ROWS = [{"name": "reindex", "function": "cmd.run", "kwargs": {"env": "***"}, "secret": ["env"], "every": "5m",
         "during": ["night"], "splay": "10m", "enabled": True, "status": "scheduled", "next": 5.0, "runs": 7},
        {"name": "done", "function": "test.ping", "at": ["03:00"], "max_runs": 3, "runs": 3},
        {"name": "bad", "origin": "x.yaml line 3", "broken": "cannot use x.yaml line 3: no"}]
OWN = [{"name": "patch", "function": "cmd.run", "cron": "0 3 * * *", "target": "m*", "status": "scheduled", "runs": 1}]


async def fleet(request: Body, caller: Caller, reply: Reply) -> Body:
    """A master with three minions, one of which is away, and with past runs of `reindex`."""
    if request["verb"] == "publish":
        value = ROWS if request["function"] == "schedule.list" else PERIODS
        for id in ("m1", "m2"):
            await reply({"event": "pair", "minion": id, "pair": {"state": "succeeded", "return": value}})
        await reply({"event": "pair", "minion": "m3", "pair": {"state": "undelivered"}})
        return {}
    if request["verb"] == "presence":
        return {"minions": {"m1": {}, "m2": {}, "db1": {}}}
    if request["verb"] == "schedule":
        return {"answer": PERIODS if request["do"] == "periods" else OWN}
    if request["verb"] == "jobs":
        return {"jobs": [{"jid": "1"}, {"jid": "2"}] * (request["filter"] == {"schedule": "reindex"}), "next": None}
    assert request["verb"] == "watch", request
    await reply({"event": "pair", "minion": "m1", "pair": {"duration": 100.0 * int(request["jid"]), "pid": 7}})
    return {}


def test_a_fleet_with_its_past(here: Here) -> None:  # B07
    with serving(here.root / "run/jr/master.sock", fleet):
        ended = here("-o", "json", "schedule.simulate", *DAY)
        hours = here("-o", "json", "schedule.simulate", *DAY, "name=reindex", "took.reindex=6m")
    told = json.loads(ended.out)
    patch, reindex, done = told["entries"]
    assert (patch["members"], patch["runs"]) == (["master"], 1)
    assert (reindex["members"], reindex["zone"]) == (["m1", "m2"], "Europe/Berlin")
    assert reindex["durations"] == {"runs": 2, "usual": 100.0, "slow": 200.0, "longest": 200.0}
    assert reindex["runs"] == 96
    assert done["runs"] == 0
    assert told["load"]["starts"] == 2 * reindex["runs"] + 2
    assert offset("m1", "reindex", 600.0) != offset("m2", "reindex", 600.0)
    assert ended.code == 1
    assert told["problems"] == [
        "m1: cannot use x.yaml line 3: no", "m2: cannot use x.yaml line 3: no",
        "cannot ask m3 for its schedule: undelivered"]
    assert (done["finished"], reindex["finished"]) == ("it had its 3 runs", "")
    assert "its runs overlap" in json.loads(hours.out)["problems"][-1]


async def nobody(request: Body, caller: Caller, reply: Reply) -> Body:
    """A master without such minions."""
    raise NotFoundError("cannot publish: no minion matches")


def test_a_fleet_without_such_minions(here: Here) -> None:  # B07
    with serving(here.root / "run/jr/master.sock", nobody):
        ended = here("schedule.simulate", "minion=zzz")
    assert (ended.code, "cannot find a minion 'zzz'" in ended.err) == (3, True), ended
