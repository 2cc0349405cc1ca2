"""What commands print, in every format. # S17"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Exit
from common.output import DEPTH, FORMATS, Kind, plain, render, render_pair, summary, unfinished
from common.states import State

JID = "20260102030405123456"
HOSTILE = "\x1b[2J\r\x07evil\x9b\u202e"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def pair(state: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "state": state, "retcode": None, "return": value, "stdout": "", "stderr": "", "started": None, "ended": None,
        "duration": None, "pid": None, "evidence": None,
    } | more


def job(**more: Any) -> dict[str, Any]:
    return {
        "jid": JID, "function": "cmd.run", "args": ["ls -l"], "kwargs": {"cwd": "/tmp"}, "target": "web*",
        "target_type": "glob", "user": "root", "published": 1_767_323_045.1, "done": 1_767_323_046.3,
        "counts": {"failed": 1, "succeeded": 1},
    } | more


DOCUMENT = job(minions={
    "web1": pair("succeeded", "fine", retcode=0, stdout="fine\n"),
    "web10": pair("failed", "", retcode=2, stderr="no such file\nat all\n"),
})


def test_the_table_of_a_job() -> None:
    assert render("job", DOCUMENT) == """\
job        20260102030405123456
function   cmd.run 'ls -l' cwd=/tmp
target     web*
user       root
published  2026-01-02 03:04:05
done       2026-01-02 03:04:06 (after 1.2s)

web1   succeeded    fine
web10  failed       exit 2
  stderr:
    no such file
    at all

1 succeeded, 1 failed"""


def test_a_job_that_is_open_with_all_it_may_have() -> None:
    shown = render("job", job(
        done=None, schedule="tidy", metadata={"team": "the one"}, target="a,b", target_type="list", minions={},
        counts={},
    ))
    assert "target     a,b (list)" in shown
    assert "done       not yet" in shown
    assert "schedule   tidy" in shown
    assert "metadata   team='the one'" in shown
    assert shown.endswith("no minions")


@pytest.mark.parametrize(("given", "shown"), [
    (pair("succeeded", True), "m  succeeded    true"),
    (pair("succeeded", None), "m  succeeded"),
    (pair("succeeded", ""), "m  succeeded"),
    (pair("succeeded", 0.5), "m  succeeded    0.5"),
    (pair("succeeded", "one", duration=4.21), "m  succeeded    one  (4.2s)"),
    (pair("succeeded", "one", duration=0.2), "m  succeeded    one"),
    (pair("succeeded", "one\ntwo"), "m  succeeded\n  one\n  two"),
    (pair("succeeded", "a\tb"), "m  succeeded    a       b"),
    (pair("succeeded", {"a": [1, {"b": None}]}), "m  succeeded\n  a:\n    - 1\n    - b: null"),
    (pair("succeeded", {"a": 1}), "m  succeeded    a: 1"),
    (pair("succeeded", []), "m  succeeded    []"),
    (pair("succeeded", 5, stdout="printed\n"), "m  succeeded\n  5\n  stdout:\n    printed"),
    (pair("succeeded", "x", truncated=True), "m  succeeded    cut\n  x"),
    (pair("succeeded", None, expired=True), "m  succeeded    value and output deleted by keep_jobs"),
    (pair("running", None, pid=7), "m  running      pid 7"),
    (pair("failed", "", retcode=1, evidence={"reason": "ValueError: no"}), "m  failed       ValueError: no"),
    (pair("failed", "", retcode=137, evidence={"signal": 9}), "m  failed       signal 9"),
    (pair("undelivered", evidence={"reason": "not connected"}), "m  undelivered  not connected"),
    (pair("killed", evidence={"by": "ann", "reason": "stopped before it was sent"}),
     "m  killed       stopped before it was sent; by ann"),
    (pair("killed", "", retcode=143, evidence={"by": "ann", "signalled": 7, "took": 0.0412}),
     "m  killed: 7 processes, 0 left, 0.04 s; by ann"),
    (pair("killed", "", evidence={
        "signalled": 1, "took": 10.0, "survivors": [{"pid": 3, "name": "x", "state": "D"}], "by": "ann"}),
     "m  killed: 1 process, 1 left, 10 s; by ann; still alive: 3 x (D)"),
    (pair("timed_out", "", evidence={"signalled": 3, "took": 0.1, "timeout": 5.0, "reason": "ran longer than its"}),
     "m  timed_out after 5 s: 3 processes, 0 left, 0.1 s"),
    (pair("timed_out", "", evidence={"reason": "it took more than 120 s"}), "m  timed_out    it took more than 120 s"),
    (pair("lost", evidence={"reason": "its supervisor died", "signalled": 2, "took": 0.001, "containment": "unknown"}),
     "m  lost         its supervisor died; 2 processes, survivors unknown, 0.01 s"),
    (pair("succeeded", "", evidence={"left_behind": [{"pid": 3, "name": "d"}], "signalled": 1, "took": 0.02}),
     "m  succeeded    1 process, 0 left, 0.02 s; left behind and ended: 3 d"),
    (pair("planned"), "m  planned      waits for the minion to connect"),
    (pair("succeeded", "", evidence={"left_behind": [{"pid": 3}, {"pid": 4, "name": "d"}], "lost_bytes": 9}),
     "m  succeeded    left behind: 3, 4 d; 9 bytes of output not kept"),
    (pair("", None), "m"),
    ({}, "m"),
])
def test_the_table_of_a_pair(given: dict[str, Any], shown: str) -> None:
    assert render_pair("m", given) == shown


def test_pairs_line_up_when_they_come_one_by_one() -> None:
    shown = [render_pair(name, pair("succeeded", True), name_width=5) for name in ("m1", "web10")]
    assert shown == ["m1     succeeded    true", "web10  succeeded    true"]
    both = render("pairs", {"m1": pair("succeeded", True), "web10": pair("succeeded", True)})
    assert both.split("\n") == shown


def test_the_list_of_jobs() -> None:
    jobs = [job(), job(done=None, function="test.ping", args=[], kwargs={}, target="x", target_type="regex", counts={
        "running": 2})]
    shown = """\
