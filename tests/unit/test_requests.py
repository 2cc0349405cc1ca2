"""What each verb of the control socket takes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import Struct

from common.errors import UsageError
from common.states import State
from master import requests as verbs
from tests.lib.stored import jid

PUBLISH = {"v": 1, "verb": "publish", "target": "*", "function": "test.ping"}
STOP = {"v": 1, "verb": "stop", "jid": str(jid(1)), "how": "kill"}
JOBS = {"v": 1, "verb": "jobs"}
TOKEN = {"v": 1, "verb": "token"}
WATCH = {"v": 1, "verb": "watch", "jid": str(jid(1))}


def test_what_is_left_out_has_a_default() -> None:
    publish = verbs.checked(PUBLISH, verbs.PublishRequest)
    assert (publish.target_type, publish.args, publish.kwargs, publish.typed) == ("glob", [], {}, False)
    assert (publish.timeout, publish.start_within, publish.grace, publish.follow) == (None, None, None, True)
    assert verbs.checked(JOBS, verbs.JobsRequest).limit == 50
    assert verbs.checked(TOKEN, verbs.TokenRequest).ttl == 3600
    assert verbs.checked(WATCH, verbs.WatchRequest).follow is False
    assert verbs.checked({"v": 1, "verb": "run", "function": "x.y"}, verbs.RunRequest).follow is True
    assert verbs.checked({"v": 1, "verb": "active"}, verbs.ActiveRequest).minion is None
    assert verbs.checked({"v": 1, "verb": "keys.accept"}, verbs.KeysRequest).ids is None


def test_names_become_their_types() -> None:
    stop = verbs.checked({**STOP, "minions": ["m1", "m2"]}, verbs.StopRequest)
    assert stop.jid == jid(1)
    assert [type(minion).__name__ for minion in stop.minions or []] == ["MinionId", "MinionId"]
    wanted = verbs.checked({**JOBS, "cursor": str(jid(1)), "filter": {"state": "failed", "minion": "m1"}},
                           verbs.JobsRequest)
    assert (wanted.cursor, wanted.filter.state, wanted.filter.minion) == (jid(1), State.FAILED, "m1")


@pytest.mark.parametrize(("kind", "body", "names"), [
    (verbs.PublishRequest, {**PUBLISH, "v": 2}, "v"),
    (verbs.PublishRequest, {**PUBLISH, "colour": "red"}, "colour"),
    (verbs.PublishRequest, {"v": 1, "verb": "publish", "target": "*"}, "function"),
    (verbs.PublishRequest, {**PUBLISH, "function": ""}, "function"),
    (verbs.PublishRequest, {**PUBLISH, "function": "x" * 201}, "function"),
    (verbs.PublishRequest, {**PUBLISH, "target": "x" * 100_001}, "target"),
    (verbs.PublishRequest, {**PUBLISH, "target_type": "compound"}, "target_type"),
    (verbs.PublishRequest, {**PUBLISH, "args": {}}, "args"),
    (verbs.PublishRequest, {**PUBLISH, "timeout": -1}, "timeout"),
    (verbs.PublishRequest, {**PUBLISH, "timeout": math.nan}, "timeout"),
    (verbs.PublishRequest, {**PUBLISH, "start_within": math.inf}, "start_within"),
    (verbs.PublishRequest, {**PUBLISH, "metadata": {"a": 1}}, "metadata"),
    (verbs.PublishRequest, {**PUBLISH, "typed": "yes"}, "typed"),
    (verbs.StopRequest, {**STOP, "jid": "../x"}, "jid"),
    (verbs.StopRequest, {**STOP, "jid": 5}, "jid"),
    (verbs.StopRequest, {**STOP, "how": "hard"}, "how"),
    (verbs.StopRequest, {**STOP, "signal": 0}, "signal"),
    (verbs.StopRequest, {**STOP, "signal": 65}, "signal"),
    (verbs.StopRequest, {**STOP, "minions": ["M1"]}, "minions"),
    (verbs.JobsRequest, {**JOBS, "limit": 0}, "limit"),
    (verbs.JobsRequest, {**JOBS, "limit": verbs.LIST_LIMIT + 1}, "limit"),
    (verbs.JobsRequest, {**JOBS, "cursor": "x"}, "cursor"),
    (verbs.JobsRequest, {**JOBS, "filter": {"state": "good"}}, "state"),
    (verbs.JobsRequest, {**JOBS, "filter": {"colour": "red"}}, "colour"),
    (verbs.TokenRequest, {**TOKEN, "ttl": 0}, "ttl"),
    (verbs.TokenRequest, {**TOKEN, "ttl": 31 * 86400}, "ttl"),
    (verbs.TokenRequest, {**TOKEN, "minion": "../x"}, "minion"),
    (verbs.ActiveRequest, {"v": 1, "verb": "active", "minion": "A"}, "minion"),
    (verbs.KeysRequest, {"v": 1, "verb": "keys.accept", "ids": "m1"}, "ids"),
])
def test_what_is_wrong_is_named(kind: type[Struct], body: dict[str, Any], names: str) -> None:
    with pytest.raises(UsageError, match=rf"^cannot use .*{names}"):
        verbs.checked(body, kind)


def test_the_defaults_come_from_the_settings() -> None:
    assert verbs.Defaults(start_within=300, grace=10).grace == 10
