"""Lengths of time and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.durations import LARGEST, LONGEST, SECONDS, duration_text, parse_duration, parse_size


@pytest.mark.parametrize(("text", "seconds"), [
    ("30s", 30), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("2w", 1_209_600), ("250ms", 0.25), ("1.5h", 5_400),
    ("1h 30m", 5_400), ("1h30m5s", 5_405), (" 90 ", 90), ("90", 90), (90, 90), (0.5, 0.5), (0, 0), ("0", 0), ("3 s", 3),
])
def test_a_length_of_time(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [
    "", " ", "s", "5x", "5 M", "-5s", "5s-", "1h,30m", "1h 30", "five", "5S", "1e3s", "inf", "nan", "٣s", "1" * 200,
    None, True, [], {}, float("nan"), float("inf"), -1, -0.1, 10**400, "101y", "40000d", LONGEST + 1, b"5s",
])
def test_what_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="a length of time such as"):
        parse_duration(text)


def test_a_bare_number_counts_in_the_unit_of_its_option() -> None:
    assert parse_duration(24, bare="h") == parse_duration("24", bare="h") == parse_duration("1d")
    assert parse_duration("24s", bare="h") == 24


@given(st.integers(0, 10_000), st.sampled_from(sorted(SECONDS)))
def test_every_unit_means_its_seconds(number: int, unit: str) -> None:
    if number * SECONDS[unit] <= LONGEST:
        assert parse_duration(f"{number}{unit}") == pytest.approx(number * SECONDS[unit])


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans())
def test_whatever_comes_is_a_time_or_a_clear_refusal(value: object) -> None:
    for parse, most in ((parse_duration, LONGEST), (parse_size, LARGEST)):
        try:
            found = parse(value)
        except ValueError as error:
            refusal = str(error)
        else:
            assert 0 <= found <= most
            continue
        assert "such as" in refusal


@pytest.mark.parametrize(("text", "size"), [
    ("4096", 4096), (4096, 4096), (0, 0), ("512k", 524_288), ("1M", 1_048_576), ("1m", 1_048_576), ("2G", 2**31),
    ("1 MiB", 2**20), ("1MB", 2**20), ("7B", 7),
])
def test_a_size(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [
    "", "k", "1.5M", "-1", -1, "1T", "1kk", None, True, 1.5, [], "1" * 200, 2**60, "9999999G",
])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="a number of bytes such as"):
        parse_size(text)


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0s"), (1, "1s"), (90, "90s"), (5400, "90m"), (7200, "2h"), (86_400, "1d"), (1_209_600, "2w"), (1.5, "1.5s"),
    (0.25, "0.25s"), (100_000, "100000s"), (864_000, "10d"),
])
def test_a_length_of_time_as_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(0, 3 * 10**12).map(lambda millis: millis / 1000))
def test_a_length_of_time_as_text_reads_the_same(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == seconds