JID                   PUBLISHED       USER  FUNCTION                  TARGET     STATES
20260102030405123456  01-02 03:04:05  root  cmd.run 'ls -l' cwd=/tmp  web*       1 succeeded, 1 failed
20260102030405123456  01-02 03:04:05  root  test.ping                 x (regex)  open: 2 running"""
    assert render("jobs", jobs, width=0) == shown
    assert render("jobs", {"jobs": jobs, "next": "c"}, width=200) == shown


def test_long_columns_are_cut_to_the_width() -> None:
    lines = render("jobs", [job(args=["x" * 500], target="y" * 500, counts={"failed": 1})], width=90).split("\n")
    assert max(map(len, lines)) <= 90
    assert "…" in lines[1]
    assert lines[1].endswith("1 failed")


LOAD = {"age": 4.0, "running": 2, "queued": 1, "spool": 3, "containment": "cgroup", "clock_offset": -1.504}
WIDE: list[tuple[Kind, Any]] = [
    ("jobs", [job(jid=f"{JID}-0123456789abcdef", args=["x" * 500], target="y" * 500, counts={"undelivered": 1})]),
    ("keys", [{"id": "m1", "fingerprint": "ab:" * 32, "state": "pending", "filed": 1_767_323_045}]),
    ("keys", [{"id": "m1", "fingerprint": "ab:" * 32, "state": "accepted", "confirmed": False, "reason": "z" * 99}]),
    ("presence", {"m1": {"up": True, "since": 1.0, "last_seen": 1.0, "version": "0.1", "load": LOAD}}),
    ("presence", {"m1": {"quarantined": "z" * 99, "since": 1.0, "last_seen": 1.0, "version": "0.1"}}),
    ("runs", [{"schedule": "nightly", "minion": "web1", "planned": 1.0, "verdict": "failed_to_start", "at": 1.0,
               "jid": f"{JID}-0123456789abcdef", "states": {"failed": 3}, "reason": "z" * 99}]),
    ("schedules", [{"name": "nightly", "status": "scheduled", "function": "cmd.run", "args": ["x" * 99], "next": 1.0,
                    "cron": "0 3 * * *", "last_verdict": "caught_up", "last_state": "succeeded", "origin": "z" * 99}]),
]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(("kind", "value"), WIDE)
def test_no_table_is_wider_than_the_terminal(kind: Kind, value: Any, width: int) -> None:
    lines = render(kind, value, width=width).split("\n")
    whole = render(kind, value, width=0)
    assert max(map(len, lines)) <= width
    assert "…" not in whole, "a pipe gets all of it"
    assert lines[0] == whole.split("\n")[0] or any("…" in line for line in lines), "what is cut is marked"


def test_summaries_are_a_line_each() -> None:
    value = {"a.b": "One.", "longer.name": "x" * 99, "bare": ""}
    assert render("summaries", value, width=30).split("\n") == [
        "a.b          One.", "longer.name  " + "x" * 16 + "…", "bare"]
    assert json.loads(render("summaries", value, "json")) == value


def test_what_matters_least_makes_room_first() -> None:
    (_, jobs), _, _, (_, load), (_, alone), (_, runs), (_, entries) = WIDE
    head, row = render("jobs", jobs, width=80).split("\n")
    assert head.split() == ["JID", "…", "…", "FUNCTION", "…", "STATES"]
    assert row.endswith("1 undelivered")
    assert row.startswith(f"{JID}-0123456789abcdef  …  …  cmd.run ")
    assert render("presence", load, width=80).split("\n")[0].split() == [
        "MINION", "STATE", "SINCE", "…", "…", "RUNS", "QUEUED", "SPOOL", "CLOCK", "…", "…"]
    assert "zzzz…" in render("presence", alone, width=60)
    head, row = render("runs", runs, width=80).split("\n")
    assert head.split() == ["PLANNED", "SCHEDULE", "MINION", "VERDICT", "…", "…", "WHY"]
    assert row.endswith("zzzzzzzzzz…"), "room that others gave up is used"
    assert render("schedules", entries, width=80).split("\n")[0].split() == [
        "NAME", "STATUS", "RUNS", "WHEN", "NEXT", "…", "FROM"]


def test_open_jobs() -> None:
    shown = render("active", {JID: job(
        running={"web1": {"pid": 4, "age": 75.2}, "web2": {"pid": None, "age": None}}, queued=[], waiting=["a", "b"],
        returned=[f"m{number}" for number in range(25)], schedule="tidy",
    )})
    assert shown == f"""\
{JID}  cmd.run 'ls -l' cwd=/tmp
  web*, by root, since 2026-01-02 03:04:05, schedule tidy
  running   web1 (pid 4, 1m 15s), web2
  waiting   a, b
  returned  {", ".join(f"m{number}" for number in range(20))} and 5 more"""


def test_presence_with_what_the_minions_say_of_themselves() -> None:
    load = {"age": 4.0, "running": 2, "queued": 1, "spool": 3, "oldest": 61.0, "containment": "cgroup",
            "clock_offset": -1.504}
    head, up, down = render("presence", {"m1": {"up": True, "load": load}, "m2": {"up": False}}, width=0).split("\n")
    assert head.split("VERSION")[1].split() == ["RUNS", "QUEUED", "SPOOL", "CLOCK", "HELD", "BY", "TOLD"]
    assert up.split()[2:] == ["2", "1", "3", "(1m", "1s)", "-1.50", "s", "cgroup", "4.0s", "ago"]
    assert down.split() == ["m2", "down"]


def test_presence() -> None:
    assert render("presence", {
        "web1": {"up": True, "since": 1_767_323_045, "last_seen": 1_767_323_045, "version": "0.1"},
        "b": {"up": False, "since": None, "last_seen": None, "version": ""},
    }) == """\
