"""Function modules to callables and their table. What is not built in is first imported in a fork: a broken module
costs only itself. The spawner imports this file, so nothing heavy here."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pkgutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

from common import clock
from common.functions import Table, inline_reads
from common.proc.describe import Unusable, describe
from common.proc.trial import TrialError, one_line, trial

IMPORT_SECONDS = 10.0
"""What one module may take to be imported."""
ALL_SECONDS = 30.0
"""What all modules that are not built in may take together, so that a few hanging ones do not hold up the start."""
SOURCE_LIMIT = 1024 * 1024
"""Bytes of a module in a function folder."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Config(TypedDict, total=False):
    """Where functions come from."""

    packages: list[str]
    """Built-in packages: trusted, may be inline, and may name aliases in a dict `ALIASES`."""
    dirs: list[str]
    """Folders with modules of users; one that does not exist holds none."""
    entry_points: str | None
    """A group of entry points, each naming a module."""
    import_seconds: float


@dataclass
class Loaded:
    """What was found."""

    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    table: Table = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Reasons by module name; by path or group where there is no name, or another module has it."""


def load(config: Config) -> Loaded:
    """Load all modules that `config` names. Never raises for what is in a module of users.

    Only for a process with one thread, when it names folders or entry points: those are tried in a fork.
    """
    loader = _Loader(config.get("import_seconds", IMPORT_SECONDS))
    for package in config.get("packages", []):
        loader.package(package)
    for folder in config.get("dirs", []):
        loader.folder(folder)
    if group := config.get("entry_points"):
        loader.entry_points(group)
    return loader.loaded


class _Loader:
    """Fills a Loaded. A module name belongs to whoever came first."""

    def __init__(self, seconds: float) -> None:
        self.loaded = Loaded()
        self._seconds = seconds
        self._end = clock.boottime() + ALL_SECONDS
        self._taken: set[str] = set()

    def package(self, name: str) -> None:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__):
            if not found.name.startswith("_"):
                module = importlib.import_module(f"{name}.{found.name}")
                self._add(found.name, module, builtin=True)
        aliases: dict[str, str] = getattr(package, "ALIASES", {})
        for alias, meant in aliases.items():
            self._taken.add(alias.partition(".")[0])
            self.loaded.functions[alias] = self.loaded.functions[meant]
            self.loaded.table[alias] = self.loaded.table[meant]

    def folder(self, folder: str) -> None:
        try:
            real = Path(folder).resolve(strict=True)
            check_owner(real.stat(), folder)
            paths = sorted(path for path in real.iterdir() if path.suffix == ".py" and not path.name.startswith("_"))
        except FileNotFoundError:
            return
        except (OSError, RuntimeError, Unusable) as error:
            self.loaded.broken[folder] = str(error)
            return
        for path in paths:
            self._user(path.stem, str(path), partial(import_file, real, path))

    def entry_points(self, group: str) -> None:
        try:
            found = trial(partial(_find_entry_points, group), self._seconds)
        except (TrialError, OSError) as error:
            self.loaded.broken[group] = f"cannot look for entry points: {error}"
            return
        for name, value in found:
            self._user(name, f"{group} {name}", partial(_import_named, value))

    def _user(self, name: str, source: str, bring: Callable[[], ModuleType]) -> None:
        """A module of users: named well, tried in a fork, then imported."""
        where = f"cannot load {source}"
        if name in self._taken:
            self.loaded.broken[source] = f"{where}: there is a module {name} already"
            return
        self._taken.add(name)
        try:
            self._try(name, bring)
            self._add(name, bring(), builtin=False)
        except (TrialError, Unusable) as error:
            self.loaded.broken[name] = f"{where}: {error}"
        except (Exception, SystemExit) as error:  # foreign code: it may behave otherwise the second time
            self.loaded.broken[name] = f"{where}: {one_line(error)}"

    def _try(self, name: str, bring: Callable[[], ModuleType]) -> None:
        if not (name.isascii() and name.isidentifier()) or name.startswith("_"):
            raise Unusable("its name is no name of a module: letters, digits and underscores")
        left = self._end - clock.boottime()
        if left <= 0:
            raise TrialError(f"not tried, since the modules before it took {ALL_SECONDS:g} seconds")
        if reason := trial(partial(_fault, bring), min(left, self._seconds)):
            raise Unusable(reason)

    def _add(self, name: str, module: ModuleType, *, builtin: bool) -> None:
        self._taken.add(name)
        for function, call, info in list(_describe_all(module, builtin=builtin)):
            self.loaded.functions[f"{name}.{function}"] = call
            self.loaded.table[f"{name}.{function}"] = info


def _describe_all(module: ModuleType, *, builtin: bool) -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """The public functions that a module defines itself. One trailing underscore keeps a name clear of Python's own."""
    for attribute, function in vars(module).items():
        own = inspect.isfunction(function) and function.__module__ == module.__name__
        if own and not attribute.startswith("_"):
            if not builtin and inline_reads(function) is not None:
                raise Unusable(f"{attribute} is marked inline, and only built-in functions may be")
            yield attribute.removesuffix("_"), function, describe(function)


def _fault(bring: Callable[[], ModuleType]) -> str | None:
    """Import a module and describe what is in it: why that cannot be used, or None. Runs in the fork."""
    try:
        list(_describe_all(bring(), builtin=False))
    except Unusable as error:
        return str(error)
    return None


def _import_named(value: str) -> ModuleType:
    if ":" in value:
        raise Unusable(f"it must name a module, not {value}")
    return importlib.import_module(value)


def import_file(folder: Path, path: Path) -> ModuleType:
    """The module in a file of a function folder (`folder` is resolved).

    It is compiled from the very bytes that were checked: neither a cached .pyc nor a file exchanged in between counts.
    Raises Unusable, OSError, SyntaxError, and whatever the module raises.
    """
    source = _read_checked(folder, path)
    name = f"jr_functions_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    code = compile(source, str(path), "exec", dont_inherit=True)
    with contextlib.ExitStack() as undo:
        sys.modules[name] = module
        undo.callback(sys.modules.pop, name, None)
        exec(code, module.__dict__)
        undo.pop_all()
    return module


def _read_checked(folder: Path, path: Path) -> bytes:
    try:
        real = path.resolve(strict=True)
    except RuntimeError:
        raise Unusable("it is a symlink that leads back to itself") from None
    if not real.is_relative_to(folder):
        raise Unusable(f"it is a symlink out of {folder}")
    for parent in real.relative_to(folder).parents:
        check_owner((folder / parent).stat(), str(folder / parent))
    # Not blocking, since the open of a FIFO waits for ever otherwise.
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("it is no regular file")
        check_owner(status, str(real))
        source = file.read(SOURCE_LIMIT + 1)
    if len(source) > SOURCE_LIMIT:
        raise Unusable(f"it is larger than {SOURCE_LIMIT} bytes")
    return source


def check_owner(status: os.stat_result, path: str) -> None:
    """Raises Unusable when somebody other than this user and root owns `path` or may write to it."""
    if status.st_uid not in (0, os.geteuid()):
        raise Unusable(f"{path} belongs to user {status.st_uid}; it must be root's or this user's own")
    if status.st_mode & _OTHERS_WRITE:
        raise Unusable(f"{path} may be written to by others; chmod go-w")


def _find_entry_points(group: str) -> list[tuple[str, str]]:
    """Names and values. Runs in the fork: the metadata reader is heavy, and the spawner stays small without it."""
    from importlib.metadata import entry_points

    return sorted({(entry.name, entry.value) for entry in entry_points(group=group)})
