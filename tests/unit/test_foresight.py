"""What the simulator makes of minions that answer with nonsense: they cost themselves alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runners.foresight import ahead, options

GOOD: dict[str, Any] = {"schedule.list": [{"name": "tidy", "function": "test.ping", "every": "1h"}],
                        "schedule.periods": {"periods": {}, "timezone": "UTC"}}


class Fleet:
    """`web1` answers as it should, `web2` as the test has it."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {**GOOD, **{f"schedule.{name}": value for name, value in answers.items()}}

    def publish(self, target: str, target_type: str, function: str, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        for minion, value in (("web1", GOOD[function]), ("web2", self._answers[function])):
            yield {"event": "pair", "minion": minion, "pair": {"state": "succeeded", "return": value}}

    def jobs(self, **_: Any) -> dict[str, Any]:
        return {"jobs": []}


@pytest.mark.parametrize("answers", [
    {"list": None}, {"list": [1]}, {"list": [{}]}, {"list": [{**GOOD["schedule.list"][0], "name": ["tidy"]}]},
    {"list": [{**GOOD["schedule.list"][0], "runs": "many"}]},
    {"list": [{**GOOD["schedule.list"][0], "runs": float("inf")}]},
    {"periods": None}, {"periods": {"periods": {}, "timezone": "../../etc/passwd"}},
    {"periods": {"periods": {}, "timezone": "Nowhere/At_all"}}, {"periods": {"periods": {}, "timezone": "Europe"}},
    {"periods": {"periods": {}, "timezone": 5}}, {"periods": {"periods": [1], "timezone": "UTC"}}])
def test_a_minion_may_answer_anything(answers: dict[str, Any]) -> None:  # P8, B07
    found = ahead(Fleet(**answers), options({"minion": "web*"}, 1_700_000_000.0))  # type: ignore[arg-type]
    assert found["problems"] == ["cannot use what web2 says of its schedule"]
    assert [entry["members"] for entry in found["entries"]] == [["web1"]]
