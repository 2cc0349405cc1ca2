"""The entries of a `schedule:` mapping: what runs, and by which trigger; checked as they are read, and written back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from msgspec import NODEFAULT, structs

from common.durations import duration_text
from common.errors import UsageError
from common.schedule.entries import checks
from common.schedule.entries.fields import COMMAND, HINTS, NAME, NAMES, PARTS, READERS
from common.schedule.model import Check, Entry, Follow
from common.secrets import check, told_of
from common.text import escape, nearest

_UNSHOWN = ("kwargs", "secret", "should_run")
_LENGTHS = frozenset({"every", "timeout", "catch_up_window", "start_deadline", "splay", "retry_delay"})
_WRITTEN = {"excepting": "except"}
"""Fields of an Entry whose key is another word."""
_FIELDS = {key: field for field, key in _WRITTEN.items()}
FIELDS = frozenset(_WRITTEN.get(field.name, field.name) for field in structs.fields(Entry)) - {"name"}
"""The keys that an entry may have as it is written."""
_YAML: dict[Any, str] = {None: "empty", True: "true", False: "false"}
_SHOWN_LIMIT = 60


def parse_entry(
    name: Any, fields: Any, *, master: bool = False, zone: tzinfo = UTC, after: datetime | None = None
) -> Entry:
    """The one entry. Raises UsageError: one line with the entry and the key.

    `master`: it is the master's own and may have a target. `zone` is the host's. `after`: refuse also what plans
    nothing later than that, as `check_ahead` does.
    """
    try:
        entry = _entry(name, fields, master)
        checks.check(entry, zone)
    except ValueError as error:
        raise UsageError(f"cannot use the schedule '{escape(str(name)[:100])}': {error}") from error
    if after is not None:
        check_ahead(entry, zone, after)
    return entry


def check_ahead(entry: Entry, zone: tzinfo, after: datetime) -> None:
    """Raises UsageError when the entry plans nothing after that time and is no `once`, whose run has a verdict still.

    `zone` is the host's.
    """
    try:
        checks.check_ahead(entry, zone, after)
    except ValueError as error:
        raise UsageError(f"cannot use the schedule '{entry.name}': {error}") from error


def changed(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry with some of them changed, and all others as they were; None takes one away.

    Of a key that holds a mapping only the parts are changed that are named. Raises ValueError.
    """
    found, named = flat(fields), flat(changes)
    if named.get("overlap", "allow") != "allow":
        found.pop("allow", None)
    return {key: value for key, value in {**found, **named}.items() if value is not None}


def to_fields(entry: Entry, *, shown: bool = False) -> dict[str, Any]:
    """The entry as it would be written: what differs from the default. `shown`: without the values of secrets."""
    found: dict[str, Any] = {}
    for field in structs.fields(Entry):
        value = getattr(entry, field.name)
        if field.name == "name" or (not field.required and value == _default(field)):
            continue
        if field.name == "kwargs" and shown:
            value = told_of(entry.function, value, entry.secret)
        found[_WRITTEN.get(field.name, field.name)] = _plain(field.name, value)
    return found


def flat(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    """The fields with those in mappings, such as `retries: {count: 3}`, beside the others. Raises ValueError."""
    found: dict[Any, Any] = {}
    for key, value in fields.items():
        parts = _parts(key, value) if key in PARTS and isinstance(value, Mapping) else {key: value}
        for part, item in parts.items():
            if part in found:
                raise ValueError(f"{part} is said twice, by itself and as a part of another key")
            found[part] = item
    return found


def _default(field: structs.FieldInfo) -> Any:
    return field.default_factory() if field.default is NODEFAULT else field.default


def _plain(name: str, value: Any) -> Any:
    if name in _LENGTHS:
        return duration_text(value)
    if isinstance(value, Check):
        return _plain_check(value)
    if name in ("then", "on_failure"):
        return [_plain_follow(follow) for follow in value]
    return list(value) if isinstance(value, tuple) else value


def _plain_check(check: Check) -> Any:
    if check.function == COMMAND and not check.kwargs and len(check.args) == 1 and isinstance(check.args[0], str):
        return check.args[0]
    return {name: value for name, value in structs.asdict(check).items() if value}


def _plain_follow(follow: Follow) -> Any:
    return {"entry": follow.entry, "delay": duration_text(follow.delay)} if follow.delay else follow.entry


def _entry(name: Any, fields: Any, master: bool) -> Entry:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"a name takes {NAMES}")
    if not isinstance(fields, Mapping):
        raise ValueError("it must be a mapping, for example {function: test.ping, every: 30s}")
    given = flat(fields)
    for key in given:
        if key not in READERS:
            raise ValueError(f"it has no key '{escape(str(key)[:100])}'{_meant(str(key))}")
        if not master and key in ("target", "target_type"):
            raise ValueError(f"{key} is for the master's own schedule: a minion's entries run on the minion")
    if "function" not in given:
        raise ValueError('it needs a "function"')
    if "allow" in given:
        given.setdefault("overlap", "allow")
    entry = Entry(name=name, **{_FIELDS.get(key, key): _value(key, value) for key, value in given.items()})
    try:
        check(entry.function, entry.kwargs, entry.secret)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return entry


def _parts(key: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    known = PARTS[key]
    for name in value:
        if name not in known:
            raise ValueError(f"{key} has no part '{escape(str(name)[:100])}'; it takes {', '.join(known)}")
    found = {known[name]: item for name, item in value.items()}
    return {"overlap": "allow", **found} if key == "overlap" else found


def _meant(key: str) -> str:
    return f"; write {HINTS[key]}" if key in HINTS else nearest(key, READERS)


def _value(key: str, value: Any) -> Any:
    try:
        return READERS[key](value)
    except ValueError as error:
        # Arguments may be secrets, so they are not quoted.
        raise ValueError(f"{key} {'is wrong' if key in _UNSHOWN else _shown(value)}: {error}") from error


def _shown(value: Any) -> str:
    if value is None or isinstance(value, (bool, date)):
        return f"is {_YAML.get(value, value)}"
    text = escape(repr(value))
    return f"is {text}" if len(text) <= _SHOWN_LIMIT else "is wrong"
