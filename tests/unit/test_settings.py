"""Settings from their layers, where each came from, and how what is wrong is refused."""

from __future__ import annotations

import os
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from config.kinds import FACTS_LIMIT
from config.load import Loaded, SettingsError, describe, load_master, load_minion
from config.paths import Paths
from config.settings import MasterSettings, MinionSettings

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


def host() -> str:
    return "Web1.Example.ORG"


def master(
    root: Path, text: str | None = None, environ: dict[str, str] | None = None, **flags: Any
) -> Loaded[MasterSettings]:
    paths = Paths(root)
    if text is not None:
        paths.master_settings.parent.mkdir(parents=True, exist_ok=True)
        paths.master_settings.write_text(text)
    return load_master(paths, environ or {}, flags)


def minion(
    root: Path, text: str | None = None, environ: dict[str, str] | None = None, **flags: Any
) -> Loaded[MinionSettings]:
    paths = Paths(root)
    if text is not None:
        paths.minion_settings.parent.mkdir(parents=True, exist_ok=True)
        paths.minion_settings.write_text(text)
    return load_minion(paths, environ or {}, flags, host)


def refused(root: Path, text: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    """The one line with which a minion refuses its settings; the place of the file is left out."""
    with pytest.raises(SettingsError) as caught:
        minion(root, text, environ, **flags)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(Paths(root).minion_settings), "FILE")


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert master(tmp_path).settings == MasterSettings()
    assert minion(tmp_path).settings == MinionSettings(id=minion(tmp_path).settings.id)


def test_the_defaults_are_those_of_the_design() -> None:
    defaults = MasterSettings()
    assert (defaults.port, defaults.enrol_port) == (4520, 4521)
    assert (defaults.keep_jobs, defaults.lost_after) == (86_400, 86_400)
    assert (defaults.start_within, defaults.grace, defaults.offline_grace) == (300, 10, 60)
    assert defaults.return_limit == 524_288


@pytest.mark.parametrize("nothing", ["", "# only a comment\n", "---\n", "null\n", "~", "{}"])
def test_a_file_that_says_nothing_means_the_defaults(tmp_path: Path, nothing: str) -> None:
    assert master(tmp_path, nothing).settings == MasterSettings()


def test_the_shown_defaults_are_the_defaults_and_complete(tmp_path: Path) -> None:
    for name, kind in (("master", MasterSettings), ("minion", MinionSettings)):
        text = (files("config") / f"defaults/{name}.yaml").read_text("utf-8")
        shown = [line.removeprefix("# ").partition(":")[0] for line in text.splitlines() if ":" in line]
        for option in fields(kind):
            assert option.name in shown, f"{name}.yaml does not show {option.name}"
        loaded = master(tmp_path, text) if kind is MasterSettings else minion(tmp_path, text)
        former = MasterSettings() if kind is MasterSettings else minion(tmp_path / "none").settings
        assert loaded.settings == former
        # All but the id, which has no default of its own, are written out.
        assert set(loaded.origins) - {"id"} == {option.name for option in fields(kind)} - {"id"}


def test_every_shown_default_has_a_line_of_why() -> None:
    for name in ("master", "minion"):
        lines = (files("config") / f"defaults/{name}.yaml").read_text("utf-8").splitlines()
        for before, line in pairwise(lines):
            if line and not line.startswith("#"):
                assert before.startswith("#"), line
                assert max(map(len, lines)) <= 120


def test_each_layer_wins_over_those_before(tmp_path: Path) -> None:
    text = "port: 1001\ngrace: 11s\nmax_jobs: 1\nlog_level: debug\n"
    environ = {"JR_MASTER_GRACE": "12s", "JR_MASTER_MAX_JOBS": "2", "JR_MINION_PORT": "7", "PATH": "/bin"}
    loaded = master(tmp_path, text, environ, max_jobs="3", bind=None)
    settings = loaded.settings
    assert (settings.port, settings.grace, settings.max_jobs, settings.log_level) == (1001, 12.0, 3, "debug")
    file = Paths(tmp_path).master_settings
    assert loaded.origin("port") == f"{file} line 1"
    assert loaded.origin("log_level") == f"{file} line 4"
    assert loaded.origin("grace") == "JR_MASTER_GRACE"
    assert loaded.origin("max_jobs") == "--max-jobs"
    assert loaded.origin("bind") == "default"


