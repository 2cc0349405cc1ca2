"""What each verb of the control sockets takes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import Struct

from common.codec import ARGS_LIMIT, unpack
from common.errors import UsageError
from common.requests import CallRequest, checked, job_fields
from common.states import State
from master import requests as verbs
from tests.lib.stored import jid

PUBLISH = {"v": 1, "verb": "publish", "target": "*", "function": "test.ping"}
STOP = {"v": 1, "verb": "stop", "jid": str(jid(1)), "how": "kill"}
JOBS = {"v": 1, "verb": "jobs"}
TOKEN = {"v": 1, "verb": "token"}
CALL = {"v": 1, "verb": "call", "function": "test.ping"}
WATCH = {"v": 1, "verb": "watch", "jid": str(jid(1))}


def test_what_is_left_out_has_a_default() -> None:
    publish = checked(PUBLISH, verbs.PublishRequest)
    assert (publish.target_type, publish.args, publish.kwargs, publish.typed) == ("glob", [], {}, False)
    assert (publish.timeout, publish.start_within, publish.grace, publish.follow) == (None, None, None, True)
    assert checked(JOBS, verbs.JobsRequest).limit == 50
    assert checked(TOKEN, verbs.TokenRequest).ttl == 3600
    assert checked(WATCH, verbs.WatchRequest).follow is False
    assert checked({"v": 1, "verb": "run", "function": "x.y"}, verbs.RunRequest).follow is True
    assert checked({"v": 1, "verb": "active"}, verbs.ActiveRequest).minion is None
    assert checked({"v": 1, "verb": "keys.accept"}, verbs.KeysRequest).ids is None


def test_names_become_their_types() -> None:
    stop = checked({**STOP, "minions": ["m1", "m2"]}, verbs.StopRequest)
    assert stop.jid == jid(1)
    assert [type(minion).__name__ for minion in stop.minions or []] == ["MinionId", "MinionId"]
    wanted = checked({**JOBS, "cursor": str(jid(1)), "filter": {"state": "failed", "minion": "m1"}},
                           verbs.JobsRequest)
    assert (wanted.cursor, wanted.filter.state, wanted.filter.minion) == (jid(1), State.FAILED, "m1")


def test_a_filter_is_named_as_it_is_typed() -> None:
    with pytest.raises(UsageError, match=r"^cannot use minion: '\*' is not a minion id"):
        checked({**JOBS, "filter": {"minion": "*"}}, verbs.JobsRequest)


@pytest.mark.parametrize(("name", "reason"), [
    ("", "cannot use function: it is empty"), ("x" * 201, "cannot use function: it has more than 200 characters")])
def test_a_name_that_is_no_name_in_words(name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked({**PUBLISH, "function": name}, verbs.PublishRequest)
    assert str(caught.value) == reason


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
    (CallRequest, {**CALL, "function": "x" * 201}, "function"),
    (CallRequest, {**CALL, "function": None}, "function"),
    (CallRequest, {**CALL, "timeout": -1}, "timeout"),
    (CallRequest, {**CALL, "timeout": math.nan}, "timeout"),
    (CallRequest, {**CALL, "kwargs": {1: 2}}, "kwargs"),
    (CallRequest, {**CALL, "follow": True}, "follow"),
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
        checked(body, kind)


def test_the_defaults_come_from_the_settings() -> None:
    assert verbs.Defaults(start_within=300, grace=10).grace == 10


def test_a_request_becomes_a_job() -> None:
    request = checked({**CALL, "args": ["a"], "kwargs": {"b": 1}, "typed": True, "timeout": 5}, CallRequest)
    fields = job_fields(request, "ann", 3.0)
    assert (fields.function, unpack(fields.args), unpack(fields.kwargs)) == ("test.ping", ["a"], {"b": 1})
    assert (fields.user, fields.grace, fields.timeout, fields.typed) == ("ann", 3.0, 5.0, True)


@pytest.mark.parametrize(("args", "kwargs", "reason"), [
    (["x" * ARGS_LIMIT], {}, r"cannot send \d+ bytes of arguments: the limit is 131072"),
    (["x" * (ARGS_LIMIT // 2)], {"y": "x" * (ARGS_LIMIT // 2)}, "the limit is 131072"),
    ([2**70], {}, "cannot pack the value.*more than 64 bits"),
])
def test_arguments_that_cannot_be_sent(args: list[Any], kwargs: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        job_fields(checked({**CALL, "args": args, "kwargs": kwargs}, CallRequest), "ann", 3.0)
