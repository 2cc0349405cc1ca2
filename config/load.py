"""Settings from their layers: defaults, file, environment, flags. Knows where each value came from."""

from __future__ import annotations

import os
import re
import socket
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from common.errors import UsageError
from common.ids import MASTER, MinionId
from common.text import escape, nearest
from config.document import read_document, read_value
from config.kinds import Kind
from config.paths import Paths
from config.settings import MasterSettings, MinionSettings

S = TypeVar("S", bound=Struct)

DEFAULT = "default"
HOST_NAME = "host name"
"""The origin of an id that nobody has set."""


class SettingsError(UsageError):
    """One line for every value that cannot be used."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    @property
    def lines(self) -> list[str]:
        """See `JrError`."""
        return self.problems


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """Settings that were found to be right."""

    settings: S
    origins: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Where the value came from: `default`, `host name`, a file with its line, a variable or a flag."""
        return self.origins.get(key, DEFAULT)


@dataclass(frozen=True)
class _Given:
    """A value that a layer names, and how to speak of its origin."""

    key: str
    value: Any
    origin: str
    typed: bool
    """True when the value is text that somebody typed, to be read as YAML where the kind says so."""


def load_master(
    paths: Paths, environ: Mapping[str, str] = os.environ, flags: Mapping[str, Any] | None = None
) -> Loaded[MasterSettings]:
    """The master's settings. A flag that is None was not given. Raises SettingsError with all that is wrong."""
    return _load(MasterSettings, paths.master_settings, "JR_MASTER_", environ, flags or {}, {})


def load_minion(
    paths: Paths, environ: Mapping[str, str] = os.environ, flags: Mapping[str, Any] | None = None,
    host: Callable[[], str] = socket.gethostname,
) -> Loaded[MinionSettings]:
    """The minion's settings; `host` gives the name of the host. Raises SettingsError with all that is wrong."""
    computed = {"id": lambda: _own_id(host())}
    return _load(MinionSettings, paths.minion_settings, "JR_MINION_", environ, flags or {}, computed)


class Source(NamedTuple):
    """Where the schedule of a daemon comes from."""

    settings: Path
    folder: Path
    given: Mapping[str, tuple[Any, str]] = {}
    """What a variable or a flag says in the place of the settings file, and the name of that; by key."""
    look_every: float = 0.0
    """Seconds between two looks at the files; 0 is no look at all."""
    runs: bool = True
    """Whether the entries are to run, so that nobody else may write the files."""


def source_of(loaded: Loaded[Any], settings: Path, folder: Path) -> Source:
    """Where the schedule comes from: these files, and what a variable or a flag says in the place of the first."""
    given = {key: (getattr(loaded.settings, key), loaded.origin(key)) for key, kind in
             _options(type(loaded.settings)).items()
             if kind.apart and loaded.origin(key) != DEFAULT and not loaded.origin(key).startswith(f"{settings} line ")}
    return Source(settings, folder, given, loaded.settings.look_every)


def describe(loaded: Loaded[Any]) -> list[str]:
    """One line for each option, for `--check-config`: its value and where it came from. Secrets are not shown.

    Schedules and periods come from more files than this one: `config.review` tells of them.
    """
    options = {key: kind for key, kind in _options(type(loaded.settings)).items() if not kind.apart}
    return [
        f"{key}: {'(hidden)' if kind.secret and value else _shown(value)}  ({loaded.origin(key)})"
        for key, kind in options.items()
        for value in (getattr(loaded.settings, key),)
    ]


def _load(
    kind: type[S], path: Path, prefix: str, environ: Mapping[str, str], flags: Mapping[str, Any],
    computed: Mapping[str, Callable[[], Any]],
) -> Loaded[S]:
    options = _options(kind)
    problems: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for given in _layers(path, prefix, environ, flags, problems):
        try:
            values[given.key] = _read(options, given)
            origins[given.key] = given.origin
        except (ValueError, UsageError) as error:
            problems.append(f"cannot use {given.origin}: {error}")
    for key, make in computed.items():
        if key not in values and not problems:
            values[key] = make()
            origins[key] = HOST_NAME
    if problems:
        raise SettingsError(problems)
    return Loaded(kind(**values), origins)


def _layers(
    path: Path, prefix: str, environ: Mapping[str, str], flags: Mapping[str, Any], problems: list[str]
) -> Iterator[_Given]:
    """What each layer gives, the weakest first. A file that cannot be read is a problem and no end."""
    try:
        document = read_document(path)
        for key, value in document.values.items():
            line = f" line {document.lines[key]}" if key in document.lines else ""
            yield _Given(key, value, f"{path}{line}", False)
    except UsageError as error:
        problems.append(str(error))
    for name, text in sorted(environ.items()):
        if name.startswith(prefix) and text:
            yield _Given(name.removeprefix(prefix).lower(), text, name, True)
    for key, value in flags.items():
        if value is not None:
            yield _Given(key, value, f"--{key.replace('_', '-')}", isinstance(value, str))


def _read(options: Mapping[str, Kind], given: _Given) -> Any:
    """The value that is given. Raises ValueError or UsageError with the key and what is allowed."""
    key = escape(given.key[:100])
    if given.key not in options:
        raise ValueError(f'there is no option "{key}"{nearest(given.key, options)}')
    kind = options[given.key]
    try:
        return kind.read(read_value(given.value) if given.typed and not kind.verbatim else given.value)
    except UsageError as error:
        raise UsageError(f"{key} must be {error}") from error
    except ValueError as error:
        shown = "" if kind.secret else f" is {_shown(given.value)}, and"
        raise ValueError(f"{key}{shown} must be {kind.allowed}") from error


def _options(kind: type[Struct]) -> dict[str, Kind]:
    """Every option of a settings record with its kind, in their order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {option.name: _kind(hints[option.name]) for option in fields(kind)}


def _kind(hint: Any) -> Kind:
    if typing.get_origin(hint) is Annotated:
        for extra in hint.__metadata__:
            if isinstance(extra, Kind):
                return extra
    raise TypeError(f"the option of type {hint} has no kind")


def _shown(value: Any) -> str:
    text = escape(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _own_id(name: str) -> MinionId:
    """A minion id from the host's name: lower-cased, and every other character a dash. Raises SettingsError."""
    cleaned = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-")[:63]
    if not cleaned or cleaned == MASTER:
        raise SettingsError([f'cannot make a minion id from the host name {_shown(name)}: set "id" in minion.yaml'])
    return MinionId(cleaned)
