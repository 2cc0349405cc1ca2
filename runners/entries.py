"""Entries of a schedule on a command line, and on their way from one minion to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from common.errors import Exit, JrError, NotFoundError, UsageError
from common.exits import exit_code
from common.schedule.entries.entries import FIELDS
from common.secrets import HIDDEN
from common.states import State
from runners.api import Master, Report
from runners.document import read

_WORDS = {"true": True, "false": False, "null": None}
_WAIT = 60.0
"""Seconds for minions that are there to answer."""


def parse_fields(given: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an entry from the text of a command line: lists and maps as in YAML, whole numbers, all else text.

    Not all as in YAML, which reads `03:00` as 180 and `*/5 * * * *` not at all. Raises UsageError.
    """
    return {key: _field(key, text) if isinstance(text, str) else text for key, text in given.items()}


def _field(key: str, text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text.isascii() and text.isdigit():
        return int(text)
    if text[:1] not in ("[", "{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"cannot read {key}={text[:100]}: it is no YAML: {str(error).splitlines()[0]}") from error


def between(master: Master, name: str, new_name: str | None, source: str | None, target: str | None, *,
            keep: bool) -> Report:
    """Copy an entry from one minion to others; without `keep` it is deleted on the first when all others have it."""
    if source is None or target is None:
        raise UsageError("cannot copy between minions: say both, as in source=m1 target='web*'")
    entry = _asked(master, source, "schedule.show", [name], {})
    if not isinstance(entry, dict) or "broken" in entry or "problem" in entry:
        raise UsageError(f"cannot copy {name} of {source}: it cannot be used there")
    fields = {key: value for key, value in entry.items() if key in FIELDS}
    if HIDDEN in str(fields.get("kwargs")):
        raise UsageError(f"cannot copy {name} of {source}: it has secrets, which nobody is shown; add it by hand")
    document = read(master.publish(target, "glob", "schedule.add", [new_name or name], fields, start_within=_WAIT))
    codes = exit_code(pair["state"] for pair in document.pairs.values())
    if not keep and codes == Exit.OK:
        _asked(master, source, "schedule.delete", [name], {})
    return Report("job", document.as_dict(), codes)


def _asked(master: Master, minion: str, function: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What one minion answers. Raises JrError when it does not."""
    document = read(master.publish(minion, "list", function, args, kwargs, start_within=_WAIT))
    pair = document.pairs.get(minion)
    if pair is None:
        raise NotFoundError(f"cannot ask {minion}: there is no such minion")
    if pair["state"] != State.SUCCEEDED:
        reason = pair.get("stderr") or (pair.get("evidence") or {}).get("reason") or pair["state"]
        raise JrError(f"cannot do {function} on {minion}: {str(reason).strip()}")
    return pair.get("return")
