"""How signals are written."""

from __future__ import annotations

import pytest

from common.signals import signal_number


@pytest.mark.parametrize(("text", "number"), [
    ("HUP", 1), ("SIGHUP", 1), ("sigusr1", 10), (" 9 ", 9), ("64", 64), ("RTMIN", 34), ("15", 15), ("term", 15)])
def test_names_and_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "SIG", "NOPE", "_DFL", "9" * 5000, "٣", "²", "1.0", "\x1b[2J"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(ValueError, match="is no signal; write a name such as HUP or a number") as caught:
        signal_number(text)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()
