"""Log lines: their form, what is escaped, and how a flood is held back."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from common.log import MESSAGE_LIMIT, JsonFormatter, Limits, TextFormatter, limited, setup

logger = logging.getLogger("jr.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A place for the lines; what the test sets up is taken away again."""
    root, levels = logging.getLogger(), (logging.getLogger().level, logging.getLogger("jr").level)
    yield io.StringIO()
    for handler in [handler for handler in root.handlers if handler.get_name() == "jr"]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    logging.getLogger("jr").setLevel(levels[1])


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logger.makeRecord("jr.test", logging.WARNING, "file.py", 1, message, args, None, extra=extra)


def test_a_text_line_names_level_logger_action_jid_and_minion() -> None:
    line = TextFormatter().format(record("cannot start: %s", "no", action="start", jid="2026", minion="web1"))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING jr\.test start: cannot start: no jid=2026 minion=web1", line
    )


def test_a_json_line_has_the_same() -> None:
    line = json.loads(JsonFormatter().format(record("cannot start: %s", "no", action="start", jid="2026")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning", "logger": "jr.test", "action": "start", "jid": "2026", "message": "cannot start: no",
    }


def test_a_line_says_who_asked() -> None:
    asked = record("job cmd.run", action="job.new", jid="2026", user="ann\n")
    assert TextFormatter().format(asked).endswith(r" job.new: job cmd.run jid=2026 user=ann\n")
    assert json.loads(JsonFormatter().format(asked))["user"] == "ann\n"


def test_a_line_without_an_action_says_other() -> None:
    assert " other: hello" in TextFormatter().format(record("hello"))
    assert json.loads(JsonFormatter().format(record("hello")))["action"] == "other"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_nobody_can_forge_a_line(formatter: logging.Formatter) -> None:
    hostile = "\x1b[31mred\n2026-01-01 00:00:00 INFO jr forged\r\x9b"
    line = formatter.format(record("got %s", hostile, action=hostile, jid=hostile, minion=hostile))
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_long_message_is_cut(formatter: logging.Formatter) -> None:
    line = formatter.format(record("x" * 100_000, action="a"))
    assert len(line) < MESSAGE_LIMIT + 500
    assert "(100000 characters)" in line


def failed(formatter: logging.Formatter) -> str:
    try:
        raise ValueError("bad\x1bthing")
    except ValueError as error:
        made = logger.makeRecord("jr.test", logging.ERROR, "f", 1, "oh", (), (ValueError, error, None), extra=None)
    return formatter.format(made)


def test_a_traceback_follows_indented_in_text_and_as_a_field_in_json() -> None:
    first, *rest = failed(TextFormatter()).split("\n")
    assert first.endswith("other: oh")
    assert rest == ["  ValueError: bad\\x1bthing"]
    assert json.loads(failed(JsonFormatter()))["error"] == "ValueError: bad\x1bthing"


def test_setup_sends_lines_of_its_level_and_of_libraries_from_warnings_on(stream: io.StringIO) -> None:
    setup("info", "text", stream)
    logger.debug("no", extra={"action": "a"})
    logger.info("yes", extra={"action": "a"})
    logging.getLogger("library").info("no")
    logging.getLogger("library").warning("but this")
    lines = stream.getvalue().splitlines()
    assert [line.partition(": ")[2] for line in lines] == ["yes", "but this"]


def test_setup_again_replaces_the_former(stream: io.StringIO) -> None:
    setup("debug", "text", io.StringIO())
    setup("error", "json", stream)
    logger.warning("no", extra={"action": "a"})
    logger.error("yes", extra={"action": "a"})
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_setup_goes_to_stderr_by_default(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    setup("info")
    logger.info("here", extra={"action": "a"})
    assert capsys.readouterr().err.endswith("INFO jr.test a: here\n")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="not a log level: one of debug, info"):
        setup("loud")


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, logger="jr.test")
    return lambda: [made.getMessage() for made in caplog.records]


def test_one_line_a_minute_and_the_count_of_the_rest(said: Callable[[], list[str]]) -> None:
    clock = Clock()
    limits = Limits(clock)
    for _ in range(5):
        limited(logger, "k", limits=limits).warning("cannot decode %s", "it", extra={"action": "a"})
        clock.time += 1
    clock.time += 60
    limited(logger, "k", limits=limits).warning("cannot decode %s", "it", extra={"action": "a"})
    assert said() == ["cannot decode it", "cannot decode it (4 more like it were held back)"]


def test_keys_and_loggers_are_told_apart(said: Callable[[], list[str]]) -> None:
    limits = Limits(Clock())
    limited(logger, "a", limits=limits).warning("one")
    limited(logger, "b", limits=limits).warning("two")
    limited(logging.getLogger("jr.test.more"), "a", limits=limits).warning("three")
    assert said() == ["one", "two", "three"]


def test_a_line_below_the_level_uses_up_nothing(
    said: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="jr.test")
    limits = Limits(Clock())
    limited(logger, "k", limits=limits).debug("unseen")
    limited(logger, "k", limits=limits).warning("seen")
    assert said() == ["seen"]


def test_extra_fields_reach_the_line(caplog: pytest.LogCaptureFixture) -> None:
    limited(logger, "k", limits=Limits(Clock())).warning("x", extra={"action": "drop", "minion": "web1"})
    assert (caplog.records[0].__dict__["action"], caplog.records[0].__dict__["minion"]) == ("drop", "web1")


def test_the_number_of_remembered_keys_is_bounded() -> None:
    limits = Limits(Clock(), most=3)
    for number in range(10):
        assert limits.admit("l", str(number), 60) == 0
    assert limits.admit("l", "9", 60) is None
    assert limits.admit("l", "0", 60) == 0
