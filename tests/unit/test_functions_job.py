"""job.*, facts.*, sys.*, schedule.*: what they make of what the agent says. The agent here keeps its jobs in a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from common.choices import How
from common.errors import JrError
from common.functions import Agent, Failed, Job, ScheduleView, StopAnswer, Table, invoke
from common.ids import Jid, MinionId
from common.packing import pack
from common.proc.loader import load
from common.proc.record import JobRecord
from common.states import State

ONE, TWO, THREE, SELF, GONE, NEVER = (Jid(f"2026010203040512345{n}") for n in range(6))
FUNCTIONS = load({"packages": ["minion.functions"]})


def record(jid: Jid, state: State = State.RUNNING, **more: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "function": "cmd.run", "args": ["sleep 9"], "kwargs": {}, "user": "ann", "accepted": float(jid[-1]),
        "deadline_boot_id": "b", "deadline": 9.0, "start_by": 9.0, "args_packed": "", "kwargs_packed": "",
        "pid": 77 if state is State.RUNNING else None, **more,
    }
    known = set(JobRecord.__struct_fields__)
    return JobRecord(jid=jid, state=state, **{name: value for name, value in fields.items() if name in known})


class ListAgent:
    """An agent whose jobs are a list, and which answers as the real one does for each state."""

    id = MinionId("web1")

    def __init__(self, *records: JobRecord) -> None:
        self.records = list(records)
        self.asked: list[tuple[Jid, How, int, float | None, str]] = []
        self.failing = ""

    async def jobs(self) -> list[JobRecord]:
        return self.records

    async def stop(self, jid: Jid, how: How, signal: int, grace: float | None, by: str) -> StopAnswer:
        self.asked.append((jid, how, signal, grace, by))
        found = next((record for record in self.records if record.jid == jid), None)
        if self.failing:
            return {"was": "running", "outcome": "failed", "reason": self.failing}
        if found is None:
            return {"was": "finished" if jid == GONE else "unknown", "outcome": "ended", "reason": ""}
        if found.state is State.QUEUED:
            return {"was": "queued", "outcome": "failed" if how == "signal" else "cancelled", "reason": ""}
        return {"was": "running", "outcome": "signalled" if how == "signal" else "stopping", "reason": ""}

    def functions(self) -> Table:
        return FUNCTIONS.table

    @property
    def schedule(self) -> ScheduleView:
        raise JrError("cannot use the schedule: it is closed")

    def status(self) -> dict[str, Any]:
        return {"version": "1", "broken": {"greet": "it exits (3)"}}

    def facts(self) -> dict[str, Any]:
        return {"id": "web1", "memory": {"total": 5}, "addresses": ["::1", "::2"], "none": None}


@pytest.fixture
def agent() -> ListAgent:
    return ListAgent(record(TWO, State.QUEUED), record(ONE), record(SELF, function="job.kill_all_jobs", inline=True))


def run(name: str, agent: Agent, *args: Any, **kwargs: Any) -> Any:
    """Call it as the agent does."""
    job = Job(jid=SELF, function=name, user="bob")
    function: Callable[..., Any] = FUNCTIONS.functions[name]
    value = invoke(function, args, kwargs, agent=agent, job=job)

    async def wait() -> Any:
        return await value

    value = asyncio.run(wait()) if asyncio.iscoroutine(value) else value
    pack(value)  # it must be plain data
    return value


def fails(name: str, agent: Agent, *args: Any, **kwargs: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        run(name, agent, *args, **kwargs)
    return caught.value


class TestReading:  # S02
    def test_running(self, agent: ListAgent) -> None:
        jobs = run("job.running", agent)
        assert [job["jid"] for job in jobs] == [ONE, TWO, SELF]
        assert jobs[0] == {
            "jid": ONE, "function": "cmd.run", "args": ["sleep 9"], "kwargs": {}, "user": "ann", "state": "running",
            "schedule": None, "accepted": 0.0, "started": None, "pid": 77, "timeout": None}
        assert (jobs[1]["state"], jobs[1]["pid"]) == ("queued", None)
        assert {type(job[field]) for job in jobs for field in ("jid", "state")} == {str}

    def test_nothing_runs(self) -> None:
        assert run("job.running", ListAgent()) == []
        assert run("job.is_running", ListAgent(), "*") == []

    def test_is_running(self, agent: ListAgent) -> None:
        assert [job["jid"] for job in run("job.is_running", agent, "cmd.*")] == [ONE, TWO]
        assert run("job.is_running", agent, "CMD.*") == []

    def test_find_job(self, agent: ListAgent) -> None:
        assert run("job.find_job", agent, str(ONE))["pid"] == 77
        assert run("job.find_job", agent, str(TWO))["state"] == "queued"
        assert run("job.find_job", agent, str(NEVER)) == {}

    @pytest.mark.parametrize("jid", ["", "5", "../../etc", str(ONE) + "-x", "*"])
    def test_what_is_no_jid(self, agent: ListAgent, jid: str) -> None:
        assert "cannot find a job: " in str(fails("job.find_job", agent, jid))
        for name, more in (("signal_job", ["TERM"]), ("term_job", []), ("kill_job", [])):
            assert "is not a jid" in str(fails(f"job.{name}", agent, jid, *more))
        assert agent.asked == []


class TestStopping:  # S03
    def test_what_is_asked_of_the_agent(self, agent: ListAgent) -> None:
        run("job.term_job", agent, str(ONE), 3.0)
        run("job.term_job", agent, str(ONE))
        run("job.kill_job", agent, str(ONE))
        run("job.signal_job", agent, str(ONE), "HUP")
        # Without a grace it is the agent who knows it, from its settings.
        assert agent.asked == [(ONE, "term", 15, 3.0, "bob"), (ONE, "term", 15, None, "bob"),
                               (ONE, "kill", 9, None, "bob"), (ONE, "signal", 1, None, "bob")]

    @pytest.mark.parametrize(("name", "args"), [("signal_job", ["USR1"]), ("term_job", []), ("kill_job", [])])
    def test_four_distinct_answers(self, agent: ListAgent, name: str, args: list[str]) -> None:
        answers = []
        for jid in (ONE, TWO, GONE, NEVER):
            try:
                answers.append(run(f"job.{name}", agent, str(jid), *args))
            except Failed as failed:
                answers.append(failed.value)
        assert [answer["was"] for answer in answers] == ["running", "queued", "finished", "unknown"]
        assert len({answer["message"].replace(answer["jid"], "") for answer in answers}) == 4
        for answer, word in zip(answers, ("is running", "queued", "has ended", "is unknown"), strict=True):
            assert word in answer["message"]

    def test_what_did_nothing_is_a_failure(self, agent: ListAgent) -> None:
        for jid in (GONE, NEVER):
            failed = fails("job.kill_job", agent, str(jid))
            assert str(failed) == failed.value["message"]
        assert "no process to signal; job.term_job cancels it" in str(fails("job.signal_job", agent, str(TWO), "HUP"))
        assert run("job.kill_job", agent, str(TWO))["outcome"] == "cancelled"

    def test_why_it_failed(self, agent: ListAgent) -> None:
        agent.failing = "operation not permitted"
        assert str(fails("job.kill_job", agent, str(ONE))).endswith("operation not permitted")

    @pytest.mark.parametrize(("text", "number"), [
        ("HUP", 1), ("SIGHUP", 1), ("sigusr1", 10), (" 9 ", 9), ("64", 64), ("RTMIN", 34)])
    def test_signals(self, agent: ListAgent, text: str, number: int) -> None:
        assert run("job.signal_job", agent, str(ONE), text)["message"].endswith(f"it was sent signal {number}")
        assert agent.asked[0][2] == number

    @pytest.mark.parametrize("text", ["", "0", "65", "-9", "SIG", "NOPE", "_DFL", "9" * 5000, "٣"])
    def test_what_is_no_signal(self, agent: ListAgent, text: str) -> None:
        assert "is no signal" in str(fails("job.signal_job", agent, str(ONE), text))
        assert agent.asked == []

    def test_no_grace_below_nothing(self, agent: ListAgent) -> None:
        assert "grace" in str(fails("job.term_job", agent, str(ONE), -1.0))
        assert "grace" in str(fails("job.term_all_jobs", agent, -1.0))


class TestStoppingAll:  # S04
    @pytest.mark.parametrize(("name", "how", "signal"), [("term_all_jobs", "term", 15), ("kill_all_jobs", "kill", 9)])
    def test_all_but_the_asking_one(self, agent: ListAgent, name: str, how: str, signal: int) -> None:
        answers = run(f"job.{name}", agent)
        assert {jid: answer["outcome"] for jid, answer in answers.items()} == {ONE: "stopping", TWO: "cancelled"}
        assert agent.asked == [(ONE, how, signal, None, "bob"), (TWO, how, signal, None, "bob")]
        if how == "term":
            run(f"job.{name}", agent, 3.0)
            assert agent.asked[2:] == [(ONE, how, signal, 3.0, "bob"), (TWO, how, signal, 3.0, "bob")]

    def test_one_that_ended_meanwhile_is_no_failure(self) -> None:
        agent = ListAgent(record(ONE))
        records, agent.records = agent.records, []

        class Late(ListAgent):
            async def jobs(self) -> list[JobRecord]:
                return records

        assert run("job.kill_all_jobs", Late())[ONE]["outcome"] == "ended"

    def test_one_that_cannot_be_stopped_hides_no_other(self, agent: ListAgent) -> None:
        agent.failing = "operation not permitted"
        failed = fails("job.kill_all_jobs", agent)
        assert str(failed) == f"cannot stop {ONE}, {TWO}"
        assert set(failed.value) == {ONE, TWO}

    def test_other_functions_inside_the_agent_are_left_alone(self) -> None:
        agent = ListAgent(record(THREE, function="schedule.add", inline=True))
        assert run("job.kill_all_jobs", agent) == {}
        assert agent.asked == []


class TestFacts:
    @pytest.mark.parametrize(("key", "value"), [
        ("id", "web1"), ("memory:total", 5), ("addresses:1", "::2"), ("addresses:2", "-"), ("addresses:x", "-"),
        ("memory:free", "-"), ("id:x", "-"), ("", "-"), ("none", None)])
    def test_get(self, agent: ListAgent, key: str, value: Any) -> None:
        assert run("facts.get", agent, key, "-") == value
        assert run("grains.get", agent, key, "-") == value

    def test_items(self, agent: ListAgent) -> None:
        assert run("facts.items", agent) == run("grains.items", agent) == agent.facts()


class TestSys:
    def test_functions(self, agent: ListAgent) -> None:
        assert run("sys.functions", agent, "cmd.*") == ["cmd.exec", "cmd.run", "cmd.script"]
        assert run("sys.functions", agent) == sorted(FUNCTIONS.table)

    def test_doc_of_one(self, agent: ListAgent) -> None:
        told = run("sys.doc", agent, "cmd.run")
        assert list(told) == ["cmd.run"]
        assert told["cmd.run"].startswith("cmd.run(cmd: str, *, cwd: str = None, ")
        assert "Example: jr 'web*' cmd.run" in told["cmd.run"]

    def test_doc_of_many(self, agent: ListAgent) -> None:
        assert list(run("sys.doc", agent, "cmd")) == ["cmd.exec", "cmd.run", "cmd.script"]
        assert list(run("sys.doc", agent, "*.run")) == ["cmd.run"]
        assert list(run("sys.doc", agent)) == sorted(FUNCTIONS.table)

    def test_doc_of_what_is_not_there(self, agent: ListAgent) -> None:
        assert str(fails("sys.doc", agent, "cmd.rum")).endswith("did you mean cmd.run?")
        assert str(fails("sys.doc", agent, "greet.hello")).endswith("its module is broken: it exits (3)")

    def test_status(self, agent: ListAgent) -> None:
        assert run("sys.status", agent)["version"] == "1"


@pytest.mark.parametrize(("name", "args"), [
    ("schedule.list", []), ("schedule.show", ["tidy"]), ("schedule.add", ["tidy"]), ("schedule.run_job", ["tidy"]),
    ("schedule.hold", [])])
def test_what_the_schedule_refuses_is_told_in_its_own_words(agent: ListAgent, name: str, args: list[Any]) -> None:
    assert str(fails(name, agent, *args)) == "cannot use the schedule: it is closed"
