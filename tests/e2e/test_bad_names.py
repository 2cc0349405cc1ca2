"""Bad names, texts for shells, through the real doors: nothing is made, read or run but what was meant. R-A8, A9."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.control import Connection
from common.errors import JrError
from common.ids import Jid, MinionId
from tests.lib.bad_names import BAD_IDS, NEARLY_JIDS, Trap, traps
from tests.lib.fleet import SCRIPTS, Fleet, started

_REFUSED = r"^(cannot|no) "
TYPED = ("../m1", "/etc/passwd", "m1\n", "..%2fm1", "-o", "\u202em1", "$(x)", "a" * 300, "")
"""Those that are also tried as an operator would type them: each costs the start of an interpreter."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started(1) as fleet:
        yield fleet


@pytest.fixture
def marker(fleet: Fleet) -> Iterator[Path]:
    """A file that must not appear."""
    path = fleet.base / "marker"
    yield path
    assert not path.exists()


def outside(fleet: Fleet) -> dict[str, Any]:
    """Everything beside the fleet's own state: names and times of what bad names could reach."""
    return {str(path): path.lstat().st_mtime_ns for root in (fleet.base, Path("/etc")) for path in root.iterdir()
            if path != fleet.root}


def inside(fleet: Fleet) -> set[str]:
    """The names of all that the fleet keeps, but for those that say which job they are of."""
    return {str(path.relative_to(fleet.root)) for path in fleet.root.rglob("*") if not re.search(r"\d{20}", path.name)}


