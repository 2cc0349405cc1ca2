"""Who belongs to the fleet: claims, tokens, and what operators decide. # S23"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from common.errors import NotFoundError, UsageError
from common.ids import MinionId
from common.link import Key
from common.messages import Enrol, Enrolled
from master.core import effects as do
from master.core.choice import chosen
from master.core.keys import PENDING_LIMIT, Keyring, digest
from master.records import AddToken, Minion
from tests.lib.cores import minion
from tests.lib.stored import NOON
from tests.lib.told import told


class Ring:
    """A keyring, with the effects told."""

    def __init__(self, *minions: Minion, tokens: list[AddToken] | None = None) -> None:
        self.keys = Keyring(minions, tokens or [])

    def claim(self, key: str, name: str, token: str | None = None, now: float = NOON) -> tuple[Enrolled, list[str]]:
        enrolled, effects = self.keys.claim(Key(key), Enrol(id=MinionId(name), version="1", token=token), now)
        return enrolled, told(effects)

    def states(self) -> dict[str, str]:
        return {row.key: row.state for row in self.keys.rows()}

    def decide(self, verb: str, *names: str) -> tuple[list[MinionId], list[str]]:
        keys = chosen(self.keys.rows(), names, lambda key: key) if names else None
        changed, *_, effects = getattr(self.keys, verb)(keys)
        return [row.id for row in changed], told(effects)


def token(text: str = "secret", expires: float = NOON + 60, name: str | None = None) -> AddToken:
    return AddToken(digest(text), expires, None if name is None else MinionId(name))


# claims


def test_a_claim_waits_until_it_is_accepted() -> None:
    ring = Ring()
    assert ring.claim("k1", "m1") == (Enrolled(status="pending"), ["save key k1 of m1 pending",
                                                                   "event key of m1 pending"])
    assert ring.claim("k1", "m1") == (Enrolled(status="pending"), [])
    assert ring.keys.admit(Key("k1")) is None
    assert ring.decide("accept", "m1") == (["m1"], ["save key k1 of m1 accepted", "event key of m1 accepted"])
    assert ring.keys.admit(Key("k1")) == "m1"
    assert ring.claim("k1", "m1") == (Enrolled(status="accepted"), [])


@pytest.mark.parametrize(("key", "name", "reason"), [
    ("new", "master", "the id `master` is reserved"),
    ("k-m1", "other", "this key is filed as m1"),
    ("k-bad", "bad", "this key was rejected"),
])
def test_claims_that_are_refused(key: str, name: str, reason: str) -> None:
    ring = Ring(minion("m1"), minion("bad", "rejected"))
    assert ring.claim(key, name) == (Enrolled(status="refused", reason=reason), [])


def test_the_port_that_is_open_to_anybody_is_bounded() -> None:
    ring = Ring()
    for number in range(PENDING_LIMIT):
        assert ring.claim(f"k{number}", f"m{number}")[0].status == "pending"
    assert ring.claim("more", "more") == (Enrolled(status="refused", reason="100 keys wait already"), [])
    assert ring.claim("k5", "m5")[0].status == "pending"
    ring.decide("accept", "m5")
    assert ring.claim("more", "more")[0].status == "pending"


def test_two_keys_may_claim_one_id_and_disturb_nobody() -> None:  # R-A14
    ring = Ring(minion("m1"))
    assert ring.claim("k2", "m1")[0].status == "pending"
    assert ring.keys.admit(Key("k-m1")) == "m1"
    assert ring.keys.admit(Key("k2")) is None


# tokens


def test_a_token_accepts_at_once_and_once() -> None:
    ring = Ring(tokens=[token()])
    assert ring.claim("k1", "m1", "secret") == (Enrolled(status="accepted"), [
        "save key k1 of m1 accepted", "save no token", "event key of m1 accepted"])
    assert ring.claim("k2", "m2", "secret")[0].status == "pending"


def test_a_token_accepts_a_key_that_waits() -> None:
    ring = Ring(minion("m1", "pending"), tokens=[token()])
    assert ring.claim("k-m1", "m1", "secret")[0].status == "accepted"


@pytest.mark.parametrize("filed", [token("other"), token(expires=NOON), token(expires=NOON - 1), token(name="m2")])
def test_a_token_that_does_not_count(filed: AddToken) -> None:
    ring = Ring(tokens=[filed])
    assert ring.claim("k1", "m1", "secret")[0].status == "pending"
    assert ring.states() == {"k1": "pending"}


def test_a_token_that_does_not_count_is_said_so() -> None:
    """An operator who pasted an old join string must not wait in vain."""
    ring = Ring()
    answer, _ = ring.claim("k1", "m1", "never given out")
    assert (answer.status, "join token" in answer.reason) == ("pending", True)
    again, _ = ring.claim("k1", "m1", "never given out")
    assert again == answer
    assert ring.claim("k2", "m2")[0].reason == ""


def test_a_token_for_one_minion_is_that_minions() -> None:
    ring = Ring(tokens=[token(name="m2")])
    assert ring.claim("k1", "m1", "secret")[0].status == "pending"
    assert ring.claim("k2", "m2", "secret")[0].status == "accepted"


def test_a_token_does_not_take_an_id_from_its_owner() -> None:
    ring = Ring(minion("m1"), tokens=[token()])
    answer, _ = ring.claim("k2", "m1", "secret")
    assert (answer.status, answer.reason) == ("pending", "its join token is good, but another key has the id m1")
    assert "another key" not in ring.claim("k4", "m1", "guessed")[0].reason
    assert ring.claim("k3", "m3", "secret")[0].status == "accepted"  # and it was not used up


def test_no_token_lets_a_rejected_key_in() -> None:
    ring = Ring(minion("m1", "rejected"), tokens=[token()])
    assert ring.claim("k-m1", "m1", "secret")[0].status == "refused"


def test_old_tokens_go_when_a_new_one_is_filed() -> None:
    ring = Ring(tokens=[token("old", expires=NOON), token("good")])
    assert told(ring.keys.add_token(token("new"), NOON)) == ["save no token", "save token"]
    assert ring.claim("k1", "m1", "good")[0].status == "accepted"
    assert ring.claim("k2", "m2", "new")[0].status == "accepted"


def test_what_is_kept_of_a_token_does_not_tell_it() -> None:
    assert "secret" not in digest("secret")
    assert len(digest("secret")) == 64


# decisions


def test_accepting_all_that_wait() -> None:
    ring = Ring(minion("m1", "pending"), minion("m2", "pending"), minion("m3", "rejected"), minion("m4"))
    assert ring.decide("accept")[0] == ["m1", "m2"]
    assert ring.decide("accept", "m3")[0] == ["m3"]  # a rejected one by name alone
    assert ring.decide("accept", "m3")[0] == []
    assert sorted(ring.keys.fleet()) == ["m1", "m2", "m3", "m4"]


def rival(state: Any = "pending") -> Minion:
    return Minion(id=MinionId("m1"), key=Key("rival"), state=state, filed=NOON + 1)


def test_a_key_whose_id_another_one_holds_is_not_accepted() -> None:  # R-A14
    ring = Ring(minion("m1"), rival())
    before = ring.states()
    with pytest.raises(UsageError, match=r"^cannot accept m1: another key holds this id; compare with jr-key finger"):
        ring.keys.accept([Key("rival")])
    assert ring.states() == before


@pytest.mark.parametrize(("owner", "left"), [("accepted", ["rival"]), ("pending", ["k-m1", "rival"])])
def test_accepting_all_goes_on_past_two_keys_of_one_id(owner: str, left: list[str]) -> None:
    ring = Ring(minion("m1", owner), rival(), minion("m2", "pending"))
    accepted, remaining, _ = ring.keys.accept(None)
    assert [row.key for row in accepted] == ["k-m2"]
    assert [row.key for row in remaining] == left


@pytest.mark.parametrize("verb", ["accept", "reject", "delete"])
def test_no_verb_guesses_which_of_two_keys_is_meant(verb: str) -> None:
    ring = Ring(minion("m1"), rival())
    before = ring.states()
    with pytest.raises(UsageError, match=r"^cannot tell which key m1 means, name it by its fingerprint: "
                                         r"k-m1 \(m1, accepted\), rival \(m1, pending\)$"):
        ring.decide(verb, "m1")
    assert ring.states() == before


PRINTS = {"k-m1": "3f:9a:01", "rival": "3f:9b:02", "k-m2": "77:00:03"}


@pytest.mark.parametrize(("name", "key"), [
    ("m2", "k-m2"), ("3f:9a", "k-m1"), ("3f:9b:02", "rival"), ("3F:9B", "rival"), ("77:", "k-m2"), ("3f:9a0", "k-m1")])
def test_a_key_is_named_by_its_id_or_the_beginning_of_its_fingerprint(name: str, key: str) -> None:
    ring = Ring(minion("m1"), rival(), minion("m2"))
    assert chosen(ring.keys.rows(), [name], PRINTS.__getitem__) == [key]


def test_a_beginning_of_two_fingerprints_names_both() -> None:
    ring = Ring(minion("m1"), rival(), minion("m2"))
    with pytest.raises(UsageError, match=r"3f:9a:01 \(m1, accepted\), 3f:9b:02 \(m1, pending\)"):
        chosen(ring.keys.rows(), ["3f:"], PRINTS.__getitem__)
    with pytest.raises(NotFoundError, match="cannot find a key of 99:"):
        chosen(ring.keys.rows(), ["99:"], PRINTS.__getitem__)
    with pytest.raises(NotFoundError, match="cannot find a key of 3f"):  # without a colon it is a minion id
        chosen(ring.keys.rows(), ["3f"], PRINTS.__getitem__)
    with pytest.raises(UsageError, match=r"cannot use '\.\./m1'"):
        chosen(ring.keys.rows(), ["../m1"], PRINTS.__getitem__)


def quarantined(name: str = "m1") -> Minion:
    return structs.replace(minion(name, "quarantined", start=3), reason="two hosts")


def test_a_key_in_quarantine_gets_nothing_and_comes_back_by_name_alone() -> None:  # R-A13
    ring = Ring(quarantined(), tokens=[token(name="m1")])
    assert ring.keys.admit(Key("k-m1")) is None
    assert ring.keys.fleet() == ["m1"]
    assert ring.keys.why_not(MinionId("m1")) == "its key is in quarantine: two hosts"
    answer, _ = ring.claim("k-m1", "m1", "secret")
    assert (answer.status, "in quarantine: two hosts" in answer.reason) == ("refused", True)
    assert ring.claim("k2", "m1", "secret")[0].status == "pending"  # its id is not free
    assert ring.keys.accept(None)[0] == []
    assert ring.keys.accept([Key("k-m1")])[0][0].id == "m1"
    row = ring.keys.accepted(MinionId("m1"))
    assert row is not None
    assert (row.reason, row.start, row.strange) == ("", 3, False)


def test_a_key_that_was_never_used_has_nothing_of_what_its_id_was_sent() -> None:
    ring = Ring(minion("m1", "pending"))
    ring.decide("accept", "m1")
    row = ring.keys.accepted(MinionId("m1"))
    assert row is not None
    assert row.strange


def test_rejecting_cuts_the_connection() -> None:
    ring = Ring(minion("m1"), minion("m2", "pending"))
    assert ring.decide("reject", "m1") == (["m1"], ["save key k-m1 of m1 rejected", "cut key k-m1",
                                                    "event key of m1 rejected"])
    assert ring.keys.admit(Key("k-m1")) is None
    assert ring.keys.accepted(MinionId("m1")) is None
    assert ring.decide("reject")[0] == ["m2"]
    assert ring.decide("reject", "m1")[0] == []


def test_rejecting_all_leaves_the_fleet_alone() -> None:
    ring = Ring(minion("m1"), minion("m2", "pending"))
    assert ring.decide("reject")[0] == ["m2"]
    assert ring.keys.fleet() == ["m1"]


def test_deleting_forgets_and_cuts() -> None:
    ring = Ring(minion("m1"), minion("m2", "rejected"), minion("m3", "pending"))
    assert ring.decide("delete") == (["m2"], ["save no key k-m2", "cut key k-m2", "event key of m2 deleted"])
    assert ring.decide("delete", "m1")[0] == ["m1"]
    assert ring.keys.fleet() == []
    assert ring.claim("k-m2", "m2")[0].status == "pending"  # it may ask again


def test_deleting_a_rivals_key_leaves_the_owner() -> None:
    ring = Ring(minion("m1", "rejected"), rival("accepted"))
    assert ring.keys.accepted(MinionId("m1")) == rival("accepted")
    assert ring.decide("delete")[0] == ["m1"]
    assert ring.keys.admit(Key("rival")) == "m1"


@pytest.mark.parametrize("verb", ["accept", "reject", "delete"])
def test_an_id_without_a_key_is_named_and_nothing_is_done(verb: str) -> None:
    ring = Ring(minion("m1", "pending"))
    with pytest.raises(NotFoundError, match=r"^cannot find a key of ghost: jr-key list shows all$"):
        ring.decide(verb, "m1", "ghost")
    assert ring.states() == {"k-m1": "pending"}


def test_a_key_that_loses_its_place_loses_its_id() -> None:
    ring = Ring(minion("m1"))
    assert isinstance(ring.keys.put(minion("m1", "rejected")), do.Save)
    assert ring.keys.fleet() == []
    ring.keys.put(rival("rejected"))
    assert ring.keys.fleet() == []
