"""R-A23, S11: a canary goes through every channel for secrets; the payload gets it, and nobody else does.

Looked at are all files of the fleet, as they are and in base64, the arguments and environments of all processes, and
what the commands answer. The master's database has it while the job is open, and not afterwards.
"""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.lib.fleet import Done, Fleet, started
from tests.lib.wait import until

CANARY = "canary-7Hq3xZ9kW2"
MINE = '''
"""Functions and runners of an operator."""
import os
import time


def prove(path: str, password: str, gate: str = "") -> str:
    """Write down what was given."""
    with open(path, "w") as file:
        file.write(password)
    while gate and not os.path.exists(gate):
        time.sleep(0.02)  # the job of the test lasts until its gate is opened
    return "done"


def count(number: int) -> int:
    """Never gets here with a text."""
    return number


def blurt(password: str) -> None:
    """Put the secret where it must not stay."""
    raise ValueError(f"{password} is wrong")
'''
DATABASE = ("jr.db", "jr.db-wal", "jr.db-shm")


def prepare(base: Path) -> Mapping[str, str]:
    """Modules, a folder for proofs, the canary in files, and daemons that log all they can."""
    for name in ("mine", "proofs"):
        (base / name).mkdir(mode=0o755)
    (base / "mine" / "mine.py").write_text(MINE)
    (base / "mine" / "mine.py").chmod(0o644)
    (base / "password").write_text(CANARY + "\n")
    (base / "env").write_text(f"{{TOKEN: {CANARY}, OTHER: x}}\n")
    folder = f"[{base / 'mine'}]"
    return {"JR_MINION_FUNCTION_DIRS": folder, "JR_MASTER_RUNNER_DIRS": folder, "JR_MINION_LOG_LEVEL": "debug",
            "JR_MASTER_LOG_LEVEL": "debug"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1, prepare) as fleet:
        fleet.configure("m1", max_jobs=1)
        fleet.restart("m1")
        yield fleet


def holders(fleet: Fleet, *passed_over: str) -> list[str]:
    """The files of the fleet, but for those of these names, that hold the canary."""
    marks = [CANARY.encode(), *(base64.b64encode(b"x" * shift + CANARY.encode())[4:-4] for shift in range(3))]
    found = []
    for path in fleet.root.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue  # it went while we looked
        if path.name not in passed_over and any(mark in data for mark in marks):
            found.append(str(path.relative_to(fleet.root)))
    return found


def check_hidden(fleet: Fleet, jid: str, minion: str = "m1") -> None:
    """An open job: nobody has the canary but its payload and the master's database."""
    assert holders(fleet, *DATABASE) == []
    assert set(fleet.processes(CANARY)) <= set(fleet.of_job(jid))
    assert not any(CANARY in line for line in fleet.processes(CANARY).values())
    for answer in (fleet.run("jobs.active"), fleet.run("jobs.lookup_jid", jid), fleet.run("jobs.list_jobs"),
                   fleet.jr("m1", "job.running", "-o", "json")):
        assert CANARY not in answer.out + answer.err
        assert "***" in answer.out or minion != "m1"


def check_gone(fleet: Fleet, *answers: Done) -> None:
    """A job that is over: nothing has the canary, the database with its log included."""
    for answer in (*answers, fleet.run("jobs.list_jobs", "limit=50")):
        assert CANARY not in answer.out + answer.err
    until(lambda: not holders(fleet), what=f"the canary is gone from {holders(fleet)}")
    assert list((fleet.state("m1") / "secrets").iterdir()) == []
    assert list((fleet.state("master") / "secrets").iterdir()) == []
    assert fleet.processes(CANARY) == {}


def proof(fleet: Fleet, name: str) -> Path:
    """Where a payload proves what it got."""
    return fleet.base / "proofs" / name


@pytest.mark.parametrize(("name", "value", "stdin"), [
    ("literal", CANARY, None), ("file", "@{base}/password", None), ("stdin", "@-", CANARY + "\n")],
    ids=["literal", "file", "stdin"])  # ids: the name of a test stands in the environment of all that it starts
def test_an_argument_that_is_marked(fleet: Fleet, name: str, value: str, stdin: str | None) -> None:
    ended = fleet.command("jr", "-o", "json", "--secret", "password=" + value.format(base=fleet.base), "m1",
                          "mine.prove", str(proof(fleet, name)), stdin=stdin)

    assert ended.pair()["state"] == "succeeded", ended
    assert ended.json["kwargs"] == {"password": "***"}
    assert proof(fleet, name).read_text() == CANARY
    check_gone(fleet, ended, fleet.run("jobs.lookup_jid", ended.json["jid"]))