def test_flags_may_be_typed_or_plain_values(tmp_path: Path) -> None:
    assert master(tmp_path, keep_jobs="48").settings.keep_jobs == 48 * 3_600
    assert master(tmp_path, keep_jobs=48).settings.keep_jobs == 48 * 3_600
    assert master(tmp_path, runner_dirs=["/a"]).settings.runner_dirs == ("/a",)
    assert master(tmp_path, runner_dirs="[/a, /b]").settings.runner_dirs == ("/a", "/b")


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert master(tmp_path, environ={"JR_MASTER_PORT": ""}).settings.port == 4520


def test_text_from_the_environment_is_the_text_itself(tmp_path: Path) -> None:
    loaded = minion(tmp_path, environ={"JR_MINION_ID": "007", "JR_MINION_MASTER": "1.5", "JR_MINION_FACTS": "{a: [1]}"})
    assert (loaded.settings.id, loaded.settings.master, loaded.settings.facts) == ("007", "1.5", {"a": [1]})


@pytest.mark.parametrize(("text", "seconds"), [
    ("48", 172_800), ("48h", 172_800), ("2d", 172_800), ("'48'", 172_800), ("0", 0), ("90s", 90), ("1h 30m", 5_400),
    ("0.5", 1_800),
])
def test_keep_jobs_counts_hours(tmp_path: Path, text: str, seconds: float) -> None:  # S11
    assert master(tmp_path, f"keep_jobs: {text}").settings.keep_jobs == seconds


def test_a_whole_minion_file(tmp_path: Path) -> None:
    settings = minion(tmp_path, f"""
id: web1
master: 2001:db8::1
master_key: '{KEY}'
output_limit: 2M
left_behind: kill
containment: subreaper
function_dirs: [/srv/functions]
facts: {{role: web, racks: [1, 2]}}
schedule:
  tidy: {{function: cmd.run, args: [tidy], every: 30m}}
  beat: {{function: test.ping, cron: '*/5 * * * *'}}
""").settings
    assert (settings.id, settings.master, settings.master_key) == ("web1", "2001:db8::1", KEY)
    assert (settings.output_limit, settings.left_behind, settings.containment) == (2 * 2**20, "kill", "subreaper")
    assert settings.function_dirs == ("/srv/functions",)
    assert settings.facts == {"role": "web", "racks": [1, 2]}
    assert settings.schedule["tidy"] == {"function": "cmd.run", "args": ["tidy"], "every": "30m"}
    assert list(settings.schedule) == ["tidy", "beat"]


@pytest.mark.parametrize(("name", "id"), [
    ("web1", "web1"), ("Web1.Example.ORG", "web1.example.org"), ("my host_2!", "my-host_2-"), ("-x", "x"),
    ("a" * 80, "a" * 63), ("müller", "m-ller"),
])
def test_the_default_id_is_the_name_of_the_host(tmp_path: Path, name: str, id: str) -> None:
    loaded = load_minion(Paths(tmp_path), {}, {}, lambda: name)
    assert loaded.settings.id == id
    assert loaded.origin("id") == "host name"


@pytest.mark.parametrize("name", ["", "---", "master", "MASTER", "日本"])
def test_a_host_name_that_gives_no_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r'cannot make a minion id from the host name .*: set "id" in minion\.yaml'):
        load_minion(Paths(tmp_path), {}, {}, lambda: name)
    assert load_minion(Paths(tmp_path), {}, {"id": "x"}, lambda: name).settings.id == "x"