MINION  STATE  SINCE                LAST SEEN            VERSION
web1    up     2026-01-02 03:04:05  2026-01-02 03:04:05  0.1
b       down"""


def test_keys() -> None:
    keys = [{"id": "m1", "key": "k", "fingerprint": "ab:cd", "state": "pending", "filed": 1_767_323_045}]
    assert render("keys", {"keys": keys, "master": {"key": "k", "fingerprint": "ff:00"}}) == """\
ID      STATE    FINGERPRINT  FILED
master           ff:00
m1      pending  ab:cd        2026-01-02 03:04:05"""
    assert render("keys", keys).startswith("ID  STATE    FINGERPRINT  FILED\nm1")
    assert render("keys", {"keys": keys, "master": {"fingerprint": "ff:00", "next_fingerprint": "ee:11"}}) == """\
ID      STATE    FINGERPRINT  FILED
master           ff:00
master  next     ee:11
m1      pending  ab:cd        2026-01-02 03:04:05"""
    keys = [{"id": "m1", "state": "accepted", "confirmed": False}, {"id": "m2", "state": "accepted", "confirmed": True},
            {"id": "m3", "state": "pending", "confirmed": None}]
    assert render("keys", {"keys": keys, "master": {}}) == """\
ID  STATE     FINGERPRINT  FILED  CONFIRMED
m1  accepted                      no
m2  accepted                      yes
m3  pending"""


@pytest.mark.parametrize(("value", "shown"), [
    (None, ""), (True, "true"), (3, "3"), ("text", "text"), ("a\nb\n", "a\nb"), ([], "[]"), ({}, "{}"),
    (["a", None], "- a\n- null"), ([[1, [2]], []], "- - 1\n  - - 2\n- []"),
    ({"a": {"b": "x\ny"}, "c": ""}, "a:\n  b:\n    x\n    y\nc:"),
    ([{"id": 1, "n": "x"}, {"id": 22, "n": None}], "id  n\n1   x\n22  null"),
    ([{"id": 1}, {"no": 2}], "- id: 1\n- no: 2"),
    ([{"id": [1]}, {"id": 2}], "- id:\n    - 1\n- id: 2"),
    ([{"id": "x" * 90}, {"id": 2}], f"- id: {'x' * 90}\n- id: 2"),
    ({1: "int", b"b": b"bytes", None: 2}, "1: int\nb: bytes\nnull: 2"),
    (b"\xff\xfe", "base64: //4="),
])
def test_the_table_of_any_value(value: Any, shown: str) -> None:
    assert render("value", value) == shown


def test_colour_only_where_it_is_asked_for() -> None:
    for kind, value in (("job", DOCUMENT), ("jobs", [job()])):
        assert "\x1b" not in render(kind, value)  # type: ignore[arg-type]
        coloured = render(kind, value, colour=True)  # type: ignore[arg-type]
        assert re.sub("\x1b\\[[0-9]+m", "", coloured) == render(kind, value)  # type: ignore[arg-type]
        assert "\x1b" in coloured
    assert "\x1b[31mfailed" in render_pair("m", pair("failed"), colour=True)
    assert "\x1b[36mrunning" in render_pair("m", pair("running"), colour=True)
    assert "\x1b[32mup" in render("presence", {"m": {"up": True}}, colour=True)
    for fmt in FORMATS[1:]:
        assert "\x1b" not in render("job", DOCUMENT, fmt, colour=True)


def test_the_summary_has_the_worst_last() -> None:
    counts = {state: 1 for state in sorted(State)} | {"odd": 1, "failed": 2, "killed": 0}
    assert summary(counts) == (
        "1 succeeded, 1 planned, 1 sent, 1 accepted, 1 queued, 1 running, 1 undelivered, 1 refused, 1 lost, "
        "1 timed_out, 2 failed, 1 odd"
    )
    assert summary({}) == "no minions"
    assert summary({"failed": 1}, colour=True) == "\x1b[31m1 failed\x1b[0m"


def test_json_and_yaml_are_the_value_itself() -> None:
    assert json.loads(render("job", DOCUMENT, "json")) == DOCUMENT
    assert yaml.safe_load(render("job", DOCUMENT, "yaml")) == DOCUMENT
    assert "    stderr: |\n      no such file\n      at all" in render("job", DOCUMENT, "yaml")


def test_jsonl_is_a_line_for_each_minion_job_or_item() -> None:
    def lines(kind: Kind, value: Any) -> list[Any]:
        return [json.loads(line) for line in render(kind, value, "jsonl").split("\n")]

    web1 = DOCUMENT["minions"]["web1"]
    assert lines("job", DOCUMENT)[0] == {"jid": JID, "minion": "web1", **web1}
    assert lines("pairs", {"web1": web1}) == [{"minion": "web1", **web1}]
    assert lines("jobs", {"jobs": [job(), job()], "next": None}) == [job(), job()]
    assert lines("jobs", [job()]) == [job()]
    assert lines("active", {JID: job()}) == [job()]
    assert lines("presence", {"m": {"up": True}}) == [{"minion": "m", "up": True}]
    assert lines("keys", {"keys": [{"id": "m"}], "master": {}}) == [{"id": "m"}]
    assert lines("job", {JID: DOCUMENT}) == lines("job", DOCUMENT), "under its jid, as of jobs.print_job"
    assert lines("value", [1, "a"]) == [1, "a"]
    assert lines("value", {"a": 1}) == [{"a": 1}]
    assert json.loads(render_pair("web1", web1, "jsonl", jid=JID)) == {"jid": JID, "minion": "web1", **web1}


def test_raw_is_what_the_jobs_returned_and_nothing_else() -> None:
    minions = {"a": pair("succeeded", "x\n\ty\x1b"), "b": pair("failed", ""), "c": pair("succeeded", {"k": [1]})}
    assert render("job", job(minions=minions), "raw") == 'x\n\ty\x1b\n{"k": [1]}'
    assert render("job", {JID: job(minions=minions)}, "raw") == 'x\n\ty\x1b\n{"k": [1]}'
    assert render_pair("a", minions["a"], "raw") == "x\n\ty\x1b"
    assert render_pair("b", minions["b"], "raw") == ""
    assert render("value", "text\x1b", "raw") == "text\x1b"
    assert render("value", ["a"], "raw") == '["a"]'
    assert render("value", "\ud800", "raw") == "?"
    assert render("presence", {"m": {"up": True}}, "raw") == '{"minion": "m", "up": true}'


def test_what_is_not_whole() -> None:
    minions = {"a": pair("succeeded"), "b": pair("succeeded", truncated=True), "c": pair("failed", expired=True),
               "d": pair("failed", evidence={"lost_bytes": 3}), "e": pair("failed", evidence={"exit_code": 1})}
    assert unfinished("pairs", minions) == ["b", "c", "d"]
    assert unfinished("job", job(minions=minions)) == ["b", "c", "d"]
    assert unfinished("job", {JID: job(minions=minions)}) == ["b", "c", "d"]
    assert unfinished("value", minions) == []


def test_a_pair_in_a_format_of_documents() -> None:
    assert json.loads(render_pair("m", pair("succeeded"), "json")) == {"m": pair("succeeded")}
    assert yaml.safe_load(render_pair("m", pair("succeeded"), "yaml")) == {"m": pair("succeeded")}


KINDS: dict[Kind, Any] = {
    "job": job(
        jid=HOSTILE, function=HOSTILE, args=[HOSTILE, [HOSTILE]], kwargs={HOSTILE: {HOSTILE: HOSTILE}}, target=HOSTILE,
        target_type=HOSTILE, user=HOSTILE, schedule=HOSTILE, metadata={HOSTILE: HOSTILE}, counts={HOSTILE: 1}, minions={
            HOSTILE: pair(HOSTILE, {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}, stdout=HOSTILE, stderr=HOSTILE, evidence={
                "reason": HOSTILE, "by": HOSTILE, "survivors": [{"pid": 1, "name": HOSTILE}]}),
        },
    ),
    "jobs": [job(jid=HOSTILE, user=HOSTILE, function=HOSTILE, target=HOSTILE, counts={HOSTILE: 1})],
    "active": {HOSTILE: job(user=HOSTILE, schedule=HOSTILE, running={HOSTILE: {"pid": HOSTILE}}, waiting=[HOSTILE])},
    "presence": {HOSTILE: {"up": True, "version": HOSTILE}},
    "keys": {"keys": [{"id": HOSTILE, "state": HOSTILE, "fingerprint": HOSTILE}], "master": {"fingerprint": HOSTILE}},
    "names": [HOSTILE],
    "summaries": {HOSTILE: HOSTILE},
    "signals": {"jid": HOSTILE, "stop": HOSTILE, "minions": {HOSTILE: HOSTILE}},
    "value": [{HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}],
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_minion_can_paint_the_terminal(kind: Kind) -> None:
    for fmt in ("table", "json", "jsonl", "yaml"):
        assert not UNSAFE.search(render(kind, KINDS[kind], fmt))


def test_no_return_can_look_like_another_minion() -> None:
    shown = render("pairs", {"a": pair("succeeded", "x\nb  succeeded    fine\n\nc  failed", stderr="d\r\ne")})
    assert all(line.startswith("  ") or not line for line in shown.split("\n")[1:])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=4) | st.integers() | st.binary(max_size=3) | st.none(), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_can_be_shown_in_every_format(value: Any) -> None:
    expected = plain(value)
    table = render("value", value)
    assert not UNSAFE.search(table)
    table.encode()
    text = render("value", value, "json")
    text.encode()
    assert json.loads(text) == expected
    assert not UNSAFE.search(text)
    for line in render("value", value, "jsonl").split("\n"):
        assert line or value == []
    render("value", value, "raw").encode()
    assert not UNSAFE.search(render("value", value, "yaml"))
    render_pair("m", pair("succeeded", value)).encode()


@given(VALUES)
def test_yaml_can_be_read_back(value: Any) -> None:
    expected = plain(value)
    if "\\ud" not in json.dumps(expected):  # half characters have no form in YAML
        assert yaml.safe_load(render("value", value, "yaml")) == expected


def test_what_is_nested_too_deep_is_named() -> None:
    deep: Any = "bottom"
    for _ in range(5_000):
        deep = [deep]
    for fmt in FORMATS:
        shown = render("value", deep, fmt)
        assert f"(nested deeper than {DEPTH})" in shown
        assert "bottom" not in shown


def test_a_list_that_stands_twice_is_written_twice() -> None:
    twice = [1]
    assert render("value", [twice, twice], "yaml") == "- - 1\n- - 1"


def test_a_number_that_json_does_not_have_is_text() -> None:
    assert json.loads(render("value", [float("nan"), float("inf")], "json")) == ["nan", "inf"]


def test_odd_objects_are_shown_as_text() -> None:
    value = (1, State.LOST, {Exit.DENIED}, object)
    assert render("value", value) == "- 1\n- lost\n- - 4\n- <class 'object'>"
    assert render("value", value, "yaml") == "- 1\n- lost\n- - 4\n- <class 'object'>"


@pytest.mark.parametrize(("fmt", "kind"), [("table", "job"), ("json", "job"), ("jsonl", "job"), ("raw", "value")])
def test_a_command_does_not_pay_for_what_it_does_not_use(fmt: str, kind: str) -> None:
    code = (
        f"import sys; from common.output import render; render({kind!r}, {DOCUMENT!r}, {fmt!r})\n"
        "print([name for name in ('yaml', 'msgspec', 'asyncio', 'logging', 'zmq') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
