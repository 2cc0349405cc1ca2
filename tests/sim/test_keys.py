"""Keys are replaced in a simulated fleet, and watched: each of these worlds does it wrong, and is found out. R-B37"""

from __future__ import annotations

import pytest

from master.core.keys import Keyring
from minion.core.keychain import Keychain
from tests.sim.commands import Commands
from tests.sim.world import Broken, World


def broken(*lines: str) -> str:
    """Play until a promise breaks; what the transcript says at its end."""
    commands = Commands(World(1, 2))
    with pytest.raises(Broken) as found:
        for line in ("wait 5", *lines, "settle"):
            commands.play(line)
    return str(found.value).splitlines()[-1]


def test_an_old_key_that_is_still_accepted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(self: Keyring, key: object) -> object:
        return honest(self, key) or "m1"  # type: ignore[arg-type]

    honest = Keyring.admit
    monkeypatch.setattr(Keyring, "admit", admit)
    assert "keys: 1 old keys of m1 are accepted" in broken("rotate m1", "wait 5")


def test_a_minion_that_forgets_its_next_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keychain, "take_up", lambda self: False)
    assert "the key of m1 is not accepted" in broken("rotate m1", "wait 5")


def test_a_minion_that_does_not_learn_the_key_of_its_master_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sim.pki.Pki.keep_masters", lambda *_: None)
    assert "knows the master by another key" in broken("rekey", "wait 5", "rekey", "wait 5")