@pytest.mark.parametrize(("text", "line"), [
    ("prot: 1", 'FILE line 1: there is no option "prot"; did you mean "port"?'),
    ("\n\nxyzzy: 1", 'FILE line 3: there is no option "xyzzy"'),
    ("on: 1", 'FILE line 1: there is no option "True"'),
    ("port: many", "FILE line 1: port is 'many', and must be a whole number from 1 to 65535"),
    ("port: 0", "FILE line 1: port is 0, and must be a whole number from 1 to 65535"),
    ("port: 65536", "FILE line 1: port is 65536, and must be a whole number from 1 to 65535"),
    ("port: true", "FILE line 1: port is True, and must be a whole number from 1 to 65535"),
    ("port: 4.5", "FILE line 1: port is 4.5, and must be a whole number from 1 to 65535"),
    ("port:", "FILE line 1: port is None, and must be a whole number from 1 to 65535"),
    ("max_jobs: -1", "FILE line 1: max_jobs is -1, and must be a whole number from 0 to 100000"),
    ("grace: soon", "FILE line 1: grace is 'soon', and must be a length of time such as 30s, 5m, 2h, 1d or 2w, from 0"),
    ("grace: 2d", "FILE line 1: grace is '2d', and must be a length of time"),
    ("keep_jobs: x", "from 0 to 10000d; a bare number means hours"),
    ("output_limit: 1k", "output_limit is '1k', and must be a number of bytes such as 4096, 512k, 1M or 2G, from 4k"),
    ("output_limit: big", "output_limit is 'big', and must be a number of bytes"),
    ("log_level: loud", "log_level must be one of debug, info, warning, error"),
    ("log_format: jsn", 'log_format must be one of text, json; did you mean "json"?'),
    ("left_behind: [kill]", "left_behind must be one of leave, kill"),
    ("id: Web1", "id is 'Web1', and must be a minion id: a-z, 0-9"),
    ("id: 12", "id is 12, and must be a minion id: a-z, 0-9, dot, underscore and dash, 63 characters at most, in"),
    ("id: master", 'id must be any other minion id: "master" is reserved for runner jobs'),
    ("id: ../x", "id is '../x', and must be a minion id"),
    ("master: [a]", "master is ['a'], and must be a host name or an IP address"),
    ("master: 'a b'", "master is 'a b', and must be a host name or an IP address"),
    ("master_key: short", "master_key is 'short', and must be the 40 characters that `jr-key finger` shows on the"),
    ("join: [secret]", "join must be the line that `jr-key token` printed"),
    ("function_dirs: /a", "function_dirs is '/a', and must be a list of absolute paths"),
    ("function_dirs: [a]", "function_dirs is ['a'], and must be a list of absolute paths"),
    ("facts: 5", "facts is 5, and must be a mapping of names to plain data"),
    ("facts: {1: 2}", "facts is {1: 2}, and must be a mapping of names to plain data"),
    ("facts: {a: 2026-01-02}", "facts must be plain data (cannot pack the value['a'], a date"),
    (f"facts: {{a: {'x' * FACTS_LIMIT}}}", "facts must be at most 49152 bytes of plain data"),
])
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    shown = refused(tmp_path, text)
    assert shown.startswith("cannot use FILE")
    assert line in shown


@pytest.mark.parametrize(("text", "line"), [
    ("port: 1\nport: 2", "cannot use FILE line 2: port stands there twice"),
    ("facts:\n  a: 1\n  a: 2", "cannot use FILE line 3: a stands there twice"),
    ("schedule: {x: [{y: 1, y: 2}]}", "cannot use FILE line 1: y stands there twice"),
    ("- port", "cannot use FILE: it must be a mapping, with a line such as"),
    ("just text", "cannot use FILE: it must be a mapping"),
    ("port: [1", "cannot use FILE line 1: it is not YAML: "),
    ("a: b: c", "cannot use FILE line 1: it is not YAML: mapping values are not allowed here"),
    ("id: !!python/object:os.system x", "cannot use FILE line 1: it is not YAML: could not determine a constructor"),
    ("x: &a [*b]", "cannot use FILE line 1: it is not YAML: found undefined alias"),
    ("x: * * * * *", "cannot use FILE line 1: it is not YAML: expected alphabetic or numeric character, but found ' '; "
                      "text that begins with * needs quotes"),
    ("? [a, b]\n: 1", "cannot use FILE line 1: it is not YAML: found unhashable key"),
    ("a: 1\n---\nb: 2", "cannot use FILE line 2: it is not YAML: but found another document"),
    ("facts: {a: 2026-13-45}", "cannot use FILE: it is not YAML: month must be in 1..12"),
    ("a: \x01", "cannot use FILE: it is not YAML: unacceptable character"),
    ("[" * 5_000, "cannot use FILE: it is not YAML: "),
])
def test_a_file_that_is_no_settings_file(tmp_path: Path, text: str, line: str) -> None:
    assert refused(tmp_path, text).startswith(line)


