"""Marks of admitted connections: used once, made by nobody else."""

from __future__ import annotations

import pytest

from common.admissions import Admissions
from common.link import Key

ONE, TWO = Key("a" * 40), Key("b" * 40)


def given(admissions: Admissions, key: Key = ONE, now: float = 0.0) -> int:
    """The number of a fresh mark, read from the mark itself."""
    number = admissions.number(admissions.give(key, "m1", "192.0.2.9", now))
    assert number is not None
    return number


def test_a_mark_leads_to_its_admission_once() -> None:
    admissions = Admissions()
    number = given(admissions, now=5.0)
    admission = admissions.take(number)
    assert admission is not None
    assert (admission.number, admission.key, admission.who) == (1, ONE, "m1")
    assert (admission.address, admission.at) == ("192.0.2.9", 5.0)
    assert admissions.take(number) is None


def test_numbers_go_up_and_are_never_used_again() -> None:
    admissions = Admissions()
    numbers = []
    for _ in range(5):
        numbers.append(given(admissions))
        admissions.take(numbers[-1])
    assert numbers == [1, 2, 3, 4, 5]
    assert admissions.count == 5
    assert len(admissions) == 0


@pytest.mark.parametrize("mark", ["", "admin", "m1", "m1  1", "m1 " + "0" * 32 + " 1", " ", "  ", "m1 é 1"])
def test_what_we_did_not_make_is_no_mark(mark: str) -> None:  # R-A10
    admissions = Admissions()
    given(admissions)
    assert admissions.number(mark) is None


def test_the_secret_alone_is_no_mark() -> None:
    admissions = Admissions()
    secret = admissions.give(ONE, "m1", "", 0.0).split(" ")[1]
    for mark in (secret, f"m1 {secret}", f"m1 {secret} ", f"m1 {secret} -1", f"m1 {secret} x", f"m1 {secret} 1 1"):
        assert admissions.number(mark) is None


def test_the_mark_of_another_process_is_none() -> None:  # R-A10
    assert Admissions().number(Admissions().give(ONE, "m1", "", 0.0)) is None


def test_a_revoked_key_has_no_admissions_left() -> None:  # R-A12
    admissions = Admissions()
    numbers = [given(admissions, key) for key in (ONE, TWO, ONE, TWO)]
    assert admissions.revoke(ONE) == numbers[2]
    assert [admissions.take(number) is None for number in numbers] == [True, False, True, False]
    assert admissions.revoke(ONE) == 0


def test_a_used_admission_is_not_revoked() -> None:
    admissions = Admissions()
    admissions.take(given(admissions))
    assert admissions.revoke(ONE) == 0


def test_old_ones_are_forgotten() -> None:
    admissions = Admissions()
    old, new = given(admissions, now=1.0), given(admissions, now=2.0)
    admissions.expire(2.0)
    assert len(admissions) == 1
    assert admissions.take(old) is None
    assert admissions.take(new) is not None
