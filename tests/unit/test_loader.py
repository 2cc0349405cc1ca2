"""Loading modules: built-in ones, those of users in folders and entry points, and the many ways one may be broken."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from common.proc import loader
from common.proc.loader import Loaded, load

# From Python 3.12 on a fork beside threads warns, and a parallel test run has a thread of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

GOOD = '''
def hello(name: str = "world") -> str:
    """Greet."""
    return f"hello {name}"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "functions"
    made.mkdir(mode=0o755)
    return made


def write(folder: Path, name: str, text: str, mode: int = 0o644) -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    path.chmod(mode)
    return path


def load_dir(*folders: Path, seconds: float = 30.0) -> Loaded:
    return load({"dirs": [str(folder) for folder in folders], "import_seconds": seconds})


class TestBuiltIn:
    def test_all_modules_and_aliases(self) -> None:
        loaded = load({"packages": ["minion.functions"]})
        assert loaded.broken == {}
        assert {"test.ping", "cmd.run", "cmd.exec", "schedule.list", "job.kill_all_jobs"} <= set(loaded.table)
        assert loaded.functions.keys() == loaded.table.keys()
        assert loaded.functions["saltutil.running"] is loaded.functions["job.running"]
        assert loaded.table["grains.items"] == loaded.table["facts.items"]

    def test_what_is_inline(self) -> None:
        table = load({"packages": ["minion.functions"]}).table
        inline = {name for name, info in table.items() if info["inline"]}
        own = {name for name in table if name.split(".")[0] in ("cmd", "test")} - {"test.ping"} | {"schedule.simulate"}
        assert table.keys() - own == inline
        changing = {name.split(".")[1] for name in inline if not table[name]["reads"]}
        assert changing == {
            "signal_job", "term_job", "kill_job", "term_all_jobs", "kill_all_jobs", "add", "modify", "delete", "enable",
            "disable", "copy", "move", "save", "reload", "run_job", "postpone_job", "skip_job", "resume", "hold",
            "release"}

    def test_every_function_explains_itself_with_an_example(self) -> None:
        for name, info in load({"packages": ["minion.functions"]}).table.items():
            assert "Example: jr" in info["doc"], name

    def test_the_spawner_stays_small(self) -> None:
        code = """if True:
            import sys
            from common.proc.loader import load
            load({"packages": ["minion.functions"], "entry_points": "jr.none", "dirs": []})
            heavy = {"msgspec", "yaml", "psutil", "asyncio", "zmq", "click", "importlib.metadata", "difflib", "msgpack"}
            print(sorted(heavy & set(sys.modules)))
        """
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestFolder:
    def test_public_functions_of_its_own(self, folder: Path) -> None:
        write(folder, "greet.py", GOOD + '''
from os.path import join
import json

def _hidden(): pass
def list_(): return [1]
class Thing: pass
other = lambda: 2
constant = 3
''')
        loaded = load_dir(folder)
        assert loaded.broken == {}
        assert set(loaded.table) == {"greet.hello", "greet.list", "greet.other"}
        assert loaded.table["greet.hello"]["doc"] == "Greet."
        assert loaded.functions["greet.hello"]("you") == "hello you"

    def test_dataclasses_and_postponed_annotations_work(self, folder: Path) -> None:
        write(folder, "modern.py", """
            from __future__ import annotations
            from dataclasses import dataclass
            from common.functions import Command, Failed, Job

            @dataclass
            class Point:
                x: int

            def run(x: int, *, job: Job, timeout: float | None = None) -> Command:
                return Command(["true"])
        """)
        params = load_dir(folder).table["modern.run"]["params"]
        assert [(param["name"], param["kind"]) for param in params] == [("x", "positional"), ("timeout", "lifted")]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        loaded = load_dir(tmp_path / "none")
        assert (loaded.table, loaded.broken) == ({}, {})

    def test_other_files_are_not_looked_at(self, folder: Path) -> None:
        write(folder, "_private.py", "syntax error")
        write(folder, "notes.txt", "syntax error")
        (folder / "sub").mkdir()
        loaded = load_dir(folder)
        assert (loaded.table, loaded.broken) == ({}, {})

    def test_a_cached_file_does_not_count(self, folder: Path) -> None:
        write(folder, "greet.py", GOOD)
        load_dir(folder)
        assert not (folder / "__pycache__").exists()

    def test_the_first_of_a_name_wins(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a", tmp_path / "b"
        for made in (first, second):
            made.mkdir(mode=0o755)
        write(first, "greet.py", "def one(): pass")
        path = write(second, "greet.py", "def two(): pass")
        loaded = load_dir(first, second)
        assert set(loaded.table) == {"greet.one"}
        assert loaded.broken == {str(path): f"cannot load {path}: there is a module greet already"}

    @pytest.mark.parametrize("name", ["cmd", "saltutil"])
    def test_built_in_modules_and_aliases_cannot_be_replaced(self, folder: Path, name: str) -> None:
        path = write(folder, f"{name}.py", "def run(cmd): return 'mine'")
        loaded = load({"packages": ["minion.functions"], "dirs": [str(folder)]})
        assert f"there is a module {name} already" in loaded.broken[str(path)]
        assert loaded.functions["cmd.run"].__module__ == "minion.functions.cmd"


class TestBroken:
    """Each costs itself: the good module beside it is there."""

    @pytest.mark.parametrize(("text", "reason"), [
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "it exits (3)"),
        ("import os; os._exit(5)", "it exits (5)"),
        ("import os; os.kill(os.getpid(), 9)", "it crashes with signal 9"),
        ("import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()", "it starts a thread"),
        ("import subprocess; subprocess.Popen(['sleep', '600'])", "it starts a process"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("async def f(): pass", "f is async, and only inline functions may be"),
        ("from common.functions import inline\n@inline(reads=True)\ndef f(): pass", "f is marked inline"),
        ("from common.functions import Agent\ndef f(agent: Agent): pass", "f asks for the agent"),
        ("\0", "null bytes"),
        ("#" * (1024 * 1024 + 1), "it is larger than 1048576 bytes"),
    ])
    def test_at_import(self, folder: Path, text: str, reason: str) -> None:
        path = folder / "bad.py"
        path.write_text(text)
        path.chmod(0o644)
        write(folder, "good.py", GOOD)
        loaded = load_dir(folder)
        assert loaded.broken.keys() == {"bad"}
        assert loaded.broken["bad"].startswith(f"cannot load {path}: ")
        assert reason in loaded.broken["bad"]
        assert set(loaded.table) == {"good.hello"}

    def test_hanging(self, folder: Path) -> None:
        write(folder, "bad.py", "import signal; signal.pause()")
        loaded = load_dir(folder, seconds=0.5)
        assert "it does not end within 0.5 seconds" in loaded.broken["bad"]

    def test_many_hanging_ones_do_not_hold_up_the_start(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(loader, "ALL_SECONDS", 0.3)
        for number in range(20):
            write(folder, f"bad{number:02}.py", "import signal; signal.pause()")
        begun = time.monotonic()
        loaded = load_dir(folder)
        assert len(loaded.broken) == 20
        assert "not tried, since the modules before it took 0.3 seconds" in loaded.broken["bad19"]
        assert time.monotonic() - begun < 60

    def test_one_that_behaves_in_its_trial_only(self, folder: Path, tmp_path: Path) -> None:
        write(folder, "bad.py", f"""
            import os, sys
            if os.getpid() == {os.getpid()}:
                sys.exit("now")
        """)
        write(folder, "good.py", GOOD)
        loaded = load_dir(folder)
        assert "SystemExit: now" in loaded.broken["bad"]
        assert "jr_functions_bad" not in sys.modules
        assert set(loaded.table) == {"good.hello"}

    @pytest.mark.parametrize("name", ["two words.py", "dot.ted.py", "1st.py", "grüße.py", "a-b.py"])
    def test_names_that_are_no_names(self, folder: Path, name: str) -> None:
        write(folder, name, GOOD)
        loaded = load_dir(folder)
        assert "its name is no name of a module" in loaded.broken[name.removesuffix(".py")]
        assert loaded.table == {}


class TestChecks:
    def test_a_symlink_out(self, folder: Path, tmp_path: Path) -> None:
        outside = write(tmp_path, "outside.py", GOOD)
        (folder / "greet.py").symlink_to(outside)
        assert f"it is a symlink out of {folder.resolve()}" in load_dir(folder).broken["greet"]

    def test_a_symlink_within_is_fine(self, folder: Path) -> None:
        write(folder, "greet.py", GOOD)
        (folder / "salute.py").symlink_to("greet.py")
        assert set(load_dir(folder).table) == {"greet.hello", "salute.hello"}

    def test_a_symlink_to_itself_or_to_nothing(self, folder: Path) -> None:
        (folder / "loop.py").symlink_to("loop.py")
        (folder / "none.py").symlink_to("nowhere.py")
        assert load_dir(folder).broken.keys() == {"loop", "none"}

    def test_the_folder_may_be_reached_by_a_symlink(self, folder: Path, tmp_path: Path) -> None:
        write(folder, "greet.py", GOOD)
        (tmp_path / "link").symlink_to(folder)
        assert set(load_dir(tmp_path / "link").table) == {"greet.hello"}

    @pytest.mark.parametrize("mode", [0o646, 0o664, 0o666])
    def test_a_file_that_others_may_write_to(self, folder: Path, mode: int) -> None:
        write(folder, "greet.py", GOOD, mode)
        assert "may be written to by others" in load_dir(folder).broken["greet"]

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
    def test_a_folder_that_others_may_write_to(self, folder: Path, mode: int) -> None:
        write(folder, "greet.py", GOOD)
        folder.chmod(mode)
        loaded = load_dir(folder)
        assert "may be written to by others" in loaded.broken[str(folder)]
        assert loaded.table == {}

    def test_a_link_into_a_folder_within_that_others_may_write_to(self, folder: Path) -> None:
        inner = folder / "inner"
        inner.mkdir()
        write(inner, "greet.py", GOOD)
        inner.chmod(0o777)
        (folder / "greet.py").symlink_to("inner/greet.py")
        assert "inner may be written to by others" in load_dir(folder).broken["greet"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_a_file_of_somebody_else(self, folder: Path) -> None:
        os.chown(write(folder, "greet.py", GOOD), 12345, 0)
        assert "belongs to user 12345" in load_dir(folder).broken["greet"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
    def test_a_folder_of_somebody_else(self, folder: Path) -> None:
        os.chown(folder, 12345, 0)
        assert "belongs to user 12345" in load_dir(folder).broken[str(folder)]

    def test_what_is_no_file(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe.py", 0o600)
        (folder / "folder.py").mkdir()
        loaded = load_dir(folder)
        assert "it is no regular file" in loaded.broken["pipe"]
        assert "folder" in loaded.broken

    def test_a_folder_that_is_a_file(self, folder: Path) -> None:
        path = write(folder, "greet.py", GOOD)
        assert str(path) in load_dir(path).broken


class TestEntryPoints:
    @pytest.fixture
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        made = tmp_path / "site"
        made.mkdir()
        monkeypatch.syspath_prepend(str(made))
        return made

    def install(self, site: Path, entries: str) -> None:
        info = site / "extra-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[jr.test_group]\n" + entries)

    def test_modules_by_name(self, site: Path) -> None:
        write(site, "extra_jr_good.py", GOOD)
        write(site, "extra_jr_bad.py", "1 / 0")
        self.install(site, "greet = extra_jr_good\nbad = extra_jr_bad\nattribute = extra_jr_good:hello\n")
        loaded = load({"entry_points": "jr.test_group"})
        assert set(loaded.table) == {"greet.hello"}
        assert loaded.broken["bad"].endswith("ZeroDivisionError: division by zero")
        assert loaded.broken["attribute"].endswith("it must name a module, not extra_jr_good:hello")
        assert "extra_jr_bad" not in sys.modules

    def test_none(self) -> None:
        loaded = load({"entry_points": "jr.none_of_this_name"})
        assert (loaded.table, loaded.broken) == ({}, {})

    def test_a_search_that_does_not_end(self) -> None:
        loaded = load({"entry_points": "jr.none_of_this_name", "import_seconds": 0.0})
        assert "cannot look for entry points" in loaded.broken["jr.none_of_this_name"]