def test_an_anchor_that_leads_to_itself_ends(tmp_path: Path) -> None:
    assert "facts must be plain data" in refused(tmp_path, "facts: &a {b: *a}")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = Paths(tmp_path).minion_settings
    path.mkdir(parents=True)
    assert refused(tmp_path) == "cannot use FILE: it is not a regular file"
    path.rmdir()
    os.mkfifo(path)
    assert refused(tmp_path) == "cannot use FILE: it is not a regular file"
    path.unlink()
    path.write_bytes(b"id: \xff")
    assert refused(tmp_path) == "cannot use FILE: it is not UTF-8 text"
    path.write_text("#" * (1024 * 1024 + 1))
    assert refused(tmp_path) == "cannot use FILE: it has 1048577 bytes, and 1048576 are allowed"
    path.unlink()
    path.symlink_to(path.name)
    assert refused(tmp_path) == "cannot read FILE: Too many levels of symbolic links"


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    path = Paths(tmp_path).minion_settings
    path.parent.mkdir(parents=True)
    (tmp_path / "real.yaml").write_text("id: linked")
    path.symlink_to(tmp_path / "real.yaml")
    assert minion(tmp_path).settings.id == "linked"


def test_what_is_wrong_in_the_environment_and_in_flags(tmp_path: Path) -> None:
    assert refused(tmp_path, environ={"JR_MINION_PORT": "x"}) == (
        "cannot use JR_MINION_PORT: port is 'x', and must be a whole number from 1 to 65535"
    )
    assert refused(tmp_path, environ={"JR_MINION_PROT": "1"}) == (
        'cannot use JR_MINION_PROT: there is no option "prot"; did you mean "port"?'
    )
    assert refused(tmp_path, environ={"JR_MINION_FACTS": "[1"}) == (
        "cannot use JR_MINION_FACTS: facts is '[1', and must be a mapping of names to plain data"
    )
    assert refused(tmp_path, enrol_port="x").startswith("cannot use --enrol-port: enrol_port is 'x'")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        minion(tmp_path, "port: x\nprot: 1\ngrace: 1s", {"JR_MINION_GRACE": "x"})
    assert [problem.split(": ")[1][:12] for problem in caught.value.problems] == [
        "port is 'x',", "there is no ", "grace is 'x'",
    ]
    assert str(caught.value).count("\n") == 2
    assert caught.value.exit == 2


def test_a_file_that_is_wrong_does_not_hide_what_else_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        minion(tmp_path, "[", {"JR_MINION_PORT": "x"})
    assert len(caught.value.problems) == 2


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in refused(tmp_path, '"a\\e[31m": 1')
    assert "\x1b" not in refused(tmp_path, 'master: "a\\e[31m"')


def test_describe_shows_every_option_and_where_it_came_from(tmp_path: Path) -> None:
    loaded = minion(tmp_path, "grace: 5s\njoin: the-secret-token", {"JR_MINION_PORT": "7"})
    lines = describe(loaded)
    assert len(lines) == len(fields(MinionSettings)) - len(("schedule", "periods"))
    assert "id: 'web1.example.org'  (host name)" in lines
    assert f"grace: 5.0  ({Paths(tmp_path).minion_settings} line 1)" in lines
    assert "port: 7  (JR_MINION_PORT)" in lines
    assert "max_jobs: 0  (default)" in lines
    assert not any("the-secret-token" in line for line in lines)
    assert describe(master(tmp_path))[0] == "bind: '0.0.0.0'  (default)"


def test_a_secret_is_not_shown_when_it_is_wrong(tmp_path: Path) -> None:
    assert "sesame" not in refused(tmp_path, "join: " + "sesame" * 500)


@given(st.text(max_size=60))
def test_whatever_stands_in_a_variable_is_taken_or_refused(text: str) -> None:
    for name in ("PORT", "FACTS", "SCHEDULE", "ID", "KEEP_JOBS", "OUTPUT_LIMIT", "FUNCTION_DIRS", "MASTER", "JOIN"):
        try:
            load_minion(Paths(Path("/nonexistent")), {f"JR_MINION_{name}": text}, {}, host)
        except SettingsError as error:
            refusal = str(error)
        else:
            continue
        assert refusal.startswith(f"cannot use JR_MINION_{name}: ")
        assert "\n" not in refusal
