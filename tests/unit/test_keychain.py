"""Which keys a minion tries, in which order, and which it forgets. # R-B37"""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import JrError, UsageError
from common.keys import generate, load
from common.keytext import is_key
from common.link import Closed, Key
from common.messages import MasterKey, Rotate, Taken, Welcome
from master.bus import MasterPki
from minion.core.agent import BACKOFF_FIRST, Stage
from minion.core.keychain import Keychain
from minion.core.pulse import GONE
from minion.pki import Pki
from tests.lib.told import told
from tests.unit.test_agent import Line

OLD, NEW, X, Y, Z = (Key(letter * 40) for letter in ("a", "n", "x", "y", "z"))


def line(spare: Key | None = None, masters: tuple[Key, ...] = (X,)) -> Line:
    made = Line()
    made.agent.keys = Keychain(OLD, spare, masters)
    return made


def shown(made: Line) -> tuple[Key, Key]:
    return made.agent.keys.own, made.agent.keys.master


# the minion's own key


def test_a_new_key_is_offered_once_it_is_durable_and_used_once_it_is_taken() -> None:
    made = line().online()
    assert made.hear(Rotate()) == ["make key"]
    assert told(made.agent.made(NEW)) == ["line: offer n"]
    assert shown(made) == (OLD, X), "until the master has it the old one serves"
    assert made.hear(Taken(key=NEW)) == ["close line: connecting with the new key", "open line"]
    assert shown(made) == (NEW, X)
    made.opened()
    assert made.welcome()[0] == "take up key"
    assert (made.agent.keys.current, made.agent.keys.spare) == (NEW, None)


def test_a_taken_key_is_tried_after_a_silence_too() -> None:
    """The answer was lost with a line that fell silent: by the next connection the master may know that key alone."""
    made = line().online()
    made.hear(Rotate())
    told(made.agent.made(NEW))
    assert made.after(GONE) == ["close line: silent"]
    assert made.after(BACKOFF_FIRST) == ["open line"]
    assert shown(made) == (NEW, X)


@pytest.mark.parametrize("answer", [Taken(key=NEW, refused="no"), Taken(key=Z)])
def test_a_key_that_is_not_taken_is_not_used(answer: Taken) -> None:
    made = line().online()
    made.agent.made(NEW)
    assert made.hear(answer) == []
    assert (made.agent.stage, shown(made)) == (Stage.ONLINE, (OLD, X))


def test_an_agent_that_died_tries_the_next_key_and_falls_back() -> None:
    """It cannot know whether the master ever heard of the next key, or dropped the old one meanwhile."""
    made = line(spare=NEW)
    assert made.after(0) == ["open line"]
    assert shown(made) == (NEW, X)
    assert made.closed(Closed.REFUSED) == ["open line"]
    assert shown(made) == (OLD, X)
    made.opened()
    assert "take up key" not in made.welcome()
    assert made.agent.keys.spare == NEW
    made.closed(Closed.LOST)
    assert shown(made) == (NEW, X), "after each loss it may be the right one"


def test_who_is_refused_with_both_keys_enrols_with_the_old_one() -> None:
    made = line(spare=NEW)
    made.after(0)
    made.closed(Closed.REFUSED)
    assert made.closed(Closed.REFUSED) == ["open enrolment"]
    assert shown(made) == (OLD, X)


def test_a_key_that_was_made_while_the_line_broke_is_offered_later() -> None:
    made = line().online()
    made.hear(Rotate())
    made.closed(Closed.LOST)
    assert told(made.agent.made(NEW)) == []
    assert shown(made) == (OLD, X), "the attempt that is planned needs no other key"


# the master's keys


def test_an_announced_key_is_confirmed_once_it_is_durable() -> None:
    made = line().online()
    assert made.hear(MasterKey(key=Y)) == [f"keep masters {X} {Y}"]
    assert told(made.agent.kept([X, Y])) == ["line: trusts y"]
    assert made.hear(MasterKey(key=Z)) == [f"keep masters {X} {Z}"]