def test_the_environment_and_the_input_of_a_command_while_it_runs(fleet: Fleet) -> None:
    gate, written = fleet.base / "gate-env", proof(fleet, "env")
    os.mkfifo(gate)  # a shell that waits for it has no children that come and go
    script = f"cat > {written}; echo $TOKEN $OTHER >> {written}; read line < {gate}"
    jid = fleet.start("--secret", f"env=@{fleet.base}/env", "m1", "cmd.run", script, f"stdin={CANARY}\n")
    fleet.running(jid)
    until(lambda: written.exists() and "x" in written.read_text(), what="the payload has it")

    check_hidden(fleet, jid)
    told = fleet.run("jobs.active").json[jid]["kwargs"]
    assert told == {"env": {"TOKEN": "***", "OTHER": "***"}, "stdin": "***"}
    assert list((fleet.state("m1") / "secrets").iterdir()) == []

    gate.write_text("go\n")
    assert fleet.ended(jid)["state"] == "succeeded"
    assert written.read_text() == f"{CANARY}\n{CANARY} x\n"
    check_gone(fleet, fleet.run("jobs.lookup_jid", jid))


def test_a_queued_job_whose_agent_and_master_are_killed(fleet: Fleet) -> None:
    # P6: accepted means that it gets what it was given, whoever dies until it starts.
    gate, written = fleet.base / "gate-queue", proof(fleet, "queued")
    first = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done")
    fleet.running(first)
    jid = fleet.start("--secret", f"password=@{fleet.base}/password", "m1", "mine.prove", str(written))
    until(lambda: fleet.run("jobs.active").json[jid]["queued"] == ["m1"], what="it is queued")
    kept = fleet.state("m1") / "secrets" / jid
    assert CANARY.encode() in kept.read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert holders(fleet, *DATABASE) == [str(kept.relative_to(fleet.root))]

    fleet.end("m1", signal.SIGKILL)
    fleet.end("master", signal.SIGKILL)
    # What a writer that died has left belongs to nobody.
    (kept.parent / jid.replace(jid[-1], "0" if jid[-1] != "0" else "1")).write_text(CANARY)
    fleet.up()
    until(lambda: [path.name for path in kept.parent.iterdir()] == [jid], what="the rest is swept")
    gate.touch()

    assert fleet.ended(jid)["state"] == "succeeded"
    assert written.read_text() == CANARY
    check_gone(fleet, fleet.run("jobs.lookup_jid", jid))


def test_a_job_that_is_killed_before_it_starts_leaves_no_secret(fleet: Fleet) -> None:
    gate = fleet.base / "gate-kill"
    first = fleet.start("m1", "cmd.run", f"until [ -e {gate} ]; do sleep 0.02; done")
    fleet.running(first)
    jid = fleet.start("m1", "cmd.run", "true", f"env={{TOKEN: {CANARY}}}")
    until(lambda: fleet.run("jobs.active").json[jid]["queued"] == ["m1"], what="it is queued")

    assert fleet.run("jobs.kill", jid).code == 0
    gate.touch()
    assert fleet.ended(jid)["state"] == "killed"
    fleet.ended(first)
    check_gone(fleet, fleet.run("jobs.lookup_jid", jid))


def test_a_job_that_never_arrived_is_sent_again_with_its_secret(fleet: Fleet) -> None:
    written = proof(fleet, "resent")
    fleet.send("m1", signal.SIGSTOP)
    jid = fleet.start("--secret", f"password=@{fleet.base}/password", "m1", "mine.prove", str(written))
    # Nobody has read what was sent: only the database still knows the secret.
    fleet.end("m1", signal.SIGKILL)
    fleet.end("master", signal.SIGKILL)
    assert holders(fleet, *DATABASE) == []
    fleet.up()

    assert fleet.ended(jid)["state"] == "succeeded"
    assert written.read_text() == CANARY
    check_gone(fleet)


def test_a_call_on_the_host_with_an_agent_and_without(fleet: Fleet) -> None:
    for name in ("agent", "alone"):
        ended = fleet.call("m1", "--secret", f"password=@{fleet.base}/password", "mine.prove", str(proof(fleet, name)))
        assert ended.json["m1"]["state"] == "succeeded", ended
        assert proof(fleet, name).read_text() == CANARY
        if name == "agent":
            fleet.end("m1")
    fleet.up()
    fleet.acked()
    check_gone(fleet)


def test_a_runner_job(fleet: Fleet) -> None:
    gate, written = fleet.base / "gate-runner", proof(fleet, "runner")
    ended = fleet.command("jr-run", "--async", "--secret", f"password=@{fleet.base}/password", "mine.prove",
                          str(written), f"gate={gate}")
    jid = ended.out.strip()
    fleet.running(jid, "master")
    until(lambda: written.exists() and written.read_text(), what="the payload has it")

    check_hidden(fleet, jid, "master")
    gate.touch()
    assert fleet.ended(jid, "master")["state"] == "succeeded"
    assert written.read_text() == CANARY
    check_gone(fleet)


