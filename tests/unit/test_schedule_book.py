"""What files say and what was changed at run time, laid over each other. # F37 P07 P25 I19 S24"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from common.errors import NotFoundError, UsageError
from common.schedule.entries.book import Book
from common.schedule.entries.entries import parse_entry
from common.schedule.entries.layers import Broken, Change, Filed, Files, Saved, merged
from common.schedule.entries.rules import CHANGES_LIMIT
from common.schedule.model import Entry

PING = {"function": "test.ping"}


def files(saved: Mapping[str, Saved] | None = None, periods: tuple[str, ...] = (),
          **entries: Mapping[str, Any]) -> Files:
    return Files({name: Filed(fields, f"a.yaml line {line}") for line, (name, fields) in
                  enumerate(entries.items(), 1)}, saved or {}, periods)


def book(*changes: Change, **entries: Mapping[str, Any]) -> Book:
    made = Book(parse_entry, changes)
    made.load(files(**entries))
    return made


def modify(made: Book, name: str, **fields: Any) -> list[Change]:
    changes = made.modify(name, fields, "ann", 7.0)
    made.take(changes)
    return changes


def test_files_alone_are_what_holds() -> None:
    made = book(tidy={**PING, "every": 60}, beat={**PING, "cron": "0 3 * * *"})
    assert list(made.entries) == ["tidy", "beat"]
    assert made.placed["beat"].origin == made.placed["beat"].file == "a.yaml line 2"
    assert made.placed["beat"].changed == ()
    assert (made.broken, made.hidden, made.changes) == ([], [], [])


def test_a_change_changes_only_what_it_names() -> None:  # F37
    made = book(tidy={**PING, "every": 60, "timeout": 5})
    changes = modify(made, "tidy", timeout=9)
    assert changes == [Change(name="tidy", fields={"timeout": 9}, by="ann", at=7.0)]
    assert made.entries["tidy"] == Entry(name="tidy", function="test.ping", every=60.0, timeout=9.0)
    assert made.placed["tidy"].origin == "a.yaml line 1; timeout changed at run time by ann"
    assert made.placed["tidy"].changed == ("timeout",)


def test_the_file_goes_on_to_count_for_all_other_fields() -> None:  # F37: an edit meanwhile overwrites no change
    made = book(tidy={**PING, "every": 60})
    modify(made, "tidy", enabled=False)
    made.load(files(new=PING, tidy={**PING, "every": 30, "enabled": True, "timeout": 5}))
    assert made.entries["tidy"] == Entry(name="tidy", function="test.ping", every=30.0, timeout=5.0, enabled=False)
    assert made.placed["tidy"].origin == "a.yaml line 2; enabled changed at run time by ann"


def test_changes_survive_a_restart() -> None:  # S24 P25
    made = book(tidy={**PING, "every": 60})
    made.take([*made.modify("tidy", {"every": 5}, "ann", 1.0), *made.add("new", PING, "bob", 2.0)])
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(made.changes), type=list[Change])
    again = book(*kept, tidy={**PING, "every": 60})
    assert again.entries == made.entries
    assert again.placed["new"].origin == "added at run time by bob"


def test_another_trigger_replaces_the_whole_one() -> None:  # P07
    made = book(tidy={**PING, "every": 60, "base": "grid", "anchor": "2026-01-01", "timezone": "UTC"})
    modify(made, "tidy", cron="0 3 * * *")
    entry = made.entries["tidy"]
    assert (entry.every, entry.base, entry.anchor, entry.cron, entry.timezone) == (None, None, None, "0 3 * * *", "UTC")
    modify(made, "tidy", every=5)
    assert (made.entries["tidy"].every, made.entries["tidy"].cron) == (5.0, None)
    assert made.changes[0].fields == {"every": 5}


def test_what_is_cleared_or_equal_is_as_the_file_says() -> None:  # P07
    made = book(tidy={**PING, "every": 60})
    modify(made, "tidy", every=5, timeout=9)
    assert modify(made, "tidy", every=60.0) == [Change(name="tidy", fields={"timeout": 9}, by="ann", at=7.0)]
    assert modify(made, "tidy", timeout=None)[0].nothing
    assert made.changes == []
    assert made.placed["tidy"].origin == "a.yaml line 1"
    made.load(files(tidy={**PING, "every": 120}))
    assert made.entries["tidy"].every == 120.0


def test_a_change_that_changes_nothing_is_none() -> None:
    made = book(tidy={**PING, "every": 60})
    assert modify(made, "tidy", every=60) == []
    modify(made, "tidy", every=5)
    assert modify(made, "tidy", every=5) == []


def test_an_added_entry_can_be_changed_and_deleted() -> None:
    made = book()
    made.take(made.add("new", {**PING, "every": 5, "timeout": None}, "ann", 1.0))
    assert modify(made, "new", timeout=9)[0].whole
    assert made.entries["new"] == Entry(name="new", function="test.ping", every=5.0, timeout=9.0)
    assert modify(made, "new", timeout=None)[0].fields == {**PING, "every": 5}
    deleted = made.delete("new", "ann", 2.0)
    assert deleted[0].nothing, "no file has it, so nothing is hidden"
    made.take(deleted)
    assert (made.entries, made.changes) == ({}, [])


def test_a_deleted_entry_of_a_file_is_hidden_until_the_change_is_forgotten() -> None:  # S24
    made = book(tidy={**PING, "every": 60}, beat=PING)
    made.take(made.delete("tidy", "ann", 1.0))
    assert (list(made.entries), made.hidden) == (["beat"], ["tidy"])
    made.load(files(tidy={**PING, "every": 5}))
    assert made.entries == {}, "an edit does not bring it back"
    with pytest.raises(NotFoundError, match="it was deleted at run time"):
        made.modify("tidy", {}, "ann", 2.0)
    made.take(made.forget("tidy"))
    assert (made.entries["tidy"].every, made.hidden) == (5.0, [])


def test_a_deleted_entry_may_be_added_anew() -> None:
    made = book(tidy={**PING, "every": 60, "timeout": 5})
    made.take(made.delete("tidy", "ann", 1.0))
    made.take(made.add("tidy", {**PING, "cron": "0 3 * * *"}, "ann", 2.0))
    assert made.entries["tidy"] == Entry(name="tidy", function="test.ping", cron="0 3 * * *")
    assert made.placed["tidy"].origin == "a.yaml line 1; replaced at run time by ann"
    made.take(made.delete("tidy", "ann", 3.0))
    assert made.hidden == ["tidy"]


def test_names_that_are_there_and_names_that_are_not() -> None:
    made = book(tidy=PING, bad={"function": 3})
    with pytest.raises(UsageError, match=r"'tidy': there is one of that name \(a.yaml line 1\); modify or delete it"):
        made.add("tidy", PING, "ann", 1.0)
    with pytest.raises(UsageError, match=r"there is one of that name \(a.yaml line 2\)"):
        made.add("bad", PING, "ann", 1.0)
    with pytest.raises(NotFoundError, match="cannot change the schedule 'tdy': there is none; did you mean \"tidy\""):
        made.modify("tdy", {}, "ann", 1.0)
    for verb in (made.delete, lambda *rest: made.copy(rest[0], "b", "ann", 1.0)):
        with pytest.raises(NotFoundError, match="there is none"):
            verb("none", "ann", 1.0)
    with pytest.raises(NotFoundError, match="nothing of it was changed"):
        made.forget("tidy")


def test_a_change_that_makes_no_sense_is_refused_and_leaves_all_as_it_was() -> None:
    made = book(tidy={**PING, "every": 60})
    with pytest.raises(UsageError, match="every"):
        made.modify("tidy", {"every": "soon"}, "ann", 1.0)
    with pytest.raises(UsageError, match="'new'"):
        made.add("new", {"every": 5}, "ann", 1.0)
    assert (made.entries["tidy"].every, made.changes) == (60.0, [])


def test_an_entry_that_is_broken_costs_only_itself_and_can_be_mended_at_run_time() -> None:
    made = book(tidy={**PING, "every": "soon"}, beat=PING)
    assert list(made.entries) == ["beat"]
    assert made.broken == [Broken("tidy", "a.yaml line 1", made.broken[0].problem)]
    assert "every" in made.broken[0].problem
    modify(made, "tidy", every=5)
    assert (list(made.entries), made.broken) == (["tidy", "beat"], [])
    with pytest.raises(UsageError):
        made.modify("tidy", {"every": None}, "ann", 2.0)


def test_a_change_whose_entry_is_gone_is_told_and_waits_for_it() -> None:
    made = book(tidy={**PING, "every": 60})
    modify(made, "tidy", every=5)
    made.load(files())
    assert made.entries == {}
    assert made.broken[0].origin == "every changed at run time by ann"
    assert "no file has that entry any more" in made.broken[0].problem
    with pytest.raises(NotFoundError):
        made.modify("tidy", {"every": 4}, "ann", 1.0)
    made.load(files(tidy={**PING, "every": 30}))
    assert made.entries["tidy"].every == 5.0
    made.load(files())
    made.take(made.delete("tidy", "ann", 2.0))
    assert (made.broken, made.changes) == ([], [])


def test_an_entry_never_runs_without_the_period_that_it_names() -> None:  # I19
    made = Book(parse_entry)
    entries = {"tidy": {**PING, "during": ["night"]}, "beat": PING, "not": {**PING, "except": ["nigth"]}}
    made.load(files(periods=("night",), **entries))
    assert list(made.entries) == ["tidy", "beat"]
    assert made.broken[0].problem == (
        "cannot use the schedule 'not': it names the period 'nigth', which is not there; did you mean \"night\"?")
    made.load(files(**entries))
    assert list(made.entries) == ["beat"]
    assert {broken.name for broken in made.broken} == {"tidy", "not"}
    with pytest.raises(UsageError, match="it names the period 'day'"):
        made.add("new", {**PING, "during": ["day"]}, "ann", 1.0)
    made.load(files(periods=("night", "nigth"), **entries))
    assert list(made.entries) == ["tidy", "beat", "not"]


def test_copy_and_move() -> None:
    made = book(tidy={**PING, "every": 60})
    modify(made, "tidy", timeout=9)
    made.take(made.copy("tidy", "second", "bob", 1.0))
    assert made.entries["second"] == msgspec.structs.replace(made.entries["tidy"], name="second")
    made.take(made.move("tidy", "third", "bob", 2.0))
    assert (list(made.entries), made.hidden) == (["second", "third"], ["tidy"])
    with pytest.raises(UsageError, match="there is one of that name"):
        made.move("second", "third", "bob", 3.0)


def test_saving_moves_the_changes_into_the_file() -> None:  # S24
    made = book(tidy={**PING, "every": 60}, beat=PING, old=PING)
    made.take([*made.modify("tidy", {"every": 5}, "ann", 1.0), *made.delete("old", "ann", 1.0),
               *made.add("new", {**PING, "kwargs": {"a": "s3cret"}, "secret": ["a"]}, "ann", 1.0)])
    document = made.saved()
    assert document == {
        "schedule": {"new": {**PING, "kwargs": {"a": "s3cret"}, "secret": ["a"]}},
        "changed": {"tidy": {"every": 5}}, "deleted": ["old"]}

    entries = made.entries
    reread = files(stored(document), tidy={**PING, "every": 60}, beat=PING, old=PING)
    made.load(reread)
    assert made.entries == entries, "a crash between saving and forgetting changes nothing"
    made.take(made.forget())
    assert (made.entries, made.changes, made.hidden) == (entries, [], ["old"])
    assert made.placed["tidy"].origin == "a.yaml line 1; every changed by saved.yaml"
    assert made.placed["new"].origin == "added by saved.yaml"
    assert made.saved() == document


def stored(document: Mapping[str, Any]) -> dict[str, Saved]:
    changes = [*(Change(name=name, fields=fields, whole=True) for name, fields in document.get("schedule", {}).items()),
               *(Change(name=name, fields=fields) for name, fields in document.get("changed", {}).items()),
               *(Change(name=name, fields=None) for name in document.get("deleted", ()))]
    return {change.name: Saved(change, "saved.yaml") for change in changes}


def test_changes_after_a_save_lie_over_it() -> None:
    made = Book(parse_entry)
    saved = stored({"schedule": {"new": {**PING, "every": 7}}, "changed": {"tidy": {"every": 5}}, "deleted": ["old"]})
    made.load(files(saved, tidy={**PING, "every": 60}, old=PING))
    modify(made, "tidy", cron="0 3 * * *")
    modify(made, "new", timeout=3)
    assert (made.entries["tidy"].every, made.entries["new"].every, made.entries["new"].timeout) == (None, 7.0, 3.0)
    made.take(made.add("old", PING, "ann", 1.0))
    assert made.saved() == {"schedule": {"new": {**PING, "every": 7, "timeout": 3}, "old": PING},
                            "changed": {"tidy": {"cron": "0 3 * * *"}}}
    made.take(made.delete("new", "ann", 2.0))
    assert "new" not in made.entries
    assert "new" not in made.saved()["schedule"]
    assert modify(made, "tidy", cron=None)[0].nothing
    assert made.entries["tidy"].every == 5.0, "what was saved holds again"


def test_a_saved_deletion_of_what_no_file_has_any_more_is_dropped() -> None:
    made = Book(parse_entry)
    made.load(files(stored({"deleted": ["old"]})))
    assert (made.saved(), made.hidden, made.entries) == ({}, [], {})


def test_there_is_an_end_to_entries_and_changes() -> None:
    made = Book(parse_entry, most=2)
    made.load(files(a=PING, b=PING))
    with pytest.raises(UsageError, match="there are 2 already"):
        made.add("c", PING, "ann", 1.0)
    full = Book(parse_entry, [Change(name=f"n{count}", fields=None) for count in range(CHANGES_LIMIT)])
    full.load(files(a=PING))
    with pytest.raises(UsageError, match="save them"):
        full.delete("a", "ann", 1.0)


def test_what_is_not_changed_is_not_read_again() -> None:
    parsed: list[str] = []

    def counting(name: str, fields: Mapping[str, Any]) -> Entry:
        parsed.append(name)
        return parse_entry(name, fields)

    made = Book(counting)
    made.load(files(a=PING, b=PING))
    made.load(files(a=PING, b={**PING, "every": 5}))
    assert parsed == ["a", "b", "b"]
    made.load(files(new=PING, a=PING, b={**PING, "every": 5}))
    assert parsed == ["a", "b", "b", "new"], "those that only moved to other lines"
    assert made.placed["b"].origin == "a.yaml line 3"


def test_a_change_from_one_to_true_is_a_change() -> None:
    made = book(tidy={**PING, "args": [1]})
    made.load(files(tidy={**PING, "args": [True]}))
    assert repr(made.entries["tidy"].args) == "[True]"
    modify(made, "tidy", args=[1])
    assert repr(made.entries["tidy"].args) == "[1]"


def test_one_field_of_a_group_replaces_the_group() -> None:
    assert merged({"overlap": "queue"}, {"allow": 3}) == {"allow": 3}
    assert merged({"every": 5, "base": "end"}, {"base": "start"}) == {"every": 5, "base": "start"}
    assert merged({"every": 5}, {"cron": None, "every": None}) == {}


def test_a_field_with_parts_is_replaced_part_by_part() -> None:
    below = {"retries": {"count": 3, "delay": "1m"}, "overlap": {"allow": 3}}
    assert merged(below, {"retries": 5}) == {"retries": 5, "retry_delay": "1m", "overlap": "allow", "allow": 3}
    assert merged(below, {"overlap": "skip"}) == {"retries": 3, "retry_delay": "1m", "overlap": "skip"}
    assert merged({"retries": {"cuont": 3}}, {"timeout": 5}) == {"retries": {"cuont": 3}, "timeout": 5}


NOW = 1_795_219_200.0  # 2026-11-21 00:00 UTC


def test_nobody_adds_what_is_over_already() -> None:  # F03
    made = book()
    for fields in ({"every": 60, "end": "2026-11-20T00:00:00"}, {"calendar": {"year": 2025}}):
        with pytest.raises(UsageError, match=r"cannot use the schedule 'late': (end is|calendar) .*(past|never comes)"):
            made.add("late", {**PING, **fields}, "ann", NOW)
    made.take(made.add("late", {**PING, "once": "2026-11-20T00:00:00"}, "ann", NOW))  # it is judged, once
    assert made.entries["late"].once == "2026-11-20T00:00:00"


def test_what_is_over_may_be_changed_but_not_planned_anew() -> None:  # F03, F37
    made = book(tidy={**PING, "every": 60, "end": "2026-11-20T00:00:00"})
    made.take(made.modify("tidy", {"enabled": False}, "ann", NOW))
    assert made.entries["tidy"].enabled is False
    with pytest.raises(UsageError, match="end is 2026-11-19T00:00:00: it is past"):
        made.modify("tidy", {"end": "2026-11-19T00:00:00"}, "ann", NOW)


def test_a_part_is_changed_and_the_others_stay() -> None:  # F37
    made = book(tidy={**PING, "every": 60, "retries": {"count": 3, "delay": "5s"}, "overlap": {"allow": 3}})
    modify(made, "tidy", retries={"delay": "1h"}, overlap="queue")
    entry = made.entries["tidy"]
    assert (entry.retries, entry.retry_delay, entry.overlap, entry.allow) == (3, 3600.0, "queue", 1)


def test_a_chain_that_leads_to_itself_is_broken_wherever_its_links_come_from() -> None:
    after = {name: {**PING, "then": to} for name, to in {"into": "a", "a": "b", "b": "c", "out": "later"}.items()}
    made = book(**after, c={**PING, "on_failure": "a"}, later=PING)
    assert [*made.entries] == ["into", "out", "later"], "what leads into a ring is none of it"
    assert [(each.name, each.origin, each.problem) for each in made.broken][1:] == [
        ("b", "a.yaml line 3", "cannot use the schedule 'b': then leads back to itself: b, c, a, b"),
        ("c", "a.yaml line 5", "cannot use the schedule 'c': on_failure leads back to itself: c, a, b, c")]
    with pytest.raises(UsageError, match="'b': then leads back to itself: b, c, a, b"):
        modify(made, "b", timeout=3)
    modify(made, "b", then="out")
    assert (made.broken, len(made.entries)) == ([], 6)
    for name, follows in {"b": ["later", "a"], "later": {"entry": "out", "delay": "1m"}}.items():
        with pytest.raises(UsageError, match=f"'{name}': then leads back to itself: {name}, "):
            modify(made, name, then=follows)
    with pytest.raises(UsageError, match="'again': then leads back to itself: again, out2, again"):
        made.take(made.add("out2", {**PING, "then": "again"}, "ann", 7.0))
        made.add("again", {**PING, "then": "out2"}, "ann", 7.0)


def test_long_rings_cost_no_time_and_no_room() -> None:
    names = [f"n{number}" for number in range(2_000)]
    made = book(**{name: {**PING, "then": [names[number - 1], names[number - 2]]} for number, name in enumerate(names)})
    assert len(made.broken) == 2_000
    assert made.broken[0].problem.endswith(", ..., n0")