def test_a_key_may_be_announced_in_the_welcome() -> None:
    made = line()
    made.after(0)
    made.opened()
    welcome = Welcome(master="us", time=0.0, return_limit=1, next_key=Y)
    assert f"keep masters {X} {Y}" in made.hear(welcome)


def test_the_present_key_is_nothing_new() -> None:
    made = line().online()
    made.hear(MasterKey(key=X))
    assert told(made.agent.kept([X])) == []


def test_a_key_that_is_announced_while_others_are_written_is_confirmed_by_its_own_write_alone() -> None:
    """An agent that died between the two was left behind: its master changed over to a key that it did not keep."""
    made = line().online()
    made.hear(MasterKey(key=Y))
    made.hear(MasterKey(key=Z))
    assert told(made.agent.kept([X, Y])) == []
    assert told(made.agent.kept([X, Z])) == ["line: trusts z"]


def test_the_other_key_of_the_master_is_tried_at_once_and_the_old_one_forgotten() -> None:
    made = line(masters=(X, Y))
    made.after(0)
    assert made.closed(Closed.FAILED) == ["open line"]
    assert shown(made) == (OLD, Y)
    made.opened()
    assert made.welcome()[0] == f"keep masters {Y}"
    assert made.agent.keys.masters == [Y]


def test_both_keys_are_one_round_and_then_there_is_a_pause() -> None:
    made = line(masters=(X, Y))
    made.after(0)
    assert made.closed(Closed.FAILED) == ["open line"]
    assert made.closed(Closed.FAILED) == []
    assert made.wait() > 0
    assert shown(made) == (OLD, X)


def test_a_master_with_another_key_is_told_with_what_helps() -> None:
    made = line(masters=(X, Y))
    made.after(0)
    assert made.closed(Closed.STRANGE) == ["open line"]
    assert made.closed(Closed.STRANGE) == []
    assert "join string" in made.agent.why


# files


def test_files_of_a_rotation(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    old = pki.own
    spare = pki.make_spare()
    assert pki.make_spare() == spare, "one that was made serves again"
    again = Pki(tmp_path)  # as after a crash
    assert again.spare is not None
    assert (again.own, again.spare.public) == (old, spare)
    assert (again.pair(spare).public, again.pair(old.public)) == (spare, old)
    again.take_up()
    again.take_up()
    assert Pki(tmp_path).own.public == spare
    assert load(tmp_path / "pki", "minion.next") is None
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}


def test_a_change_over_whose_sync_fails_can_be_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its new name by then: the process goes on with the old pair, until the sync has worked. # R-B37"""
    pki = MasterPki(tmp_path)
    old = pki.pair
    pki.prepare()
    new = pki.next
    with monkeypatch.context() as patched:
        patched.setattr("master.bus.sync_folder", failing)
        for _ in range(2):
            with pytest.raises(JrError, match=r"cannot take up the next key in .*: Input/output error"):
                pki.take_up()
            assert (pki.pair, pki.next) == (old, new)
    pki.take_up()
    assert (pki.pair, pki.next) == (new, None)
    assert MasterPki(tmp_path).pair == new


def failing(folder: Path) -> None:
    raise OSError(5, "Input/output error")


def test_files_of_the_masters_keys(tmp_path: Path) -> None:
    x, y, z = (generate().public for _ in range(3))
    pki = Pki(tmp_path)
    assert pki.masters([x]) == [x]
    pki.keep_masters(x, [y])
    assert pki.masters([x]) == [y], "what the settings say is out of date"
    assert pki.masters([x, z]) == [y]
    assert pki.masters([z]) == [z], "whoever gives another key begins anew"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"root": "x"}', b'{"root": "x", "keys": ["short"]}'])
def test_damaged_keys_of_the_master_are_told(tmp_path: Path, damage: bytes) -> None:
    pki = Pki(tmp_path)
    (tmp_path / "pki" / "masters.json").write_bytes(damage)
    with pytest.raises(UsageError):
        pki.masters([Key("x")])


def test_what_a_key_looks_like() -> None:
    assert is_key(generate().public)
    assert not is_key("x" * 39)
    assert not is_key("~" * 40)
    assert not is_key("#" * 40), "more than 32 bytes hold"
