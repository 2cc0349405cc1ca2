"""S17: every exit code of the reference, each by its own road."""

from __future__ import annotations

import pwd
import signal
from collections.abc import Iterator

import pytest

from tests.lib.fleet import Fleet, started
from tests.lib.wait import until

NOBODY = pwd.getpwnam("nobody").pw_uid
UNKNOWN = "20200101000000000000"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(2) as fleet:
        yield fleet


def test_0_all_succeeded(fleet: Fleet) -> None:
    assert fleet.jr("*", "cmd.run", "true").code == 0


def test_1_some_pair_failed(fleet: Fleet) -> None:
    ended = fleet.job("*", "cmd.run", "exit 3")

    assert ended.code == 1
    assert [pair["retcode"] for pair in ended.json["minions"].values()] == [3, 3]


def test_1_some_pair_was_killed(fleet: Fleet) -> None:
    waiting = fleet.spawn("jr", "m1", "test.sleep", "100")
    jid = fleet.open_job()
    fleet.running(jid)
    assert fleet.run("jobs.kill", jid).code == 0

    # S06: who waits for the job ends at once.
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, "killed" in out) == (1, True)


def test_1_some_pair_timed_out(fleet: Fleet) -> None:
    ended = fleet.job("--timeout", "0.3", "m1", "cmd.run", "echo begun; sleep 100")

    assert ended.code == 1
    assert (ended.pair()["state"], ended.pair()["stdout"]) == ("timed_out", "begun\n")
    assert 0.3 <= ended.pair()["duration"] < 10
    assert fleet.of_job(ended.json["jid"]) == {}


def test_1_outweighs_6(fleet: Fleet) -> None:
    assert fleet.jr("-L", "m1,ghost", "test.fail").code == 1


@pytest.mark.parametrize("words", [
    ["m1"], [], ["--nonsense", "m1", "test.ping"], ["-L", "-E", "m1", "test.ping"], ["-o", "xml", "m1", "test.ping"],
    ["--wait", "soon", "m1", "test.ping"], ["--timeout", "0", "m1", "test.ping"],
    ["--metadata", "ticket", "m1", "test.ping"], ["m1", "cmd.run", "true", "cwd=/", "cwd=/tmp"],
    ["m1", "test.ping", "--wait"],
])
def test_2_wrong_usage_of_jr(fleet: Fleet, words: list[str]) -> None:
    ended = fleet.jr(*words)

    ended.fails(2)
    assert ended.out == ""


@pytest.mark.parametrize(("program", "words"), [
    ("jr-run", ["jobs.kill"]), ("jr-run", ["jobs.lookup_jid", "yesterday"]),
    ("jr-run", ["jobs.signal", UNKNOWN, "LOUD"]),
    ("jr-run", ["jobs.list_jobs", "limit=none"]), ("jr-run", ["jobs.list_jobs", "colour=red"]),
    ("jr-run", ["jobs.active", "minion=../etc"]), ("jr-run", ["-d", "--list"]),
    ("jr-key", ["accept"]), ("jr-key", ["delete", "--all"]), ("jr-key", ["reject", "M1"]), ("jr-key", ["perhaps"]),
    ("jr-call", []), ("jr-local", ["up", "--minions", "0"]),
    ("jr-minion", ["--join", "jr1.nonsense", "--check-config"]),
])
def test_2_wrong_usage_of_the_others(fleet: Fleet, program: str, words: list[str]) -> None:
    ended = fleet.command(program, *words)

    ended.fails(2)
    assert ended.out == ""


def test_3_nothing_matched(fleet: Fleet) -> None:
    ended = fleet.jr("web*", "test.ping")

    ended.fails(3, "web*")
    assert ended.out == ""


@pytest.mark.parametrize("words", [
    ["jobs.lookup_jid", UNKNOWN], ["jobs.list_job", UNKNOWN], ["jobs.print_job", UNKNOWN], ["jobs.wait", UNKNOWN],
    ["jobs.exit_success", UNKNOWN], ["jobs.kill", UNKNOWN], ["jobs.term", UNKNOWN], ["jobs.signal", UNKNOWN, "HUP"],
])
def test_3_an_unknown_jid(fleet: Fleet, words: list[str]) -> None:
    # S09
    fleet.run(*words).fails(3, UNKNOWN)