def asks(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every verb of the master with a name in every field that has one."""
    yield "watch", {"jid": name}
    yield "stop", {"jid": name, "how": "kill"}
    yield "stop", {"jid": "20260102030405123456", "how": "kill", "minions": [name]}
    yield "jobs", {"cursor": name}
    yield "active", {"minion": name}
    yield "active", {"cursor": name}
    yield "token", {"minion": name}
    for verb in ("keys.accept", "keys.reject", "keys.delete", "keys.rotate"):
        yield verb, {"ids": [name]}
    yield "run", {"function": name}
    yield "publish", {"target": f"m1,{name}" if name else "", "target_type": "list", "function": "test.ping"}


def test_no_verb_takes_a_bad_name(fleet: Fleet) -> None:
    before, files = outside(fleet), inside(fleet)
    refused = 0
    for name in [*BAD_IDS, *NEARLY_JIDS[:6]]:
        for verb, fields in asks(name):
            if name in NEARLY_JIDS and "jid" not in fields:
                continue
            if verb == "publish" and _good(name):
                continue
            with Connection(fleet.root / "run/jr/master.sock") as master, pytest.raises(JrError, match=_REFUSED):
                master.ask(verb, **fields)
            refused += 1
    assert refused > 900
    assert (outside(fleet), inside(fleet)) == (before, files)


def _good(words: str) -> bool:
    """Whether a list of targets is made of good ids alone, when blanks and commas are between them."""
    try:
        return bool([MinionId(word) for word in words.replace(",", " ").split()]) or bool(words)
    except ValueError:
        return False


def test_a_function_of_a_bad_name_is_refused_by_its_minion(fleet: Fleet) -> None:
    before, files = outside(fleet), inside(fleet)
    with Connection(fleet.root / "run/jr/master.sock") as master:
        for name in BAD_IDS:
            if 0 < len(name) <= 200:
                *_, pair, _ = master.stream("publish", None, target="m1", function=name)
                assert pair["pair"]["state"] == "refused", (name, pair)
    with Connection(fleet.minion("m1") / "run/jr/minion.sock") as agent:
        for name in BAD_IDS:
            with pytest.raises(JrError, match=r"^cannot "):
                agent.ask("call", function=name)
    assert (outside(fleet), inside(fleet)) == (before, files)


@pytest.mark.parametrize("name", TYPED, ids=ascii)
def test_what_is_typed_is_refused_in_one_line(fleet: Fleet, name: str) -> None:
    files = inside(fleet)
    jobs = [fleet.run("jobs.lookup_jid", "--", name), fleet.run("jobs.kill", "--", name)]
    others = [fleet.key("accept", "--", name), fleet.command("jr-key", "token", f"--minion={name}")]
    for ended in [*jobs, *others]:
        assert ended.code in (2, 3), ended
        assert len([line for line in ended.err.splitlines() if line]) <= 3, ended
    called = fleet.call("m1", "job.find_job", "--", name)
    assert called.code == 1
    assert "is not a jid" in called.out
    assert inside(fleet) == files


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_no_file_is_touched_for_a_bad_name(fleet: Fleet) -> None:
    trace = fleet.base / "trace"
    bad = "../../../../etc/hostname-of-nobody"
    for words in (["jr-run", "jobs.lookup_jid", bad], ["jr-key", "accept", bad], ["jr", "-L", bad, "test.ping"]):
        subprocess.run(["strace", "-f", "-qq", "-e", "trace=%file", "-o", str(trace), str(SCRIPTS / words[0]),
                        *words[1:]], capture_output=True, check=False, cwd="/", timeout=60,
                       env={**os.environ, "JR_ROOT": str(fleet.root)})
        lines = trace.read_text("utf-8", "replace").splitlines()
        assert len(lines) > 50, "the trace saw the command"
        assert not [line for line in lines[1:] if "hostname-of-nobody" in line and "execve(" not in line]
    trace.unlink()


def test_what_is_no_file_among_the_files_blocks_nobody(fleet: Fleet) -> None:
    """A FIFO blocks whoever opens it, a link leads elsewhere: in every folder of a minion, under good and bad names."""
    secret = fleet.base / "secret"
    secret.write_text("of somebody else\n")
    state = fleet.state("m1")
    jid = Jid("20250102030405123456")
    fleet.end("m1")
    for folder, suffix in (("proc", ".json"), ("spool", ".msgpack"), ("stops", ".json"), ("claims", "")):
        os.mkfifo(state / folder / f"{jid}{suffix}")
        os.symlink(secret, state / folder / f"20250102030405123457{suffix}")
        os.mkfifo(state / folder / f"fifo\n{suffix}")
        (state / folder / f"20250102030405123458{suffix}").mkdir()
    fleet.up()
    assert fleet.job("m1", "job.running").pair()["return"] == []
    assert fleet.job("m1", "job.find_job", str(jid)).pair()["return"] == {}
    assert fleet.job("m1", "cmd.run", "echo fine").pair()["stdout"] == "fine\n"
    assert secret.read_text() == "of somebody else\n"
    assert "of somebody else" not in fleet.log("m1")
    fleet.end("m1")
    for folder in ("proc", "spool", "stops", "claims"):
        for path in (state / folder).iterdir():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif not path.is_file() or path.is_symlink():
                path.unlink()
    fleet.up()


# texts for shells


def test_what_a_shell_would_run_is_never_run(fleet: Fleet, marker: Path) -> None:
    """In every field of text, over the control socket: the job sees it as it was given."""
    with Connection(fleet.root / "run/jr/master.sock") as master:
        for trap in traps(str(marker)):
            pair, head = _published(master, "test.echo", [trap.text], metadata={trap.text[:200]: trap.text})
            assert (pair["state"], pair["return"]) == ("succeeded", trap.text), trap.name
            assert head["metadata"] == {trap.text[:200]: trap.text}
            pair, _ = _published(master, "cmd.exec", ["printf", "%s", trap.text])
            assert (pair["retcode"], pair["stdout"]) == (0, trap.text), trap.name
            _as_environment(master, trap)
            for fields in ({"function": trap.text}, {"function": "cmd.run", "args": ["true"], "kwargs": {
                    "runas": trap.text}}, {"function": "cmd.run", "args": ["true"], "kwargs": {"cwd": trap.text}}):
                *_, item, _ = master.stream("publish", None, target="m1", **fields)
                assert item["pair"]["state"] in ("refused", "failed"), (trap.name, fields)
            for kind in ("glob", "list"):  # as a regular expression some of them fit anybody
                with pytest.raises(JrError):
                    master.ask("publish", target=trap.text, target_type=kind, function="test.ping")


def _published(master: Connection, function: str, args: list[str], **more: Any) -> tuple[Any, Any]:
    head, item, _ = master.stream("publish", None, target="m1", function=function, args=args, **more)
    return item["pair"], head


def _as_environment(master: Connection, trap: Trap) -> None:
    """Standard input, an environment variable and a script's arguments are data too."""
    for function, args, kwargs in (
            ("cmd.run", ['printf %s "$X"'], {"env": {"X": trap.text}}), ("cmd.run", ["cat"], {"stdin": trap.text}),
            ("cmd.script", ['printf %s "$1"'], {"args": [trap.text]})):
        _, item, _ = master.stream("publish", None, target="m1", function=function, args=args, kwargs=kwargs)
        assert item["pair"]["stdout"] == trap.text, (trap.name, function)


def test_what_is_typed_for_a_shell_reaches_the_job_as_it_is(fleet: Fleet, marker: Path) -> None:
    for trap in traps(str(marker))[:6]:
        ended = fleet.job("--metadata", f"note={trap.text}", "m1", "cmd.exec", "--", "printf", "%s", trap.text)
        assert ended.pair()["stdout"] == trap.text, trap.name
        assert ended.json["metadata"] == {"note": trap.text}
        found = fleet.run("jobs.list_jobs", f"metadata.note={trap.text}")
        assert [job["jid"] for job in found.json["jobs"]] == [ended.json["jid"]]
        assert fleet.run("jobs.list_jobs", f"user={trap.text}").json["jobs"] == []
        assert fleet.run(trap.text, trap.text).code in (2, 3)


def test_names_and_texts_leave_no_control_character_in_the_log(fleet: Fleet) -> None:
    for name in ("master", "m1"):
        text = fleet.log(name)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text), name
