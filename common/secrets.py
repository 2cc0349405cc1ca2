"""Arguments that only the payload may read: taken out of a job's own, which everybody is shown, and put back. Pure.

`env` and `stdin` of the cmd.* functions always are such, `kwargs` of an entry that a job adds, and whatever somebody
marks. They are named arguments, so a map of names to values is all there is to carry beside a job.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Raw, structs

from common.codec import ARGS_LIMIT, pack, unpack
from common.errors import UsageError
from common.functions import Param
from common.messages import NO_SECRETS, JobFields
from common.typed import parse

HIDDEN: Final = "***"
"""What is shown in the place of a secret."""
_ALWAYS: Final = frozenset({"env", "stdin"})
_HIDEABLE: Final[Mapping[str, frozenset[str]]] = {
    "cmd.run": _ALWAYS, "cmd.exec": _ALWAYS, "cmd.script": _ALWAYS | {"script"}}
"""What of the functions that become a command can stay secret: the rest stands in /proc for every user of the host."""
_CARRIERS: Final = frozenset({"schedule.add", "schedule.modify"})
"""Functions whose `kwargs` are those of an entry: what is secret there may be said in a part that is not here."""
_NOTHING: Final = (None, "")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST: Final = 4
"""Characters from which on a secret is looked for in texts: shorter ones occur by chance."""


def hide(fields: JobFields, secrets: Raw = NO_SECRETS, marked: Collection[str] = ()) -> tuple[JobFields, Raw]:
    """The job as it may be shown, and the packed map of its secrets: those that come with it, and those still in it.

    Raises UsageError for a mark that cannot be kept, CodecError for arguments that cannot be read.
    """
    names = {*_always(fields.function), *marked}
    kwargs = unpack(fields.kwargs, ARGS_LIMIT) if names else {}
    if not names or not isinstance(kwargs, dict):
        return fields, secrets
    check(fields.function, kwargs, marked)
    known = opened(secrets)
    found = {name: kwargs[name] for name in names - known.keys() if kwargs.get(name) not in _NOTHING}
    if not found:
        return fields, secrets
    told = pack({**kwargs, **{name: shown(name, value) for name, value in found.items()}})
    if len(told) > len(bytes(fields.kwargs)):
        told = pack({**kwargs, **dict.fromkeys(found, HIDDEN)})
    return structs.replace(fields, kwargs=Raw(told)), Raw(pack({**known, **found}))


def _always(function: str) -> frozenset[str]:
    """What nobody is shown, whether it is marked or not."""
    if function in _CARRIERS:
        return frozenset({"kwargs"})
    return _ALWAYS if function in _HIDEABLE else frozenset()


def opened(secrets: Raw) -> dict[str, Any]:
    """The secrets by the names of their arguments. Raises CodecError, UsageError."""
    found = unpack(secrets, ARGS_LIMIT)
    if found is None:
        raise UsageError("cannot run the job: its secrets are gone, since backups of the master hold none")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UsageError("cannot read the secrets of a job: they are no map of names")
    return found


def told_of(function: str, kwargs: Mapping[str, Any], marked: Collection[str]) -> dict[str, Any]:
    """The named arguments of a call that is planned, as they may be shown."""
    names = {*_always(function), *marked}
    return {name: shown(name, value) if name in names and value not in _NOTHING else value
            for name, value in kwargs.items()}


def shown(name: str, value: Any) -> Any:
    """What may be shown of a secret: nothing, but the names of the variables of an `env` that is well formed."""
    if name != "env":
        return HIDDEN
    try:
        variables = parse(value) if isinstance(value, str) else value
    except ValueError:
        return HIDDEN
    # `{TOKEN=abc}` is a map as well, of a strange name to nothing; then what looks like a name may be the secret.
    if isinstance(variables, dict) and all(
            isinstance(key, str) and _VARIABLE.fullmatch(key) and item is not None for key, item in variables.items()):
        return dict.fromkeys(variables, HIDDEN)
    return HIDDEN


def seal(params: Sequence[Param], args: Sequence[Any], kwargs: Mapping[str, Any],
         secrets: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any], bytes]:
    """The arguments of a call as it is bound to `params`, without secrets; and the secrets, for `common.proc.seal`.

    `secrets` are as they came: text that was typed is looked for in error texts as well as what was read from it.
    """
    places = {place for name in secrets for place in _places(params, args, name)}
    named = {name: kwargs[name] for name in secrets if name in kwargs}
    told = [HIDDEN if place in places else value for place, value in enumerate(args)]
    kept = {"args": {place: args[place] for place in sorted(places)}, "kwargs": named}
    values = [*secrets.items(), *named.items(), *(("", args[place]) for place in places)]
    texts = sorted({text for name, value in values for text in _texts(value, keys=name != "env")}, key=len)
    return (told, {**kwargs, **{name: shown(name, value) for name, value in named.items()}},
            pack({**kept, "texts": texts[::-1]}))


def check(function: str, kwargs: Mapping[str, Any], marked: Collection[str]) -> None:
    """Raises UsageError for a mark that names no argument, or one that the function cannot keep secret."""
    for name in marked:
        if name not in kwargs:
            raise UsageError(f"cannot hide the argument {name!r:.80}: it is not among the named ones")
        if name not in _HIDEABLE.get(function, {name}):
            raise UsageError(f"cannot hide the argument {name} of {function}: every user of its host can read what a "
                             "command is called with; give the secret as env or stdin")


def _places(params: Sequence[Param], args: Sequence[Any], name: str) -> range:
    """Where the argument of this name stands among the positional ones."""
    names = [param["name"] for param in params if param["kind"] == "positional"]
    if name in names[:len(args)]:
        return range(names.index(name), names.index(name) + 1)
    rest = any(param["kind"] == "var_positional" and param["name"] == name for param in params)
    return range(len(names), len(args)) if rest else range(0)


def _texts(value: Any, *, keys: bool) -> Iterator[str]:
    """The texts by which a secret would be known wherever somebody writes it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, keys=True)
            yield from _texts(key, keys=True) if keys else ()
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, keys=True)
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        for form in (text, repr(text)[1:-1], *text.splitlines()):
            if len(form) >= _SHORTEST:
                yield form