def test_a_job_of_a_schedule(fleet: Fleet) -> None:
    # Its settings file has the secret, and nothing else.
    written = proof(fleet, "schedule")
    before = fleet.settings("m1").read_text()
    fleet.configure("m1", schedule={
        "once": {"function": "cmd.run", "args": [f"echo $TOKEN > {written}"], "kwargs": {"env": {"TOKEN": CANARY}},
                 "every": "1s"},
        "marked": {"function": "mine.prove", "args": [f"{written}-2"], "kwargs": {"password": CANARY},
                   "secret": ["password"], "every": "1s"}})
    fleet.restart("m1")
    until(lambda: (fleet.base / "proofs/schedule-2").exists() and written.exists(), what="both entries have run")
    listed = fleet.jr("m1", "schedule.list", "-o", "json")
    assert "***" in listed.out
    checked = fleet.command("jr-minion", "--check-config", root=fleet.minion("m1"))
    assert (CANARY in listed.out + checked.out + checked.err, checked.code) == (False, 0)

    fleet.end("m1", signal.SIGTERM)
    fleet.settings("m1").write_text(before)
    fleet.up()
    fleet.acked()
    assert [written.read_text().strip(), Path(f"{written}-2").read_text()] == [CANARY, CANARY]
    check_gone(fleet)


def test_an_entry_that_is_added_by_a_job(fleet: Fleet) -> None:
    """What an entry gives its function is in the journal of its minion, and in no job."""
    written = proof(fleet, "added")
    added = fleet.jr("m1", "schedule.add", "added", "function=mine.prove", f"args=[{written}]", "-o", "json",
                     f"kwargs={{password: {CANARY}}}", "secret=[password]")
    changed = fleet.jr("m1", "schedule.modify", "added", f"kwargs={{password: {CANARY}, gate: ''}}", "-o", "json")
    assert (added.code, changed.code) == (0, 0)
    assert fleet.jr("m1", "schedule.run_job", "added").code == 0
    until(written.exists, what="the entry has run")
    fleet.acked()
    fleet.end("m1", signal.SIGTERM)
    for path in fleet.state("m1").glob("schedule.db*"):
        assert CANARY.encode() in path.read_bytes() or path.suffix != ".db"
        path.unlink()
    fleet.up()
    assert written.read_text() == CANARY
    check_gone(fleet, added, changed)


def test_an_entry_that_is_wrong_is_refused_without_its_arguments(fleet: Fleet) -> None:
    path = fleet.base / "wrong.yaml"
    path.write_text(yaml.safe_dump({"id": "m1", "schedule": {"x": {"function": "cmd.run", "every": "1s",
                                                                   "kwargs": [{"env": CANARY}]}}}))
    root = fleet.base / "other"
    (root / "etc/jr").mkdir(parents=True)
    path.rename(root / "etc/jr/minion.yaml")
    assert CANARY not in fleet.command("jr-minion", "--check-config", root=root).fails(2, "kwargs is wrong")


def test_errors_never_quote_a_secret(fleet: Fleet) -> None:
    secret = f"@{fleet.base}/password"
    refused = fleet.job("--secret", f"number={secret}", "m1", "mine.count")
    assert refused.pair()["evidence"]["reason"] == (
        "cannot call mine.count: number must be a whole number (its value is secret)")
    called = fleet.call("m1", "--secret", f"number={secret}", "mine.count")
    unknown = fleet.job("--secret", f"numbre={secret}", "m1", "mine.count")
    failed = fleet.command("jr", "-o", "json", "--secret", f"password={secret}", "m1", "mine.blurt", traced=True)
    assert failed.pair()["evidence"]["reason"] == "ValueError: *** is wrong"
    assert failed.pair()["stderr"].endswith("ValueError: *** is wrong\n")
    typed = fleet.job("m1", "cmd.run", "true", f"env={CANARY}")
    assert typed.pair()["state"] == "refused"
    check_gone(fleet, refused, called, unknown, failed, typed)


def test_what_cannot_stay_secret_is_refused(fleet: Fleet) -> None:
    secret = f"@{fleet.base}/password"
    line = fleet.jr("--secret", f"cmd={secret}", "m1", "cmd.run").fails(2, "every user of its host can read")
    assert CANARY not in line
    fleet.jr("--secret", "password", "m1", "mine.prove", "x").fails(2, "it must be KEY=VALUE, KEY=@FILE or KEY=@-")
    fleet.jr("--secret", "password=@/no/such", "m1", "mine.prove", "x").fails(2, "/no/such: No such file or directory")
    fleet.command("jr-run", "--secret", f"jid={secret}", "jobs.active").fails(2, "it takes no --secret")