def test_3_nothing_of_this_name(fleet: Fleet) -> None:
    fleet.run("jobs.last_run", "function=never.ran").fails(3)
    fleet.run("jobs.lookup").fails(3, "jobs.lookup")
    fleet.key("finger", "m9").fails(3, "m9")


def test_4_not_allowed(fleet: Fleet) -> None:
    # The folders above the socket let everybody pass, so that it is the socket that says no.
    for folder in (fleet.base, fleet.root):
        folder.chmod(0o755)
    try:
        for program, words in (("jr", ["*", "test.ping"]), ("jr-run", ["jobs.active"]), ("jr-key", ["list"])):
            ended = fleet.command(program, *words, user=NOBODY)
            ended.fails(4, "permission denied")
            assert ended.out == ""
    finally:
        for folder in (fleet.base, fleet.root):
            folder.chmod(0o700)


def test_5_no_master(fleet: Fleet) -> None:
    nowhere = fleet.base / "nowhere"
    for program, words in (("jr", ["*", "test.ping"]), ("jr-run", ["jobs.active"]), ("jr-key", ["list"])):
        fleet.command(program, *words, root=nowhere).fails(5, str(nowhere), "jr-master")


def test_5_a_socket_that_nobody_listens_at(fleet: Fleet) -> None:
    fleet.end("master", signal.SIGKILL)
    try:
        assert (fleet.root / "run/jr/master.sock").exists()
        fleet.jr("*", "test.ping").fails(5, "master.sock")
    finally:
        fleet.up()


def test_6_undelivered(fleet: Fleet) -> None:
    assert fleet.jr("-L", "ghost", "test.ping").code == 6


def test_6_refused(fleet: Fleet) -> None:
    ended = fleet.job("*", "test.pong")

    assert ended.code == 6
    assert ended.json["counts"] == {"refused": 2}
    assert "test.pong" in ended.pair()["evidence"]["reason"]
    assert "test.ping" in ended.pair()["evidence"]["reason"], "the nearest name"


def test_124_the_wait_is_over(fleet: Fleet) -> None:
    ended = fleet.job("--wait", "0.3", "m1", "test.sleep", "100")

    assert ended.code == 124
    jid = ended.json["jid"]
    assert ended.json["done"] is None
    assert ended.pair()["state"] in ("sent", "accepted", "running")
    assert f"jobs.lookup_jid {jid}" in ended.err
    assert f"jobs.kill {jid}" in ended.err
    assert fleet.running(jid)
    assert fleet.run("--wait", "0.1", "jobs.wait", jid).code == 124
    assert fleet.run("jobs.exit_success", jid).code == 124
    assert fleet.run("jobs.kill", jid).code == 0
    assert fleet.run("jobs.wait", jid).code == 1


def test_130_detached_by_ctrl_c(fleet: Fleet) -> None:
    # S14
    waiting = fleet.spawn("jr", "*", "test.sleep", "100")
    jid = fleet.open_job()
    fleet.running(jid, "m1")
    fleet.running(jid, "m2")
    waiting.send_signal(signal.SIGINT)

    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (130, "")
    for hint in (f"detached from {jid}", f"jobs.lookup_jid {jid}", f"jobs.kill {jid}"):
        assert hint in err
    assert set(fleet.run("jobs.active").json[jid]["running"]) == {"m1", "m2"}
    assert fleet.run("jobs.kill", jid).code == 0



def test_whoever_leaves_early_leaves_no_trace_in_the_log(fleet: Fleet) -> None:
    """Ctrl-C or a closed pipe in the middle of an answer is no fault of the master's."""
    for _ in range(10):
        with fleet.spawn("jr", "*", "test.ping") as client:
            client.kill()
    until(lambda: fleet.jr("*", "test.ping").code == 0, what="the master answers")
    assert "Traceback" not in fleet.logs()
